"""What is imported is declared: nothing works only because somebody else's package brings it along."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"scorer", "tests", "benchmarks", "schemas"}
OTHER_NAMES = {
    "cel": "common-expression-language",
    "cyclonedx": "cyclonedx-python-lib",
    "dotenv": "python-dotenv",
    "durable": "durable-rules",
    "faust": "faust-streaming",
    "opentelemetry": "opentelemetry-api",
    "re2": "google-re2",
    "ruamel": "ruamel.yaml",
    "zen": "zen-engine",
}
"""Packages by what is imported, where that is not the name of the package."""


def requirements() -> dict[str, set[str]]:
    """The names of the packages, by where they are declared."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = {"": document["project"]["dependencies"]}
    declared |= document["project"]["optional-dependencies"] | document["dependency-groups"]
    return {where: {name_of(text) for text in texts} for where, texts in declared.items()}


def name_of(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return name.group().lower().replace("_", "-")


def imported(paths: Iterable[Path]) -> dict[str, str]:
    """Packages that are imported, each with a file that does."""
    return {package: str(path.relative_to(ROOT)) for path in paths for package in packages(path)}


def packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            modules = [node.module]
        else:
            continue
        for module in modules:
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in OURS:
                yield OTHER_NAMES.get(top, top.replace("_", "-"))


DECLARED = requirements()
RUNTIME = DECLARED[""] | DECLARED["demo"] | DECLARED["otel"] | DECLARED["parquet"]
BENCH = DECLARED["bench"] | DECLARED["bench-streams"]


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("scorer", RUNTIME),
        ("schemas", RUNTIME),
        ("rules", RUNTIME),
        ("examples", RUNTIME | DECLARED["dev"]),
        ("tests", RUNTIME | DECLARED["dev"]),
        ("benchmarks", RUNTIME | DECLARED["dev"] | BENCH),
    ],
)
def test_every_import_is_declared(folder: str, allowed: set[str]) -> None:
    used = imported((ROOT / folder).rglob("*.py"))
    assert {package: path for package, path in used.items() if package not in allowed} == {}


def test_every_dependency_is_imported() -> None:
    assert DECLARED[""] - imported((ROOT / "scorer").rglob("*.py")).keys() == set()
