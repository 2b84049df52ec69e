"""Mapping files on disk: those that are delivered, and those of a ruleset. Only this module reads them."""

from pathlib import Path
from typing import Final

import scorer.sources
from scorer.offline.ruleset_files import read_rule_file
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.sources.mapping.converters import CONVERTERS
from scorer.sources.mapping.loader import parse_mapping
from scorer.sources.own_events import OwnEvents
from scorer.sources.source import Source, SourceError

FOLDER: Final = "sources"
"""Where a ruleset's own mapping files are, in its folder."""
_DELIVERED: Final = Path(scorer.sources.__file__).parent / "platforms"
_SUFFIX: Final = ".yaml"
CLOUDEVENTS: Final = "cloudevents"
BUILT_IN: Final = frozenset(path.stem for path in _DELIVERED.glob(f"*{_SUFFIX}")) | {CLOUDEVENTS}
"""The names of the sources that are delivered."""


def load_source(name: str, folder: Path | None) -> Source:
    """The source of this name. `folder`: of the ruleset, whose `sources/NAME.yaml` replaces what is delivered.

    Raises `SourceError`.
    """
    if name == CLOUDEVENTS:
        return OwnEvents()
    path = source_file(name, folder)
    try:
        content = read_rule_file(path)
    except RulesetError as error:
        raise SourceError(error.findings) from error
    return parse_mapping(name, str(path), content, CONVERTERS)


def source_file(name: str, folder: Path | None) -> Path:
    """The mapping file of this name. Raises `SourceError` if there is none."""
    candidates = [] if folder is None else [folder / FOLDER / f"{name}{_SUFFIX}"]
    candidates.append(_DELIVERED / f"{name}{_SUFFIX}")
    for path in candidates:
        if path.exists():
            return path
    message = f"there is no source `{name}`"
    raise SourceError([Finding(Position(str(candidates[0])), "no-files", message)])
