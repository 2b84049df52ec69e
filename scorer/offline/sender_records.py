"""The records in a file of another sender: its lines, the rows of a table, or one JSON document over several lines."""

from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

from scorer.offline.activity_files import Block, InputError
from scorer.offline.place import line_of
from scorer.sources.framing import Framing, Record
from scorer.sources.mapping.translation import MappingSource
from scorer.sources.rejected import Rejected
from scorer.sources.source import Source
from scorer.sources.strict_json import decode_value

_BOM: Final = b"\xef\xbb\xbf"
_OPEN: Final = (b"[", b"{")


class Records(NamedTuple):
    """Records of one file. `size`: the number of bytes that were read for them."""

    file: str
    records: Iterator[Record]
    size: int


def records_of(source: Source, raw: Iterator[Block], max_bytes: int) -> Iterator[Records]:
    """The records of one file, in its order. `raw`: its lines as they are. `max_bytes`: of a record. Raises
    `InputError` if the file cannot be read in lines."""
    framing = source.framing() if isinstance(source, MappingSource) else Framing()
    begun: list[Block] = []
    for block in raw:
        begun.append(block)
        if not _may_be_document(begun[0]):
            break
        if sum(map(_length, begun)) > max_bytes:
            _refuse_large_document(begun[0], max_bytes)
            break
    else:
        # The whole file is read.
        lines = [line for block in begun for line in block.lines]
        content = b"\n".join(lines).removeprefix(_BOM)
        if len(lines) > 1 and content.lstrip()[:1] in _OPEN and _is_json(content, max_bytes):
            yield Records(begun[0].file, iter([Record(1, content)]), sum(block.size for block in begun))
            return
    name = ""
    for block in chain(begun, raw):
        name = block.file
        first = line_of(block.places[0]) if block.places else 1
        # A byte order mark belongs to the file, not to its first record.
        unmarked = [block.lines[0].removeprefix(_BOM), *block.lines[1:]] if first == 1 and block.lines else block.lines
        yield Records(name, framing.records(first, unmarked), block.size)
    yield Records(name, framing.end(), 0)


def _may_be_document(block: Block) -> bool:
    """Whether the first line is only the beginning of JSON."""
    first = _first_line(block)
    return first[:1] in _OPEN and not _is_json(first, len(first))


def _refuse_large_document(block: Block, max_bytes: int) -> None:
    """Raises `InputError` if the first line is the beginning of a document that is spread over lines."""
    if _first_line(block) in _OPEN:
        raise InputError(
            f"{block.file}: is one JSON document of more than {max_bytes:,} bytes; write each event on a line of its "
            "own, as jq -c '.[]' does"
        )


def _first_line(block: Block) -> bytes:
    return next((text for line in block.lines if (text := line.removeprefix(_BOM).strip())), b"")


def _length(block: Block) -> int:
    return sum(map(len, block.lines)) + len(block.lines)


def _is_json(content: bytes, max_bytes: int) -> bool:
    try:
        decode_value(content, max_bytes)
    except Rejected:
        return False
    return True
