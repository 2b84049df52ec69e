"""Reads files of activities in blocks of lines: JSON Lines, plain or gzipped, and Parquet. The first bytes of a file
tell its format, not its name.

A line of JSON Lines is passed on unchanged, but a line with a JSON array, which is a batch, becomes one line for each
of its events, and a tick is left out. A row of Parquet becomes a line. Nothing is validated here.
"""

import gzip
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader
from math import isinf, isnan
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Any, Final, NamedTuple, Protocol, cast

import msgspec

from scorer.offline.place import ARRIVAL, Rejection, line_of, place
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.event_batch import is_array, split_batch
from scorer.sources.rejected import Rejected
from scorer.sources.tick import TICK_TYPE, is_written_tick

BLOCK: Final = 1 << 19
"""Bytes read at a time: about two thousand activities."""
MAX_LINE: Final = 1 << 24
"""Longer lines are cut to this many bytes; sources reject lines of even a sixteenth of it."""
STDIN: Final = "-"
PARQUET_COLUMNS: Final = ("id", "source", "type", "time", "subject", "data")
PARQUET_ROWS: Final = 2000
_BEYOND: Final = msgspec.Raw(b"1e999")
"""A number that is out of range, in JSON."""

_TICK_TYPE: Final = TICK_TYPE.encode()

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_UNREADABLE: Final[Mapping[bytes, str]] = {
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; use: zstd -dc FILE | scorer … --input -",
    b"PK\x03\x04": "is a ZIP archive or a workbook of a spreadsheet; unpack it, or save the sheet as CSV in UTF-8",
    b"\xff\xfe": "is UTF-16, as Excel's format Unicode Text; save it as CSV in UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
}
"""Why a file with this beginning cannot be read, and what to do."""


class InputError(Exception):
    """The input cannot be read to its end; the message names the file and the reason."""


class Refused(NamedTuple):
    """A record that is no line, because it is not an activity. `value`: None if it has none."""

    rejection: Rejection
    value: bytes | None


class Block(NamedTuple):
    """Lines of one file, without line ends. `places` are their places in the file (`scorer.offline.place`), ascending;
    `size` is the number of bytes read from the file for the block (to show progress). A partition of a topic is a file,
    too, and an offset is a line (`scorer.offline.partition_lines`)."""

    file: str
    places: Sequence[int]
    lines: Sequence[bytes]
    size: int
    refused: Sequence[Refused] = ()


def block_of(file: str, first: int, lines: Sequence[bytes], size: int) -> Block:
    """The block of these lines; `first` is the number of the first one, from 1."""
    places: Sequence[int] = range(place(first), place(first + len(lines)), place(1))
    if any(_TICK_TYPE in line and is_written_tick(line) for line in lines):
        # A dump of the topic has them. They say nothing about a lead.
        kept = [pair for pair in zip(places, lines, strict=True) if not is_written_tick(pair[1])]
        places, lines = [number for number, _ in kept], [line for _, line in kept]
    if any(line[:1] != b"{" and is_array(line) for line in lines):
        places, lines = _split_batches(places, lines)
    return Block(file, places, lines, size)


def _raw_block(file: str, first: int, lines: Sequence[bytes], size: int) -> Block:
    return Block(file, range(place(first), place(first + len(lines)), place(1)), lines, size)


def _split_batches(places: Sequence[int], lines: Sequence[bytes]) -> tuple[list[int], list[bytes]]:
    """The places and lines, with the events of a batch instead of its line. A batch that cannot be split stays."""
    all_places: list[int] = []
    all_lines: list[bytes] = []
    for number, line in zip(places, lines, strict=True):
        try:
            events = split_batch(line, MAX_BYTES) if is_array(line) else None
        except Rejected:
            events = None
        if events is None:
            all_places.append(number)
            all_lines.append(line)
        else:
            all_places += (place(line_of(number), index) for index in range(len(events)))
            all_lines += events
    return all_places, all_lines


