"""The demo's folder: files of others are never removed. And the demo's options."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scorer.cli import app
from scorer.demo.errors import DemoError
from scorer.demo.folder import own_folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / ".scorer-demo"


def leave_remains(place: Path) -> None:
    """Leave what a killed demo leaves behind."""
    with own_folder(place):
        mark = (place / "lock").read_bytes()
    (place / "broker-x" / "data").mkdir(parents=True)
    (place / "service.log").touch()
    (place / "lock").write_bytes(mark)


@pytest.mark.parametrize("empty_before", [True, False])
def test_the_folder_and_all_the_demo_made_are_removed_at_the_end(place: Path, empty_before: bool) -> None:
    if empty_before:
        place.mkdir()
    with own_folder(place):
        (place / "broker-x" / "data").mkdir(parents=True)
        (place / "service.log").touch()
    assert not place.exists()


def test_the_remains_of_a_killed_demo_are_removed_first(place: Path) -> None:
    leave_remains(place)
    with own_folder(place):
        assert [entry.name for entry in place.iterdir()] == ["lock"]
    assert not place.exists()


@pytest.mark.parametrize("name", ["notes.txt", "service.log", "broker-x/data", "lock"])
def test_a_folder_that_no_demo_made_is_rejected_and_unchanged(place: Path, name: str) -> None:
    file = place / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(DemoError, match="holds files that no demo made"), own_folder(place):
        pass
    assert file.read_text() == "mine"
    assert [entry for entry in place.rglob("*") if entry.is_file()] == [file]


@pytest.mark.parametrize("remains", [True, False])
def test_a_symbolic_link_is_rejected(place: Path, tmp_path: Path, remains: bool) -> None:
    target = tmp_path / "target"
    if remains:
        leave_remains(target)
    place.symlink_to(target)
    with pytest.raises(DemoError, match="is a symbolic link"), own_folder(place):
        pass
    assert target.exists() is remains
    assert (target / "broker-x").exists() is remains


def test_files_of_others_and_targets_of_links_survive_the_demo(place: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    with own_folder(place):
        (place / "service.log").symlink_to(outside / "file")
        (place / "broker-x").symlink_to(outside)
        (place / "notes.txt").write_text("mine")
    assert (outside / "file").read_text() == "mine"
    assert [entry.name for entry in place.iterdir()] == ["notes.txt"]


def test_a_file_with_the_name_of_the_folder_is_rejected(place: Path) -> None:
    place.write_text("mine")
    with pytest.raises(DemoError, match=r"cannot write .*File exists"), own_folder(place):
        pass
    assert place.read_text() == "mine"


def test_a_second_demo_is_rejected_and_does_not_disturb_the_first(place: Path) -> None:
    with own_folder(place):
        for _ in range(2):
            with pytest.raises(DemoError, match="another demo is running"), own_folder(place):
                pass
    assert not place.exists()


@pytest.mark.parametrize("rate", ["inf", "-inf", "nan", "1e308", "-1", "fast"])
def test_an_invalid_rate_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rate: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["demo", "--rate", rate])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--rate" in result.stderr
    assert not list(tmp_path.iterdir())
