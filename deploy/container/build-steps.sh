#!/bin/sh
# What deploy/Dockerfile runs, as a script, so that it also runs where there is no container engine (tests/deploy).
#
#   build-steps.sh dependencies SOURCE TARGET   the pinned dependencies into a new virtual environment TARGET
#   build-steps.sh package SOURCE TARGET        the wheel of SOURCE into TARGET
#
# SOURCE holds the repository, TARGET is an absolute path that does not exist yet. PYTHON chooses the interpreter, WORK
# an existing folder for the tools and wheels (default: one in TMPDIR). Every file that pip fetches is compared with the hash in a
# lock. TARGET contains no pip and no build tools.
set -eu

step=$1 source=$2 target=$3
work=${WORK:-${TMPDIR:-/tmp}/scorer-build}
tools=$work/tools
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

case $step in
dependencies)
    "${PYTHON:-python3}" -m venv "$tools"
    "$tools/bin/pip" install -q --require-hashes -r "$source/requirements-build.lock"
    # Some packages come as source: the pinned build tools compile them, and no others are fetched.
    "$tools/bin/pip" wheel -q --require-hashes --no-build-isolation --wheel-dir "$work/wheels" -r "$source/requirements-run.lock"
    "${PYTHON:-python3}" -m venv --without-pip "$target"
    "$tools/bin/pip" --python "$target/bin/python" install -q --no-index --no-deps "$work"/wheels/*.whl
    ;;
package)
    "$tools/bin/pip" wheel -q --no-index --no-deps --no-build-isolation --wheel-dir "$work/package" "$source"
    "$tools/bin/pip" --python "$target/bin/python" install -q --no-index --no-deps "$work"/package/*.whl
    mkdir -p "$target/share/lead-scorer"
    cp "$source/deploy/sbom.cdx.json" "$target/share/lead-scorer/"
    # What is missing or does not fit together ends the build here and not the service later.
    "$tools/bin/pip" --python "$target/bin/python" check
    "$target/bin/scorer" --version
    ;;
*)
    echo "error: unknown step $step; expected dependencies or package" >&2
    exit 2
    ;;
esac