class ActivityFile:
    """A file of activities, or stdin if the path is `-`. With `rereadable` it can be read more than once."""

    def __init__(self, path: str, *, rereadable: bool = False) -> None:
        """Open the file. Raises `InputError`."""
        self.name = "<stdin>" if path == STDIN else path
        self._path = path
        self._stream = _open(path, self.name)
        try:
            if _is_endless(self._stream):
                raise InputError(f"{self.name}: is a device; expected a file or a pipe")
            if rereadable and not self._stream.seekable():
                self._stream = _copy(self._stream)
            self._magic = self._stream.peek(4)[:4]
            self._start = self._stream.tell() if self._stream.seekable() else 0
            self.size = _size(self._stream)
        except OSError as error:
            raise InputError(f"{self.name}: {error.strerror or error}") from None
        for beginning, problem in _UNREADABLE.items():
            if self._magic.startswith(beginning):
                raise InputError(f"{self.name}: {problem}")
        if self._magic == _PARQUET and not self._stream.seekable():
            raise InputError(f"{self.name}: Parquet cannot be read from a pipe; name the file")

    def blocks(self) -> Iterator[Block]:
        """All activities, in order. Raises `InputError` if the file cannot be read to its end."""
        return self._blocks(block_of, _no_csv)

    def raw_blocks(self) -> Iterator[Block]:
        """All lines as they are, in order, whatever they contain. Raises `InputError` as `blocks` does, and for
        Parquet, which has none."""
        if self._magic == _PARQUET:
            raise InputError(f"{self.name}: is Parquet, which contains CloudEvents; read it without --source")
        return self._blocks(_raw_block, iter)

    def _blocks(self, make: "MakeBlock", checked: Callable[[Iterator[Block]], Iterator[Block]]) -> Iterator[Block]:
        if self._stream.seekable():
            self._stream.seek(self._start)
        try:
            if self._magic == _PARQUET:
                yield from _parquet_blocks(self._stream, self.name, self.size or 0)
            elif self._magic.startswith(_GZIP):
                yield from self._gzip_blocks(make, checked)
            else:
                yield from checked(line_blocks(self._stream, self.name, make=make))
        except OSError as error:
            raise InputError(f"{self.name}: {error.strerror or error}") from None

    def close(self) -> None:
        """Close the file; stdin stays open."""
        if self._path != STDIN:
            self._stream.close()

    def _gzip_blocks(self, make: "MakeBlock", checked: Callable[[Iterator[Block]], Iterator[Block]]) -> Iterator[Block]:
        read = last = 0
        try:
            with gzip.GzipFile(fileobj=self._stream) as content:
                for block in checked(line_blocks(content, self.name, make=make)):
                    before, read = read, self._stream.tell() if self._stream.seekable() else 0
                    last = line_of(block.places[-1]) if block.places else last
                    yield block._replace(size=read - before)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            reason = "it ends early" if isinstance(error, EOFError) else str(error)
            where = f"after line {last:,}" if last else "near its beginning"
            raise InputError(f"{self.name}: damaged gzip file {where}: {reason}") from None


@contextmanager
def open_activities(paths: Sequence[str], *, rereadable: bool = False) -> Iterator[list[ActivityFile]]:
    """Open all files before any is read. `rereadable`: stdin and pipes are copied to a temporary file.
    Raises `InputError`."""
    files: list[ActivityFile] = []
    try:
        for path in paths:
            files.append(ActivityFile(path, rereadable=rereadable))  # noqa: PERF401 (those opened must be closed)
        yield files
    finally:
        for file in files:
            file.close()


def _open(path: str, name: str) -> BufferedReader:
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("stdin is closed; name a file")
        return cast(BufferedReader, sys.stdin.buffer)
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise InputError(f"{name or 'an empty file name'}: {error.strerror}") from None


