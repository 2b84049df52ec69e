"""Break the exactly-once code in one way after the other, and look whether the tests notice.

python -m tests.mutants            # all
python -m tests.mutants NAME …     # these
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.mutants.mutants import MUTANTS, patch_of

ROOT: Final = Path(__file__).parents[2]
TEMPORARY: Final = ROOT / ".cache" / "tmp"
KAFKA: Final = ".cache/kafka"
KILLED: Final = "killed"

_SECONDS: Final = 300
_NO_ANSWER: Final = -1
_ASSERTION: Final = re.compile(r"AssertionError|assert |Failed: DID NOT RAISE")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit status 1 unless all mutants are killed, 2 for an unknown name."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a patch in tests/mutants, without .patch")
    names: list[str] = parser.parse_args(arguments).names or list(MUTANTS)
    unknown = [name for name in names if name not in MUTANTS]
    if unknown:
        parser.error(f"no such mutant: {', '.join(unknown)}; there are {', '.join(MUTANTS)}")
    tests = sorted({test for name in names for test in MUTANTS[name]})
    _say(f"{len(tests)} tests without a mutant: ")
    with _copy() as tree:
        status, red, output = _run(tree, tests)
    if status != 0:
        _say(f"not green (status {status}): {', '.join(sorted(red)) or output}\n")
        return 1
    _say("green\n")
    survivors = 0
    for number, name in enumerate(names, 1):
        _say(f"{number}/{len(names)} {name}: ")
        started = time.monotonic()
        verdict = judge(name)
        survivors += verdict != KILLED
        _say(f"{verdict} ({time.monotonic() - started:.0f} s)\n")
    _say(f"{len(names) - survivors} of {len(names)} mutants killed\n")
    return 1 if survivors else 0


def judge(name: str) -> str:
    """What becomes of one mutant: `killed`, or why it is not."""
    with _copy() as tree:
        applied = _apply(tree, patch_of(name))
        if applied is not None:
            return f"patch does not apply: {applied}"
        status, red, output = _run(tree, MUTANTS[name])
    if status == 0:
        return f"SURVIVED: {output}"
    if status != 1:
        return f"SURVIVED: the tests did not run to their end (status {status}): {output}"
    green = [test for test in MUTANTS[name] if test not in red]
    return f"SURVIVED: no failed assertion in {', '.join(green)}: {output}" if green else KILLED


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def _copy() -> Iterator[Path]:
    """A copy of the files that Git knows or would add. It is removed afterwards."""
    TEMPORARY.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=TEMPORARY) as folder:
        tree = Path(folder) / "tree"
        for name in filter(None, listed.stdout.decode().split("\0")):
            source = ROOT / name
            # A file that is deleted but not committed is still listed.
            if source.is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, tree / name)
        # The jars of Apache Kafka are fetched once.
        (ROOT / KAFKA).mkdir(parents=True, exist_ok=True)
        (tree / KAFKA).parent.mkdir(exist_ok=True)
        (tree / KAFKA).symlink_to(ROOT / KAFKA)
        yield tree


def _apply(tree: Path, patch: Path) -> str | None:
    """Apply a patch; returns Git's message if it does not apply."""
    # Inside a repository Git would ignore files outside the present folder without a message.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(["git", "apply", str(patch)], cwd=tree, env=environment, capture_output=True, check=False)
    return None if done.returncode == 0 else " ".join(done.stderr.decode().split())


def _run(tree: Path, tests: Sequence[str]) -> tuple[int, set[str], str]:
    """Run tests in a copy. Returns pytest's exit status, the tests in which an assertion failed, without their
    parameters, and the end of the output."""
    temporary = tree.parent / "tmp"
    temporary.mkdir()
    report = tree.parent / "report.xml"
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(temporary)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-m",
        "not apache or fencing",
        f"--junitxml={report}",
        "--hypothesis-seed=0",
        *tests,
    ]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _NO_ANSWER, set(), f"no end within {_SECONDS} s"
    red = set(_red(report)) if report.exists() else set()
    return done.returncode, red, " ".join((done.stdout + done.stderr).split())[-500:]


def _red(report: Path) -> Iterator[str]:
    for case in ElementTree.parse(report).iter("testcase"):
        failure = case.find("failure")
        if failure is not None and _ASSERTION.match(failure.get("message", "")):
            file = case.get("classname", "").replace(".", "/")
            yield f"{file}.py::{case.get('name', '').partition('[')[0]}"


if __name__ == "__main__":
    sys.exit(main())
