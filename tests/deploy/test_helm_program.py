"""Where Helm comes from, and what is said where it cannot be had."""

from pathlib import Path

import pytest

from tests.brokers.jars import MissingError
from tests.deploy import helm as helm_tool


@pytest.fixture
def nothing_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(helm_tool, "_ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def go(folder: Path, script: str) -> None:
    """A program `go` that does this."""
    (folder / "go").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "go").chmod(0o755)


@pytest.mark.usefixtures("nothing_built")
def test_without_go_the_reason_is_said() -> None:
    with pytest.raises(MissingError, match="Helm is built with Go, which is not on this machine"):
        helm_tool.helm.__wrapped__()


def test_what_go_says_is_the_reason(nothing_built: Path) -> None:
    go(nothing_built, "echo first >&2; echo no route to the modules >&2; exit 1")
    with pytest.raises(MissingError, match=f"Go cannot build Helm {helm_tool.VERSION}: no route to the modules"):
        helm_tool.helm.__wrapped__()
    assert [path.name for path in (nothing_built / ".cache" / "bin").iterdir()] == ["helm.lock"]


def test_it_is_built_once_and_with_this_version(nothing_built: Path) -> None:
    go(nothing_built, 'echo "$@" >> "$GOBIN/../asked"; : > "$GOBIN/helm"')
    program = helm_tool.helm.__wrapped__()
    assert helm_tool.helm.__wrapped__() == program
    assert program.exists()
    asked = (program.parent / "asked").read_text().splitlines()
    assert asked == [f"install helm.sh/helm/v3/cmd/helm@v{helm_tool.VERSION}"]
