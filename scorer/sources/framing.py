"""The records in the lines of a file."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

_MOST_LINES: Final = 1_000
"""Of a record. A quote that is never closed must not take the rest of the file."""


class Record(NamedTuple):
    """A record. `line`: the number of its first line, from 1."""

    line: int
    value: bytes


class Framing:
    """Each line is a record. In a table, blank lines are none.

    With `quotes`, a record goes on after a line break in quotes. With `header`, the first record names the columns, and
    is part of each other one.
    """

    def __init__(self, *, table: bool = False, header: bool = False, quotes: bool = False) -> None:
        self._table = table
        self._has_header = header
        self._has_quotes = quotes
        self._header: bytes | None = None
        self._open: list[bytes] = []
        self._began = 0
        self._in_quotes = False

    def records(self, first: int, lines: Sequence[bytes]) -> Iterator[Record]:
        """The records that end in these lines, which follow those of the call before. `first`: the number of the first
        line."""
        for number, line in enumerate(lines, first):
            if self._table and not self._open and not line.strip():
                continue
            self._began = self._began if self._open else number
            self._open.append(line)
            if self._has_quotes and line.count(b'"') % 2:
                self._in_quotes = not self._in_quotes
            if not self._in_quotes or len(self._open) == _MOST_LINES:
                yield from self.end()

    def end(self) -> Iterator[Record]:
        """The record that is still open."""
        if not self._open:
            return
        value, self._open, self._in_quotes = b"\n".join(self._open), [], False
        if not self._has_header:
            yield Record(self._began, value)
        elif self._header is None:
            self._header = value
        else:
            yield Record(self._began, self._header + b"\n" + value)
