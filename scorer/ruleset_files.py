"""Rule files on disk: the only place that reads them."""

from pathlib import Path

from scorer.rules.engine import RuleEngine
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.rules.loader import parse_ruleset
from scorer.rules.ruleset import Ruleset
from scorer.rules.yaml_source import MAX_BYTES

_SUFFIXES = (".yaml", ".yml")


def rule_files(location: Path) -> list[Path]:
    """The rule files of a ruleset directory (or the one file given), sorted; test files (`*_test.yaml`) left out.

    Raises `RulesetError` if there is no such directory.
    """
    if not location.exists():
        raise RulesetError([Finding(Position(str(location)), "no-files", "there is no such file or directory")])
    if not location.is_dir():
        return [location]
    return [path for path in sorted(location.iterdir()) if _is_yaml(path) and not path.stem.endswith("_test")]


def rule_test_files(location: Path) -> list[Path]:
    """The test files beside the rules, sorted."""
    directory = location if location.is_dir() else location.parent
    return [path for path in sorted(directory.iterdir()) if _is_yaml(path) and path.stem.endswith("_test")]


def load_ruleset(location: Path, engine: RuleEngine) -> Ruleset:
    """Read and compile a ruleset. Raises `RulesetError` with every mistake found."""
    return parse_ruleset(read_rule_files(location), engine)


def read_rule_files(location: Path) -> dict[str, bytes]:
    """The content of a ruleset's files by path. Raises `RulesetError`."""
    files = {str(path): read_rule_file(path) for path in rule_files(location)}
    if not files:
        raise RulesetError([Finding(Position(str(location)), "no-files", "there is no rule file (*.yaml) here")])
    return files


def read_rule_file(path: Path) -> bytes:
    """The content, or so much of it as shows that it is too large. Raises `RulesetError`."""
    try:
        # A pipe would be waited for and a device read for ever.
        if not path.is_file():
            raise RulesetError([Finding(Position(str(path)), "unreadable", "cannot be read: not a regular file")])
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        finding = Finding(Position(str(path)), "unreadable", f"cannot be read: {error.strerror}")
        raise RulesetError([finding]) from error


def _is_yaml(path: Path) -> bool:
    # A ConfigMap's files are links into hidden directories; the links themselves have plain names.
    return path.suffix in _SUFFIXES and not path.name.startswith(".") and not path.is_dir()
