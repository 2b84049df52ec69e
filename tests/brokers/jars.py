"""The jars of Apache Kafka: copied once for each version into .cache by Maven, which checks their digests."""

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Final

VERSION: Final = "4.3.1"
"""The version on which the tests run."""
OLDEST: Final = "3.9.2"
"""The oldest version that we support."""

_ROOT: Final = Path(__file__).parents[2]
_POM: Final = Path(__file__).with_name("pom.xml")
_SECONDS: Final = 300


class MissingError(Exception):
    """Apache Kafka cannot be had on this machine; the message says why."""


def jars(version: str = VERSION, pom: Path = _POM, name: str = "kafka") -> Path:
    """The folder with all jars that a pom names, for a version of Kafka; it is below `.cache/<name>`.

    Raises `MissingError` without Java or Maven, or when Maven fails.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise MissingError(f"Apache Kafka needs {tool}, which is not on this machine")
    cache = _ROOT / ".cache" / name
    folder = cache / version
    cache.mkdir(parents=True, exist_ok=True)
    # Test processes run side by side: one of them fetches, the others wait.
    with (cache / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(version, folder, pom)
    return folder


def _fetch(version: str, folder: Path, pom: Path) -> None:
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = ["mvn", "-B", "-q", "-f", str(pom), f"-Dkafka.version={version}", "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={unfinished}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise MissingError(f"Maven did not fetch Apache Kafka {version} within {_SECONDS} s") from None
    if done.returncode != 0 or not any(unfinished.glob("kafka*.jar")):
        lines = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        raise MissingError(f"Maven cannot fetch Apache Kafka {version}: {lines[0] if lines else 'no jar arrived'}")
    unfinished.rename(folder)
