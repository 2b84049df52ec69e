"""Mapping files on disk: those that are delivered, and those of a ruleset. Only this module reads them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import scorer.sources
from scorer.domain.printable import printable
from scorer.offline.ruleset_files import job_titles_file, load_job_titles, read_rule_file
from scorer.rules.catalogue import suggestion
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.sources.company.job_titles import JobTitles, built_in_job_titles, parse_job_titles
from scorer.sources.mapping.converters import converters
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


def load_source(name: str, rules: Path | None) -> Source:
    """The source of this name. `rules`: the location of the ruleset, whose `sources/NAME.yaml` replaces what is
    delivered, and whose table of job titles is used.

    Raises `SourceError`.
    """
    if name == CLOUDEVENTS:
        return OwnEvents()
    path = source_file(name, rules)
    try:
        return parsed_source(path, read_rule_file(path), rules)
    except RulesetError as error:
        raise SourceError(error.findings) from error


def parsed_source(path: Path, content: bytes, rules: Path | None) -> MappingSource:
    """The source of a mapping file. Raises `RulesetError` with every mistake and its position."""
    return _parsed(path, content, built_in_job_titles() if rules is None else load_job_titles(rules))


def _parsed(path: Path, content: bytes, titles: JobTitles) -> MappingSource:
    return parse_mapping(path.stem, str(path), content, converters(titles), _delivered)


def source_files(rules: Path) -> list[Path]:
    """What sources have in the folder of a ruleset: a table of job titles, if there is one, and the mapping files.
    Raises `RulesetError`."""
    titles = job_titles_file(rules)
    return [*([] if titles is None else [titles]), *own_files(rules).values()]


def check_source_file(rules: Path, path: Path, content: bytes) -> Sequence[Finding]:
    """Every mistake in one of the `source_files`, or the warnings about it."""
    try:
        if _is_mapping(rules, path):
            return parsed_source(path, content, None).warnings
        parse_job_titles(str(path), content)
    except RulesetError as error:
        return error.findings
    return ()


def read_used_files(names: Collection[str], rules: Path) -> dict[str, bytes]:
    """The `source_files` by path, without mappings of other sources than these. Raises `RulesetError`."""
    return {str(path): read_rule_file(path) for path in source_files(rules) if _is_used(path, names, rules)}


def used_files(names: Collection[str], rules: Path, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Of `source_files` that were read, those that `read_used_files` reads."""
    return {file: content for file, content in files.items() if _is_used(Path(file), names, rules)}


def sources_of(names: Collection[str], rules: Path, files: Mapping[str, bytes]) -> dict[str, Source]:
    """The sources of these names, as `load_source` gives them, by `source_files` that were read. Raises
    `RulesetError`."""
    own = {Path(file).stem: content for file, content in files.items() if _is_mapping(rules, Path(file))}
    titles = next(
        (parse_job_titles(file, files[file]) for file in files if not _is_mapping(rules, Path(file))),
        built_in_job_titles(),
    )
    sources: dict[str, Source] = {}
    for name in names:
        if name == CLOUDEVENTS:
            sources[name] = OwnEvents()
        elif name in own:
            sources[name] = _parsed(_folder(rules) / FOLDER / f"{name}{_SUFFIX}", own[name], titles)
        else:
            path = _delivered_file(name, rules)
            sources[name] = _parsed(path, read_rule_file(path), titles)
    return sources


def _is_mapping(rules: Path, path: Path) -> bool:
    return path.parent == _folder(rules) / FOLDER


def _is_used(path: Path, names: Collection[str], rules: Path) -> bool:
    return path.stem in names or not _is_mapping(rules, path)


def _delivered(name: str) -> bytes | None:
    return read_rule_file(_DELIVERED / f"{name}{_SUFFIX}") if name in BUILT_IN - {CLOUDEVENTS} else None


def source_file(name: str, rules: Path | None) -> Path:
    """The mapping file of this name. Raises `SourceError` if there is none."""
    own = own_files(rules)
    return own[name] if name in own else _delivered_file(name, rules)


def _delivered_file(name: str, rules: Path | None) -> Path:
    if name in BUILT_IN - {CLOUDEVENTS}:
        return _DELIVERED / f"{name}{_SUFFIX}"
    where = _DELIVERED if rules is None else _folder(rules) / FOLDER
    own_file = f"; a ruleset's own is the file {FOLDER}/{printable(name)}{_SUFFIX} in its folder"
    message = f"there is no source `{printable(name)}`{suggestion(name, tuple(known_sources(rules))) or own_file}"
    raise SourceError([Finding(Position(str(where)), "no-files", message)])


def described(name: str, rules: Path | None) -> str:
    """What the source is. Raises `SourceError`."""
    source = load_source(name, rules)
    return source.description if isinstance(source, MappingSource) else "Our own format: CloudEvents in any mode."


def known_sources(rules: Path | None) -> list[str]:
    """The names of all sources, sorted. `rules`: the location of the ruleset, which can have more."""
    return sorted({*BUILT_IN, *own_files(rules)})


def own_files(rules: Path | None) -> dict[str, Path]:
    """The mapping files of a ruleset, by the name of their source."""
    paths = [] if rules is None else sorted((_folder(rules) / FOLDER).glob(f"*{_SUFFIX}"))
    return {path.stem: path for path in paths if not path.name.startswith(".")}


def misnamed_files(rules: Path) -> list[Finding]:
    """The files beside the mapping files of a ruleset that look like one, but are never read."""
    message = f"this file is not read; the name of a mapping file ends in {_SUFFIX}"
    return [
        Finding(Position(str(path)), "bad-file", message) for path in sorted((_folder(rules) / FOLDER).glob("*.yml"))
    ]


def _folder(rules: Path) -> Path:
    return rules.parent if rules.is_file() else rules
