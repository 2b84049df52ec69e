"""Which versions of Apache Kafka the tests name, and what they do without it. It needs no broker."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.brokers.jars import OLDEST, VERSION, MissingError, jars

ROOT = Path(__file__).parents[2]
VERSIONS = re.compile(r"Apache Kafka (\d+\.\d+\.\d+)|SCORER_TEST_KAFKA=(\d+\.\d+\.\d+)|<kafka\.version>(\d+\.\d+\.\d+)")


def folder(tmp_path: Path, *names: str) -> str:
    """A PATH on which only these programs are."""
    for name in names:
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    return str(tmp_path)


@pytest.mark.parametrize("name", ["Makefile", "CONTRIBUTING.md", "docs/guarantees.md", "tests/brokers/pom.xml"])
def test_all_name_the_same_versions(name: str) -> None:
    named = {version for match in VERSIONS.findall((ROOT / name).read_text()) for version in match if version}
    assert VERSION in named
    assert named <= {VERSION, OLDEST}


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ((), "Apache Kafka needs java, which is not on this machine"),
        (("java",), "Apache Kafka needs mvn, which is not on this machine"),
    ],
)
def test_without_java_or_maven_the_tests_on_apache_kafka_are_skipped_with_the_reason(
    tmp_path: Path, programs: tuple[str, ...], reason: str
) -> None:
    test = "tests/integration/test_transaction.py::test_the_former_owner_is_fenced"
    command = [sys.executable, "-m", "pytest", "-rs", "-m", "apache", f"--basetemp={tmp_path / 'base'}", test]
    # Neither the broker nor the version that this run of the tests may have been given.
    environment = {name: value for name, value in os.environ.items() if "SCORER_TEST_" not in name}
    environment["PATH"] = folder(tmp_path, *programs)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 skipped" in done.stdout
    assert reason in done.stdout


def test_a_version_that_maven_cannot_fetch_is_a_reason_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.brokers.jars._ROOT", tmp_path)
    monkeypatch.setenv("PATH", folder(tmp_path, "java", "mvn"))
    with pytest.raises(MissingError, match=r"Maven cannot fetch Apache Kafka 0\.0\.1: no jar arrived"):
        jars("0.0.1")