def _is_endless(stream: BufferedReader) -> bool:
    """True for a device such as /dev/zero. A terminal ends with Ctrl-D, and /dev/null at once."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return False  # a stream in memory
    if stat.S_ISBLK(status.st_mode):
        return True
    return stat.S_ISCHR(status.st_mode) and not stream.isatty() and status.st_rdev != Path(os.devnull).stat().st_rdev


def _no_csv(blocks: Iterator[Block]) -> Iterator[Block]:
    """The same blocks. Raises `InputError` if the first lines look like a table."""
    for block in blocks:
        if block.lines and line_of(block.places[0]) == 1 and _looks_like_csv(block.lines[:2]):
            raise InputError(f"{block.file}: looks like CSV; expects JSON Lines of CloudEvents")
        yield block


def _looks_like_csv(lines: Sequence[bytes]) -> bool:
    """True if no line is JSON and all have the same number of separators."""
    texts = [line.strip() for line in lines]
    if not texts or any(text.startswith((b"{", b"[")) or not _is_text(text) for text in texts):
        return False
    fewest = 2 if len(texts) == 1 else 1
    return any(
        texts[0].count(separator) >= fewest and len({text.count(separator) for text in texts}) == 1
        for separator in (b",", b";", b"\t")
    )


def _is_text(line: bytes) -> bool:
    try:
        return line.decode("utf-8-sig").replace("\t", "").isprintable()
    except UnicodeDecodeError:
        return False


def _copy(stream: BufferedReader) -> BufferedReader:
    # Buffered for reading and writing, so that it has `peek`.
    copy = cast(BufferedReader, TemporaryFile(buffering=BLOCK))  # noqa: SIM115 (lives as long as the input)
    copyfileobj(stream, copy, BLOCK)
    copy.seek(0)
    return copy


def _size(stream: BufferedReader) -> int | None:
    if not stream.seekable():
        return None
    here = stream.tell()
    size = stream.seek(0, 2)
    stream.seek(here)
    return size


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


MakeBlock = Callable[[str, int, Sequence[bytes], int], Block]
"""The block of lines of a file: its name, the number of the first line, the lines, and the bytes that were read."""


def line_blocks(stream: Readable, name: str, size: int = BLOCK, make: MakeBlock = block_of) -> Iterator[Block]:
    """The lines of a stream, read `size` bytes at a time."""
    number = 1
    rest = b""
    skipping = False
    while chunk := stream.read(size):
        if skipping:
            _, end, chunk_rest = chunk.partition(b"\n")
            if not end:
                continue
            yield make(name, number, [rest], len(chunk) - len(chunk_rest))
            number += 1
            rest, chunk, skipping = b"", chunk_rest, False
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if lines:
            yield make(name, number, lines, len(chunk))
            number += len(lines)
        if len(rest) > MAX_LINE:
            rest, skipping = rest[:MAX_LINE], True
    if rest:
        yield make(name, number, [rest], 0)


def _parquet_blocks(stream: BufferedReader, name: str, size: int) -> Iterator[Block]:
    try:
        import polars
    except ImportError:
        raise InputError(f"{name}: reading Parquet needs polars: pip install 'lead-scorer[parquet]'") from None
    number = 1
    try:
        schema = polars.read_parquet_schema(stream)
        stream.seek(0)
        _check_schema(schema, name, polars)
        columns = [column for column in (*PARQUET_COLUMNS, "specversion", ARRIVAL) if column in schema]
        table = polars.scan_parquet(stream).select(columns)
        if isinstance(schema["time"], polars.Datetime):
            # In a zone east of UTC, the last hours of 9999 are already in the year 10000, which Python does not have.
            table = table.with_columns(polars.col("time").dt.convert_time_zone("UTC"))
        for frame in table.collect_batches(chunk_size=PARQUET_ROWS):
            yield block_of(name, number, [_line(row) for row in frame.iter_rows(named=True)], 0)
            number += frame.height
    except polars.exceptions.PolarsError as error:
        raise InputError(f"{name}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    except (OverflowError, ValueError, polars.exceptions.PanicException) as error:
        # polars does not say which row it is.
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name}: rows {number:,} to {number + PARQUET_ROWS - 1:,} hold a value that Python cannot hold, such as a "
            f"time outside the years 1 to 9999 or in an unknown time zone: {text}"
        ) from None
    yield block_of(name, number, [], size)


def _check_schema(schema: Any, name: str, polars: Any) -> None:
    missing = [column for column in PARQUET_COLUMNS if column not in schema]
    if missing:
        raise InputError(f"{name}: has no column {', '.join(missing)}; expected {', '.join(PARQUET_COLUMNS)}")
    time = schema["time"]
    if isinstance(time, polars.Datetime) and time.time_zone is None:
        raise InputError(f"{name}: the column time has no time zone; write it as UTC, or as RFC 3339 text")


def _line(row: dict[str, Any]) -> bytes:
    """The row as an event in structured mode."""
    event: dict[str, Any] = {"specversion": "1.0", **row}
    for name in ("time", ARRIVAL):
        if isinstance(moment := event.get(name), datetime):
            event[name] = moment.astimezone(UTC).isoformat()
    data = event.get("data")
    if isinstance(data, (str, bytes)):
        event["data"] = _json(data)
    elif isinstance(data, dict):
        event["data"] = _sent(data)
    try:
        return msgspec.json.encode(event)
    except (TypeError, ValueError) as error:
        # The row has no JSON form. This text is not JSON either, so the line is rejected with its place.
        return f"a row that cannot be written as JSON: {error}".encode()


def _json(text: str | bytes) -> object:
    raw = text.encode() if isinstance(text, str) else text
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text  # a string instead of an object is rejected as such
    # The value must not contain a line end; to JSON a carriage return means the same.
    return msgspec.Raw(raw.replace(b"\n", b"\r"))


def _sent(value: Any) -> Any:
    """A struct without its nulls. All rows of a column have the same keys, so null means that the key was not sent."""
    if isinstance(value, dict):
        return {key: _sent(item) for key, item in value.items() if item is not None and not _is_nan(item)}
    if isinstance(value, list):
        return [_sent(item) for item in value]
    # Encoded as it is, infinity would be null, which withdraws the value.
    return _BEYOND if isinstance(value, float) and isinf(value) else value


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and isnan(value)
