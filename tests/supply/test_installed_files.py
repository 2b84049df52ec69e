"""Every file that is installed from outside has its hash in a lock, and pip compares it."""

import re

import pytest

from tests.supply.locks import LOCKS, ROOT, pins

COMMANDS = ("Makefile", "deploy/container/build-steps.sh", "deploy/Dockerfile", ".ci/run")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_hashes_and_none_an_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert len(entries) == len(pins(lock))
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []
    assert "://" not in text
    assert "--index-url" not in text


def test_pip_installs_nothing_else() -> None:
    texts = "\n".join((ROOT / name).read_text().replace("\\\n", " ") for name in COMMANDS)
    commands = re.findall(r"^[^#\n]*\bpip\"? (?:--python \S+ )?(?:install|wheel) .*$", texts, re.MULTILINE)
    assert len(commands) >= 8
    assert [line for line in commands if "--require-hashes" not in line and "--no-index" not in line] == []
