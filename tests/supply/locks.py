"""The packages that the locks pin."""

import re
import tomllib
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
SUPPLY: Final = Path(__file__).parent
RUN: Final = "requirements-run.lock"
DEVELOPMENT: Final = "requirements.lock"
LOCKS: Final = (
    RUN,
    "requirements-build.lock",
    DEVELOPMENT,
    "requirements-bench.lock",
    "requirements-bench-streams.lock",
)
"""Those of the image first."""

_LINE: Final = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^\s;]+)(?: ; (.*?))?(?: \\)?$", re.MULTILINE)


class Pin(NamedTuple):
    """A package in a lock: its normalised name, its version, and the marker that says where it is installed, or ''."""

    name: str
    version: str
    marker: str


def pins(lock: str) -> list[Pin]:
    """What a lock pins, in its order."""
    return [Pin(*found) for found in _LINE.findall((ROOT / lock).read_text())]


def normalised(name: str) -> str:
    """The name of a package as locks write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct() -> set[str]:
    """The packages that pyproject.toml names for the service itself."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return {normalised(re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]) for text in wanted}
