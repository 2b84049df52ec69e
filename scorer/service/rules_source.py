"""Who is behind the rules on disk, for the audit log: what a file says, or the commit of a git work tree.

Nothing in the directory of the rules is executed: of git, only commands that read run, without hooks and filters.
"""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scorer.offline.ruleset_files import is_rule_file

_SECONDS: Final = 5
_LONGEST: Final = 1024
_GIT: Final = (
    "git",
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false"),
    *("--no-pager", "--no-replace-objects", "--literal-pathspecs"),
)

Source = Mapping[str, object]


def rules_source(location: Path, files: Mapping[str, bytes] | None, said: Path | None) -> Source:
    """Where the rules at a place come from. It reads files and may take seconds. Never raises.

    `files`: what was read there, by path; None if that is not known. `said`: a file that says it.

    The result is `{"said": text of that file}`. Without such a file, in a git work tree: `commit`, `author` and `date`
    of the last change there, and `changed`, whether any of the files differs from what is committed. Otherwise
    `{"unknown": why}`.
    """
    try:
        if said is not None:
            return {"said": _text_of(said)}
        return _commit(location.resolve(), files)
    except OSError as error:
        return {"unknown": f"{error.filename or 'git'}: {error.strerror}"}
    except (subprocess.SubprocessError, ValueError) as error:
        return {"unknown": f"git: {error}"}


def _text_of(path: Path) -> str:
    # A pipe would block, and a device never ends.
    if not path.is_file():
        path.stat()
        raise OSError(0, "it is not a regular file", str(path))
    with path.open("rb") as file:
        return file.read(_LONGEST).decode(errors="replace").strip()


def _commit(location: Path, files: Mapping[str, bytes] | None) -> Source:
    folder = location if location.is_dir() else location.parent
    if not any((each / ".git").exists() for each in (folder, *folder.parents)):
        return {"unknown": "the rules are in no git work tree; SCORER_RULES_SOURCE_FILE can say where they come from"}
    log = _git(folder, "log", "-1", "--format=%H%x00%an <%ae>%x00%cI", "--", os.fspath(location))
    if not log:
        return {"unknown": "the rules are not committed"}
    commit, author, date = log.decode(errors="replace").rstrip("\n").split("\0")
    source: dict[str, object] = {"commit": commit, "author": author, "date": date}
    if files is not None:
        # Relative to the folder, because it is the working directory. Files below it belong to nobody's rules.
        entries = _git(folder, "ls-tree", "-z", "HEAD").split(b"\0")
        committed = {os.fsdecode(entry.partition(b"\t")[2]): entry.split()[2].decode() for entry in entries if entry}
        read = {Path(name).name: _blob(content, len(commit)) for name, content in files.items()}
        gone = {name for name in committed if is_rule_file(Path(name))} - read.keys() if location.is_dir() else set()
        source["changed"] = bool(gone) or any(committed.get(name) != blob for name, blob in read.items())
    return source


def _blob(content: bytes, digits: int) -> str:
    """The id that git gives a file."""
    data = b"blob %d\0" % len(content) + content
    return (hashlib.sha1(data, usedforsecurity=False) if digits == 40 else hashlib.sha256(data)).hexdigest()


def _git(directory: Path, *arguments: str) -> bytes:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        [*_GIT, *arguments],
        cwd=directory,
        env={**environment, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
        start_new_session=True,
    )
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip().partition("\n")[0] or "it failed")
    return done.stdout
