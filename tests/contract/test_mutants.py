"""The deliberate breaks of the exactly-once code fit the code, the tests and the documentation."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.mutants.mutants import FOLDER, MUTANTS, patch_of

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_patch_has_its_tests_and_the_other_way_round() -> None:
    assert {path.stem for path in FOLDER.glob("*.patch")} == set(MUTANTS)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_patch_applies(name: str) -> None:
    # Git would take a repository around this folder for the tree, and then ignore the patch without a message.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(ROOT.parent)}
    command = ["git", "apply", "--check", str(patch_of(name))]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"update {patch_of(name).name} to the present code: {done.stderr}"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_patch_says_what_it_breaks_and_is_listed(name: str) -> None:
    first, empty, *_ = patch_of(name).read_text().splitlines()
    assert first.endswith(".")
    assert empty == ""
    assert f"\n| `{name}` | {first} |\n" in CONTRIBUTING


@pytest.mark.parametrize("name", MUTANTS)
def test_its_tests_exist(name: str) -> None:
    assert MUTANTS[name]
    for test in MUTANTS[name]:
        file, _, function = test.partition("::")
        assert f"\ndef {function}(" in (ROOT / file).read_text(), f"there is no {test}"
