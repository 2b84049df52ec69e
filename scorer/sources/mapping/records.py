"""From the bytes of a record to the events in it, as decoded JSON objects."""

import csv
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from itertools import islice
from typing import Any, Final, NamedTuple

from scorer.domain.printable import counted
from scorer.sources.company.converter import Unfit
from scorer.sources.mapping.expression import Getter, along, getter, names_in
from scorer.sources.mapping.form import decode_form
from scorer.sources.mapping.language import MappingFile
from scorer.sources.rejected import Rejected, kind
from scorer.sources.source import Dropped
from scorer.sources.strict_json import decode_value, too_large

MAX_EVENTS: Final = 1_000
"""Of one record: the most that a platform sends in one by default. More of them would hold up the records behind it."""


class Events(NamedTuple):
    """The events of a record. `is_list`: they are the entries of a list, even if it has only one. `dropped`: the texts
    that are not the JSON that they should be."""

    events: Sequence[Any]
    is_list: bool
    dropped: Sequence[Dropped] = ()


_Unfold = Callable[[Any], tuple[Sequence[Any], bool]]
"""The events inside a decoded record, and whether they are a list."""
_Read = Callable[[bytes, int], tuple[list[Any], bool]]
"""The objects in a value of at most so many bytes, and whether they are a list. Raises `Rejected`."""


class Records:
    """Reads records of the format of a mapping."""

    def __init__(self, file: MappingFile) -> None:
        self._read = _reader(file)
        self._encoded = [(path, names) for path in file.json_text if (names := names_in(path)) is not None]
        self._unfold = _unfolding(file)

    def events(self, value: bytes, max_bytes: int) -> Events:
        """The events of a record. Raises `Rejected` if it is none of this format, or has more than `MAX_EVENTS`."""
        if len(value) > max_bytes:
            raise too_large(len(value), max_bytes)
        roots, is_list = self._read(value, max_bytes)
        _check_number(roots)
        dropped = self._decode_texts(roots, max_bytes) if self._encoded else ()
        if self._unfold is None:
            return Events(roots, is_list, dropped)
        if len(roots) == 1:
            events, is_inner = self._unfold(roots[0])
            is_list = is_list or is_inner
        else:
            found = [self._unfold(root) for root in roots]
            events = [event for part, _ in found for event in part]
            is_list = is_list or any(is_inner for _, is_inner in found)
        _check_number(events)
        return Events(events, is_list, dropped)

    def _decode_texts(self, roots: Sequence[Any], max_bytes: int) -> list[Dropped]:
        """Put the JSON in the place of the texts that contain it. Gives the texts that contain none."""
        return [
            Dropped(path, "malformed")
            for path, names in self._encoded
            for root in roots
            if not _decode_text(root, names, max_bytes)
        ]


def _check_number(events: Sequence[Any]) -> None:
    if len(events) > MAX_EVENTS:
        raise Rejected(
            "too_large", f"the record has more than {counted(MAX_EVENTS, 'event')}; expected at most so many"
        )


def _reader(file: MappingFile) -> _Read:
    match file.format:
        case "json":
            return _json
        case "form":
            return lambda value, max_bytes: ([decode_form(_text(value))], False)
        case "tsv":
            return _table(file.columns, _tab_separated)
        case "tsv_or_json":
            return _either(_json, _table(file.columns, _tab_separated))
        case "csv":
            separator = file.separator
            return _table(file.columns, lambda text: csv.reader(StringIO(text, newline=""), delimiter=separator))


def _json(value: bytes, max_bytes: int) -> tuple[list[Any], bool]:
    decoded = decode_value(value, max_bytes)
    match decoded:
        case dict():
            return [decoded], False
        case list():
            return decoded, True
    raise Rejected("not_an_object", f"the record is {kind(decoded)}; expected an object or a list of objects")


def _either(json: _Read, other: _Read) -> _Read:
    """Reads what begins as an object or a list in JSON as that, and the rest in the other way."""

    def read(value: bytes, max_bytes: int) -> tuple[list[Any], bool]:
        return (json if value.lstrip()[:1] in (b"{", b"[") else other)(value, max_bytes)

    return read


def _table(columns: Sequence[str] | None, rows_of: Callable[[str], Iterator[list[str]]]) -> _Read:
    """Reads lines of columns. Without names of columns, the first line has them. An empty column has no value."""

    def read(value: bytes, max_bytes: int) -> tuple[list[Any], bool]:
        rows = (row for row in rows_of(_text(value)) if row)
        try:
            names = columns or next(rows, [])
            found = list(islice(rows, MAX_EVENTS + 1))
        except csv.Error as error:
            # The messages of the library are constants; they quote nothing.
            raise Rejected("not_csv", f"the record is not CSV: {error}") from None
        for number, row in enumerate(found, 1):
            if len(row) != len(names):
                where = f"row {number}" if len(found) > 1 else "the row"
                raise Rejected(
                    "wrong_columns",
                    f"{where} has {counted(len(row), 'column')}; expected {counted(len(names), 'column')}",
                )
        events = [{name: text for name, text in zip(names, row, strict=True) if text} for row in found]
        return events, len(events) != 1

    return read


def _tab_separated(text: str) -> Iterator[list[str]]:
    # Not `splitlines`, which also splits at characters that a text may contain.
    return (line.removesuffix("\r").split("\t") for line in text.split("\n") if line)


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Rejected("not_utf8", f"the value is not UTF-8 (byte {error.start}); expected UTF-8") from None


def _decode_text(root: Any, names: Sequence[str], max_bytes: int) -> bool:
    """Put the JSON in the place of the text that contains it. False if the text contains none; then it stays."""
    holder, name = along(names[:-1])(root) if isinstance(root, dict) else None, names[-1]
    encoded = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or not isinstance(encoded, str) or not encoded.strip():
        return True
    try:
        holder[name] = decode_value(encoded.encode(), max_bytes)
    except Rejected:
        return False
    return True


def _unfolding(file: MappingFile) -> _Unfold | None:
    """How the events inside a record are found; None if it is one."""
    if file.unfold_by_key:
        return _by_key
    return None if file.unfold is None else _inside(getter(file.unfold))


def _inside(get: Getter) -> _Unfold:
    def inside(root: Any) -> tuple[Sequence[Any], bool]:
        try:
            found = get(root) if isinstance(root, dict) else root
        except Unfit:
            raise Rejected("not_an_object", "`unfold` of the mapping does not fit the record") from None
        if isinstance(found, list):
            return found, True
        return () if found is None else (found,), False

    return inside


def _by_key(root: Any) -> tuple[Sequence[Any], bool]:
    """The items of the lists of an object. An object is a list of one, and a value of another kind is no event."""
    if not isinstance(root, dict):
        return (root,), False
    events = (
        {"key": key, "item": item}
        for key, items in root.items()
        if _is_container(items)
        for item in (items if isinstance(items, list) else (items,))
    )
    # One more than a record may have shows that there are too many.
    return list(islice(events, MAX_EVENTS + 1)), True


def _is_container(value: object) -> bool:
    return isinstance(value, list | dict)
