"""Prints dead letters: a table on a terminal, plain columns elsewhere, JSON Lines for programs."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table

from scorer.dlq.queue import DeadLetter, DeadLetterList, Origin
from scorer.domain.instant import SECOND, to_text
from scorer.domain.printable import printable, shortened

_COLUMNS: Final = ("record", "when", "reason", "lead", "from", "replayed", "detail")


def print_letters(letters: Sequence[DeadLetter], *, as_json: bool) -> None:
    """Print the dead letters on stdout."""
    if as_json:
        for letter in letters:
            typer.echo(json.dumps(_document(letter)))
        return
    rows = [_row(letter) for letter in letters]
    console = Console()
    if rows and console.is_terminal:
        table = Table(*_COLUMNS, header_style="bold", box=None)
        for column in table.columns[:3]:
            column.no_wrap = True
        for row in rows:
            # As text: a detail or a key may contain what rich would read as markup.
            table.add_row(*(_plain(cell) for cell in row))
        console.print(table)
    elif rows:
        widths = [max(map(len, cells)) for cells in zip(_COLUMNS, *rows, strict=True)]
        for cells in (_COLUMNS, *rows):
            line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            typer.echo(line.rstrip())


def print_counts(result: DeadLetterList, *, as_json: bool, to_stderr: bool) -> None:
    """Print how many match, by reason."""
    if as_json:
        for reason, count in _ranked(result.matching):
            typer.echo(json.dumps({"reason": reason, "count": count}))
        return
    _print_reasons(result.matching, to_stderr=to_stderr)
    total = result.matching.total()
    shown = f", {len(result.letters):,} shown" if result.letters and len(result.letters) < total else ""
    typer.echo(f"{counted(total)}{shown}; {result.replayed:,} replayed", err=to_stderr)


def print_reasons(letters: Iterable[DeadLetter]) -> None:
    """Print how many there are, by reason."""
    _print_reasons(Counter(letter.reason for letter in letters), to_stderr=False)


def print_counts_by_reason(counts: Counter[str]) -> None:
    """Print these numbers of dead letters, by reason."""
    _print_reasons(counts, to_stderr=False)


def counted(number: int) -> str:
    """`1 dead letter`, `2 dead letters`."""
    return f"{number:,} dead letter{'' if number == 1 else 's'}"


def _print_reasons(counts: Counter[str], *, to_stderr: bool) -> None:
    width = max((len(f"{count:,}") for count in counts.values()), default=0)
    for reason, count in _ranked(counts):
        typer.echo(f"{count:>{width + 2},}  {printable(reason)}", err=to_stderr)


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _row(letter: DeadLetter) -> tuple[str, ...]:
    detail = letter.detail
    if letter.replayed_from is not None:
        detail = f"{detail} (replayed from {letter.replayed_from})"
    return (
        str(letter.position),
        _when(letter),
        printable(letter.reason),
        # A plain column is as wide as its widest cell: one long key would pad every row.
        shortened(_key(letter)),
        "-" if letter.origin is None else printable(str(letter.origin)),
        "yes" if letter.replayed else "no",
        printable(detail),
    )


def _when(letter: DeadLetter) -> str:
    return to_text(letter.time // SECOND * SECOND)


def _key(letter: DeadLetter) -> str:
    if letter.key is None:
        return "-"
    text = letter.readable_key
    return ascii(letter.key) if text is None else printable(text)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text, overflow="fold")


def _document(letter: DeadLetter) -> dict[str, object]:
    origin = letter.origin
    document: dict[str, object] = {
        "partition": letter.position.partition,
        "offset": letter.position.offset,
        "time": to_text(letter.time),
        "reason": letter.reason,
        "detail": letter.detail,
        "key": letter.readable_key,
        "origin": None if origin is None else _origin(origin),
        "size": letter.size,
        "cut_from": letter.cut_from,
        "replayed_from": letter.replayed_from,
        "replayed": letter.replayed,
    }
    if letter.key is not None and letter.readable_key is None:
        document["key_base64"] = base64.b64encode(letter.key).decode()
    if letter.content is not None:
        document |= _text("value", letter.content.value)
        document["headers"] = [{"name": name, **_text("value", value)} for name, value in letter.content.headers]
        document["key_cut_from"] = letter.content.key_cut_from
        document["headers_cut_from"] = letter.content.headers_cut_from
    return document


def _origin(origin: Origin) -> dict[str, object]:
    document: dict[str, object] = {"topic": origin.topic, "partition": origin.partition, "offset": origin.offset}
    return document if origin.element is None else {**document, "index": origin.element}


def _text(name: str, value: bytes | None) -> dict[str, object]:
    """The bytes as text if they are UTF-8, otherwise as Base64 under another name."""
    try:
        return {name: None if value is None else value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value or b"").decode()}
