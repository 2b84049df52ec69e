"""What deploy/compose.yaml says."""

from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
FILE: Final = DEPLOY / "compose.yaml"


def document(file: Path = FILE) -> dict[str, Any]:
    """The file, with its anchors resolved."""
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(file.read_text())
    return loaded


def service_of(name: str) -> dict[str, Any]:
    """The entry of a service."""
    service: dict[str, Any] = document()["services"][name]
    return service


def mounted(name: str) -> dict[str, Path]:
    """Path in the container -> path in this repository, for what a service mounts from it."""
    pairs = [volume.split(":")[:2] for volume in service_of(name).get("volumes", [])]
    return {target: (DEPLOY / source).resolve() for source, target in pairs if source.startswith(".")}


def local_path(name: str, value: str) -> str:
    """The value of a setting, as a path of this repository if it is a path that the service mounts."""
    found = mounted(name).get(value)
    return value if found is None else str(found)
