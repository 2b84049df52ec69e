"""Helm: built once into .cache/bin from its Go module, whose digest Go checks.

`python -m tests.deploy.helm` builds it ahead, because that takes minutes on a slow machine.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from tests.brokers.jars import MissingError

VERSION: Final = "3.22.0"
SECONDS: Final = 900
"""The longest time that building it may take."""

_ROOT: Final = Path(__file__).parents[2]
_MODULE: Final = "helm.sh/helm/v3/cmd/helm"


@cache
def helm() -> Path:
    """The program. Raises `MissingError` if it is not built yet and there is no Go, or Go cannot build it."""
    folder = _ROOT / ".cache" / "bin"
    program = folder / f"helm-{VERSION}"
    if not program.exists() and shutil.which("go") is None:
        raise MissingError("Helm is built with Go, which is not on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    # Test processes run side by side: one of them builds, the others wait.
    with (folder / "helm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _build(program)
    return program


def _build(program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent) as unfinished:
        # Go must not fetch another Go.
        environment = {**os.environ, "GOBIN": unfinished, "GOTOOLCHAIN": "local", "GOFLAGS": ""}
        command = ["go", "install", f"{_MODULE}@v{VERSION}"]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise MissingError(f"Go did not build Helm {VERSION} within {SECONDS} s") from None
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            raise MissingError(f"Go cannot build Helm {VERSION}: {lines[-1] if lines else 'it says nothing'}")
        (Path(unfinished) / "helm").rename(program)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{helm()}\n")
    except MissingError as missing:
        sys.exit(str(missing))
