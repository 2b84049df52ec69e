"""Where the rules come from, as the audit log says it: a file, or the commit of a git work tree."""

import os
import subprocess
from pathlib import Path

import pytest

from scorer.offline.ruleset_files import read_rule_files
from scorer.service.rules_source import rules_source

AUTHOR = "Ann Author <ann@example.com>"
UNKNOWN = "the rules are in no git work tree; SCORER_RULES_SOURCE_FILE can say where they come from"


def git(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ann Author",
        "GIT_AUTHOR_EMAIL": "ann@example.com",
        "GIT_COMMITTER_NAME": "Bot",
        "GIT_COMMITTER_EMAIL": "bot@example.com",
        "GIT_COMMITTER_DATE": "2026-03-04T14:00:00+01:00",
    }
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Committed rules, and a later commit of something else."""
    folder = tmp_path / "repository" / "rules"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("a: 1\n")
    (folder / "b.yaml").write_text("b: 1\n")
    (folder / "a_test.yaml").write_text("tests: []\n")
    git(folder, "init", "-q", "-b", "main", "..")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Rules")
    (folder.parent / "README.md").write_text("Later\n")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "Later")
    return folder


def source_of(location: Path) -> dict[str, object]:
    return dict(rules_source(location, read_rule_files(location), None))


def test_committed_rules_have_the_commit_and_the_author_of_their_last_change(rules: Path) -> None:
    commit = git(rules, "rev-parse", "HEAD~1")
    expected = {"commit": commit, "author": AUTHOR, "date": "2026-03-04T14:00:00+01:00", "changed": False}
    assert source_of(rules) == expected
    assert source_of(rules / "a.yaml") == expected
    link = rules.parent.parent / "current"
    link.symlink_to(rules)
    assert source_of(link) == expected


@pytest.mark.parametrize("what", ["edited", "added", "removed"])
def test_what_is_not_committed_is_said(rules: Path, what: str) -> None:
    if what == "edited":
        (rules / "a.yaml").write_text("a: 2\n")
    elif what == "added":
        (rules / "c.yaml").write_text("c: 1\n")
    else:
        (rules / "b.yaml").unlink()
    assert source_of(rules)["changed"] is True


def test_what_was_read_counts_and_not_what_lies_there_by_now(rules: Path) -> None:
    read = read_rule_files(rules)
    (rules / "a.yaml").write_text("a: 2\n")
    assert rules_source(rules, read, None)["changed"] is False
    assert "changed" not in rules_source(rules, None, None)


def test_rules_that_were_never_committed_have_no_author(rules: Path) -> None:
    other = rules.parent / "other"
    other.mkdir()
    (other / "a.yaml").write_text("a: 1\n")
    assert source_of(other) == {"unknown": "the rules are not committed"}


def test_rules_outside_of_git_are_unknown() -> None:
    # Temporary folders may be in a work tree.
    assert rules_source(Path("/usr"), None, None) == {"unknown": UNKNOWN}
    assert rules_source(Path("/usr/gone"), None, None) == {"unknown": UNKNOWN}


def test_a_file_can_say_it_instead(rules: Path, tmp_path: Path) -> None:
    said = tmp_path / "source"
    said.write_text("pipeline 17, approved by Ann\n")
    assert rules_source(rules, None, said) == {"said": "pipeline 17, approved by Ann"}
    said.write_bytes(b"\xff" * 10_000)
    assert len(str(rules_source(rules, None, said)["said"])) <= 1024
    assert rules_source(rules, None, tmp_path / "none") == {
        "unknown": f"{tmp_path / 'none'}: No such file or directory"
    }
    os.mkfifo(tmp_path / "pipe")
    assert rules_source(rules, None, tmp_path / "pipe") == {"unknown": f"{tmp_path / 'pipe'}: it is not a regular file"}


def test_without_git_it_is_unknown(rules: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert source_of(rules) == {"unknown": "git: No such file or directory"}


def test_nothing_in_the_repository_is_executed(rules: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "filter.own.clean", "core.pager", "gpg.program", "diff.own.textconv", "alias.log"):
        git(rules, "config", name, str(program))
    git(rules, "config", "log.showSignature", "true")
    (rules.parent / ".gitattributes").write_text("*.yaml filter=own diff=own\n")
    assert source_of(rules)["author"] == AUTHOR
    assert not ran.exists()
