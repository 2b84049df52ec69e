"""Mapping files on disk: those that are delivered, and those of a ruleset. Only this module reads them."""

from pathlib import Path
from typing import Final

import scorer.sources
from scorer.domain.printable import printable
from scorer.offline.ruleset_files import read_rule_file
from scorer.rules.catalogue import suggestion
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.sources.mapping.converters import CONVERTERS
from scorer.sources.mapping.loader import parse_mapping
from scorer.sources.mapping.translation import MappingSource
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
    return parse_mapping(name, str(path), content, CONVERTERS, _delivered)


def _delivered(name: str) -> bytes | None:
    return read_rule_file(_DELIVERED / f"{name}{_SUFFIX}") if name in BUILT_IN - {CLOUDEVENTS} else None


def source_file(name: str, folder: Path | None) -> Path:
    """The mapping file of this name. Raises `SourceError` if there is none."""
    own = own_files(folder)
    if name in own:
        return own[name]
    if name in BUILT_IN - {CLOUDEVENTS}:
        return _DELIVERED / f"{name}{_SUFFIX}"
    where = _DELIVERED if folder is None else folder / FOLDER
    message = f"there is no source `{printable(name)}`{suggestion(name, tuple(known_sources(folder)))}"
    raise SourceError([Finding(Position(str(where)), "no-files", message)])


def described(name: str, folder: Path | None) -> str:
    """What the source is. Raises `SourceError`."""
    source = load_source(name, folder)
    return source.description if isinstance(source, MappingSource) else "Our own format: CloudEvents in any mode."


def known_sources(folder: Path | None) -> list[str]:
    """The names of all sources, sorted. `folder`: of the ruleset, which can have more."""
    return sorted({*BUILT_IN, *own_files(folder)})


def own_files(folder: Path | None) -> dict[str, Path]:
    """The mapping files of a ruleset, by the name of their source."""
    paths = [] if folder is None else sorted((folder / FOLDER).glob(f"*{_SUFFIX}"))
    return {path.stem: path for path in paths if not path.name.startswith(".")}
