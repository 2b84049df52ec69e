"""The wheel, installed without a clone: it is complete and contains the default rules."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, because setuptools writes beside the sources and includes files of an earlier build."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy2(ROOT / name, source)
    for name in ("scorer", "rules"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out), str(source)]
    subprocess.run(command, check=True, timeout=120)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    command = [*PIP, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    return target


def scorer(installed: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The installed command in a folder without the clone."""
    return run(installed, folder, str(installed / "bin" / "scorer"), *arguments)


def run(installed: Path, folder: Path, *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    environment |= {"PYTHONPATH": str(installed), **more}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120, check=False
    )


def test_all_modules_and_the_built_in_rules_are_in_it(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "scorer").rglob("*.py")}
    data = {p.relative_to(ROOT).as_posix() for kind in ("*.j2", "*.yaml") for p in (ROOT / "scorer").rglob(kind)}
    rules = {f"scorer/_rulesets/b2b/{path.name}" for path in (ROOT / "rules" / "b2b").glob("*.yaml")}
    about = {name for name in packed if ".dist-info/" in name}
    assert packed - about == modules | data | rules | {"scorer/py.typed"}


def test_the_installed_package_runs(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, sys.executable, "-c", "import scorer; print(scorer.__file__)")
    assert done.stdout == f"{installed}/scorer/__init__.py\n"


def test_it_prints_its_version(installed: Path, tmp_path: Path) -> None:
    done = scorer(installed, tmp_path, "--version")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"lead-scorer \d+\.\d+\.\d+\n", done.stdout)


def test_the_installed_rules_are_those_of_the_clone(installed: Path, tmp_path: Path) -> None:
    copy = scorer(installed, tmp_path, "check", str(installed / "scorer" / "_rulesets" / "b2b"))
    ours = scorer(installed, tmp_path, "check", str(ROOT / "rules" / "b2b"))
    assert copy.returncode == 0, copy.stdout + copy.stderr
    assert copy.stdout == ours.stdout


def test_it_has_no_fault_points(installed: Path, tmp_path: Path) -> None:
    fault = {"SCORER_FAULT_POINT": "sent:1:kill"}
    refused = run(installed, tmp_path, str(installed / "bin" / "scorer"), "run", **fault)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: SCORER_FAULT_POINT is not a setting; ")
    assert len(refused.stderr.splitlines()) == 1
    code = "from scorer.kafka.fault_points import reached; reached('sent'); print('alive')"
    assert run(installed, tmp_path, sys.executable, "-c", code, **fault).stdout == "alive\n"


def test_score_and_explain_by_the_built_in_rules(installed: Path, tmp_path: Path) -> None:
    example = ("--input", str(ROOT / "docs" / "example.jsonl"))
    named = ("--rules", str(ROOT / "rules" / "b2b"))
    scored = scorer(installed, tmp_path, "score", *example)
    assert scored.returncode == 0, scored.stderr
    assert scored.stdout == scorer(installed, tmp_path, "score", *example, *named).stdout
    subject = re.search(r'"subject": ?"([^"]+)"', (ROOT / "docs" / "example.jsonl").read_text())
    assert subject is not None
    assert scorer(installed, tmp_path, "explain", subject.group(1), *example).returncode == 0


def test_rules_in_the_working_directory_come_first(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "rules" / "b2b").mkdir(parents=True)
    done = scorer(installed, tmp_path, "score", "--input", str(ROOT / "docs" / "example.jsonl"))
    assert done.returncode == 1
    assert "there is no rule file" in done.stderr


def test_the_demo_plays_by_the_built_in_rules(installed: Path, tmp_path: Path) -> None:
    done = scorer(installed, tmp_path, "demo", "--events", "300", "--rate", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
