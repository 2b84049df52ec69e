"""What no sample proves in the delivered mappings: without it, the same comes of every sample of the platform.

    python -m tests.senders.unproven            # all platforms
    python -m tests.senders.unproven segment …  # these

A part is a key with its value, an item of a list, or what stands beside `||`, `&&` or a comma in an expression. It is
taken away. Where the file is then no mapping, it gets a path that no event has. Exit status 1 if there is an unproven
part that is not in `KNOWN`.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import getitem
from textwrap import shorten
from typing import Any, Final

from jmespath.lexer import Lexer
from pydantic import ValidationError

from scorer.offline.source_files import source_file
from scorer.rules.finding import Position
from scorer.rules.yaml_source import Document, Path, read
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.company.job_titles import built_in_job_titles
from scorer.sources.mapping.checks import check_mapping
from scorer.sources.mapping.converters import converters
from scorer.sources.mapping.extending import EXTENDS
from scorer.sources.mapping.language import MappingFile
from scorer.sources.mapping.translation import MappingSource
from scorer.sources.rejected import Rejected
from scorer.sources.source import Outcome
from tests.senders.samples import NOW, Sample, platforms, samples

KNOWN: Final[Mapping[str, str]] = {
    "snowplow.yaml: kinds.own_event.data: @": "two objects are dropped, whatever the expression makes of them",
}
"""What is unproven, and why no sample can prove it."""

_LEFT_ALONE: Final = frozenset({"description", "columns"})
"""A column less is a record that cannot be read."""
_NO_PATHS: Final = frozenset({"name", "ignore", "type", "as", "unit", "prefix", "format", "value"})
_CONSTANTS: Final = frozenset({"when", "values"})
_NOWHERE: Final = "no_such_key"
_OPENING: Final = frozenset({"lparen", "lbracket", "lbrace", "filter"})
_CLOSING: Final = frozenset({"rparen", "rbracket", "rbrace"})
_BETWEEN: Final = frozenset({"or", "and", "comma"})
_CONVERTERS: Final = converters(built_in_job_titles())


def unproven(document: Document, known: Sequence[Sample]) -> Iterator[tuple[Position, str]]:
    """The parts of a mapping that none of the samples needs: where each is, and its name."""
    source = _source(document.data)
    assert source is not None
    told = [(sample.value, _told(source, sample.value)) for sample in known]
    for path, part, changes in _changes(document):
        changed = next(filter(None, map(_source, changes)), None)
        if changed is not None and all(_told(changed, value) == expected for value, expected in told):
            position = document.position(path)
            yield position, f"{position.file}: {_named(document.data, path)}: {shorten(part, 80)}"


def mappings() -> dict[str, Document]:
    """The delivered mappings by platform, without one that only extends another."""
    paths = {platform: source_file(platform, None) for platform in platforms()}
    documents = {platform: read(path.name, path.read_bytes()) for platform, path in paths.items()}
    return {platform: document for platform, document in documents.items() if EXTENDS not in document.data}


def _source(data: Any) -> MappingSource | None:
    """The source of a mapping; None if it is none."""
    try:
        file = MappingFile.model_validate(data)
    except ValidationError:
        return None
    return None if check_mapping(file, Document("", data, {}, {})) else MappingSource("", file, _CONVERTERS, ())


def _told(source: MappingSource, value: bytes) -> Sequence[Outcome]:
    """What comes of a record; nothing if it is rejected."""
    try:
        return source.outcomes(value, (), NOW, MAX_BYTES)
    except Rejected:
        return ()


def _changes(document: Document) -> Iterator[tuple[Path, str, Iterator[Any]]]:
    """Each part, and the mapping without it, and with another path in its place. An alias is the same part again."""
    data = document.data
    parts: dict[object, list[Path]] = defaultdict(list)
    texts: dict[object, list[Path]] = defaultdict(list)
    for path in document.values:
        if path and path[0] not in _LEFT_ALONE:
            parts[path in document.keys, document.position(path)].append(path)
            if isinstance(_at(data, path), str) and path[-1] not in _NO_PATHS:
                texts[document.values[path]].append(path)
    expressions = {path for paths in texts.values() for path in paths}
    for paths in parts.values():
        others = (None, _NOWHERE) if paths[0] in expressions else (None,)
        yield paths[0], str(_at(data, paths[0])), (_with(data, paths, other) for other in others)
    for paths in texts.values():
        if _CONSTANTS.isdisjoint(paths[0]):
            for operand, rest in _operands(_at(data, paths[0])):
                yield paths[0], operand, iter([_with(data, paths, rest)])


def _at(data: Any, path: Path) -> Any:
    return reduce(getitem, path, data)


def _with(data: Any, paths: Sequence[Path], value: str | None) -> Any:
    """A copy with the value at the paths; None for a copy without the paths."""
    for path in paths:
        data = _with_one(data, path, value)
    return data


def _with_one(data: Any, path: Path, value: str | None) -> Any:
    (key, *rest), changed = path, data.copy()
    if rest:
        changed[key] = _with_one(data[key], tuple(rest), value)
    elif value is None:
        del changed[key]
    else:
        changed[key] = value
    return changed


def _operands(expression: str) -> Iterator[tuple[str, str]]:
    """What stands beside `||`, `&&` or a comma, and the expression without it."""
    inside: list[list[int]] = [[0]]
    complete: list[list[int]] = []
    for token in Lexer().tokenize(expression):
        kind, start = token["type"], token["start"]
        # The library's own `end` is that of the value, not of the text, for some tokens.
        end = start + len(str(token["value"]))
        if kind in _OPENING:
            inside.append([end])
        elif kind in _CLOSING or kind == "eof":
            complete.append([*inside.pop(), start])
        elif kind in _BETWEEN:
            inside[-1] += [start, end]
    for bounds in complete:
        starts, ends = bounds[::2], bounds[1::2]
        for index in range(len(starts) if len(starts) > 1 else 0):
            first, last = (starts[0], starts[1]) if index == 0 else (ends[index - 1], ends[index])
            yield expression[starts[index] : ends[index]].strip(), expression[:first] + expression[last:]


def _named(data: Any, path: Path) -> str:
    steps = []
    for key in path:
        data = data[key]
        steps.append(str(data.get("name", key) if isinstance(data, dict) else key))
    return ".".join(steps)


def main(names: Sequence[str]) -> int:
    """Run from the command line. Returns the exit status."""
    status = 0
    for platform, document in mappings().items():
        if names and platform not in names:
            continue
        for (_, line, column), part in unproven(document, samples(platform)):
            reason = KNOWN.get(part)
            status = status if reason else 1
            sys.stdout.write(f"line {line}, column {column} of {part}{f' ({reason})' if reason else ''}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
