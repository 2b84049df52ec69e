"""Rule files on disk. Only this module reads them."""

import os
import stat
from pathlib import Path

from scorer.rules.finding import Finding, Position, RulesetError
from scorer.rules.loader import parse_ruleset
from scorer.rules.ruleset import Ruleset
from scorer.rules.yaml_source import MAX_BYTES
from scorer.sources.company import job_titles

MAX_FILES = 256
MAX_TOTAL_BYTES = 2 * MAX_BYTES
_SUFFIXES = (".yaml", ".yml")


def rule_files(location: Path) -> list[Path]:
    """The rule files of a ruleset directory (or the one file given), sorted, without test files (`*_test.yaml`)
    and job titles.

    Raises `RulesetError` if the directory does not exist or cannot be listed.
    """
    try:
        if not stat.S_ISDIR(location.stat().st_mode):
            return [location]
    except FileNotFoundError:
        raise _refused(location, "no-files", "there is no such file or directory") from None
    except (OSError, ValueError) as error:
        raise _refused(location, "unreadable", f"cannot be read: {_reason(error)}") from error
    return [path for path in _listed(location) if is_rule_file(path)]


def is_rule_file(path: Path) -> bool:
    """Whether a file of this name in a ruleset directory is a rule file."""
    return _is_yaml(path) and not path.stem.endswith("_test") and path.name != job_titles.FILE


def rule_test_files(location: Path) -> list[Path]:
    """The test files beside the rules, sorted."""
    return [path for path in sorted(_folder(location).iterdir()) if _is_yaml(path) and path.stem.endswith("_test")]


def job_titles_file(location: Path) -> Path | None:
    """The table of job titles beside the rules; None if there is none. Raises `RulesetError`."""
    return next((path for path in _listed(_folder(location)) if path.name == job_titles.FILE), None)


def load_job_titles(location: Path) -> job_titles.JobTitles:
    """The table of job titles beside the rules, or the built-in one. Raises `RulesetError` with every mistake."""
    path = job_titles_file(location)
    if path is None:
        return job_titles.built_in_job_titles()
    return job_titles.parse_job_titles(str(path), read_rule_file(path))


def load_ruleset(location: Path) -> Ruleset:
    """Read and check a ruleset. Raises `RulesetError` with every mistake found, whatever lies there."""
    return parse_ruleset(read_rule_files(location))


def read_rule_files(location: Path) -> dict[str, bytes]:
    """The contents of the rule files by name. Raises `RulesetError` for unreadable files, for more than
    `MAX_FILES` files, and for more than `MAX_TOTAL_BYTES` in total."""
    paths = rule_files(location)
    if not paths:
        raise _refused(location, "no-files", "there is no rule file (*.yaml) here")
    if len(paths) > MAX_FILES:
        raise _refused(location, "too-large", f"more than the {MAX_FILES} rule files that are allowed")
    files: dict[str, bytes] = {}
    findings: list[Finding] = []
    total = 0
    for path in paths:
        try:
            content = files[str(path)] = read_rule_file(path)
        except RulesetError as error:
            findings += error.findings
            continue
        total += len(content)
        if len(content) <= MAX_BYTES and total > MAX_TOTAL_BYTES:
            message = f"with this file the ruleset is larger than the {MAX_TOTAL_BYTES:,} bytes that are allowed"
            raise _refused(path, "too-large", message)
    if findings:
        raise RulesetError(findings)
    return files


def read_rule_file(path: Path) -> bytes:
    """The content, cut after `MAX_BYTES` + 1 bytes. Raises `RulesetError`."""
    try:
        # A pipe would block, and a device never ends. The descriptor is checked: the name may lead elsewhere by now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _refused(path, "unreadable", "cannot be read: not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise _refused(path, "unreadable", f"cannot be read: {_reason(error)}") from error


def _folder(location: Path) -> Path:
    return location if location.is_dir() else location.parent


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        raise _refused(directory, "unreadable", f"cannot be read: {_reason(error)}") from error


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _refused(path: Path, code: str, message: str) -> RulesetError:
    return RulesetError([Finding(Position(str(path)), code, message)])


def _is_yaml(path: Path) -> bool:
    # A ConfigMap's files are links into hidden directories; the links themselves have plain names.
    return path.suffix in _SUFFIXES and not path.name.startswith(".")
