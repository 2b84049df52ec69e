"""How the lead, the id and the time of an event are found."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import msgspec

from scorer.domain.instant import MILLISECOND, SECOND, to_text
from scorer.sources.arrival import TOO_LATE
from scorer.sources.attributes import CONTROL, EARLIEST, LENGTHS, aware
from scorer.sources.cloudevents import parse_instant
from scorer.sources.company.converter import Converter, Unfit
from scorer.sources.mapping.converters import text
from scorer.sources.mapping.expression import getter
from scorer.sources.mapping.language import LeadPath, TimePath
from scorer.sources.rejected import Rejected, described

Event = Mapping[str, Any]
Recipe = Callable[[Event], str]
"""A text of an event. Raises `Rejected` if the event has none."""
TimeRecipe = Callable[[Event, int], str]
"""The time of an event as RFC 3339; at most the given instant, in microseconds since the epoch. Raises `Rejected`."""

_UNITS: Final = {"s": SECOND, "ms": MILLISECOND, "us": 1}
_COUNT: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,9})?")
_WRITTEN: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[ Tt](?P<minute>\d\d:\d\d)(?P<second>:\d\d)?(?P<fraction>[.,]\d{1,9})? ?"
    r"(?P<zone>[Zz]|UTC|GMT|(?P<hours>[+-]\d\d):?(?P<minutes>\d\d)?)?",
    re.ASCII,
)
_MOST_CHARACTERS: Final = 64
"""Of a time that is looked at."""
_LONGEST_ID: Final = LENGTHS["id"] - 8
"""Leaves room for the suffix of a further activity of an event."""
_DIGEST: Final = "sha256:"
_AMBIGUOUS: Final = re.compile(rf"^{_DIGEST}|:([0-9]|1[0-5])$")
"""The last part of an id that looks like a digest, or like the id of a further activity of an event."""


def lead_recipe(paths: Sequence[LeadPath], converters: Mapping[str, Converter]) -> Recipe:
    """The first path that has a value names the lead."""
    steps = [(getter(path.path), converters[path.as_], path.prefix) for path in paths]
    names = ", ".join(path.path for path in paths)

    def lead(event: Event) -> str:
        unreadable = False
        for get, convert, prefix in steps:
            try:
                found = convert(get(event))
            except Unfit:
                unreadable = True
                continue
            if found is not None:
                return _checked(f"{prefix}{found}")
        problem = "no value that can be read" if unreadable else "no value"
        raise Rejected("missing_attribute", f"the lead is not named: there is {problem} at {names}")

    return lead


def id_recipe(paths: Sequence[str]) -> Recipe:
    """All parts, with colons between them; their SHA-256 if that is too long for an id, has a control character, or is
    also what other parts or a further activity of another event could give."""
    parts = [(path, getter(path)) for path in paths]

    def identity(event: Event) -> str:
        texts = []
        for path, get in parts:
            try:
                found = text(get(event))
            except Unfit:
                found = None
            if found is None:
                raise Rejected("missing_attribute", f"the event has no id: there is no text or number at {path}")
            texts.append(found)
        joined = ":".join(texts)
        is_ambiguous = any(":" in part for part in texts[:-1]) or _AMBIGUOUS.search(texts[-1]) is not None
        if is_ambiguous or len(joined) > _LONGEST_ID or not _is_clean(joined):
            return f"{_DIGEST}{sha256(msgspec.json.encode(texts)).hexdigest()}"
        return joined

    return identity


def time_recipe(paths: Sequence[TimePath]) -> TimeRecipe:
    """The first path at which there is a time that can be read and is not too late."""
    steps = [(path.path, getter(path.path), None if path.unit is None else _UNITS[path.unit]) for path in paths]
    names = ", ".join(path.path for path in paths)

    def time(event: Event, latest: int) -> str:
        unread: object = None
        is_late = False
        for path, get, unit in steps:
            try:
                found = get(event)
            except Unfit:
                continue
            if found is None or found == "":
                continue
            instant = rfc3339(found, unit)
            if instant is not None:
                moment = parse_instant(instant, path)
                if EARLIEST <= moment <= latest:
                    return instant
                is_late = is_late or moment > latest
            unread = found
        if unread is None:
            raise Rejected("missing_attribute", f"the event has no time: there is no value at {names}")
        if is_late:
            raise Rejected(
                "time_in_future", f"the time at {names} is in the future; expected at most {to_text(latest)}"
            )
        raise Rejected(
            "invalid_time",
            f"no time can be read at {names} ({described(unread)}); expected RFC 3339, or a number with its `unit`",
        )

    return time


def rfc3339(value: object, unit: int | None) -> str | None:
    """The time as RFC 3339; None if it cannot be read. `unit`: what a number counts since 1970, in microseconds; None
    if numbers are no times. A text without a zone is UTC."""
    if isinstance(value, str):
        if len(value) > _MOST_CHARACTERS:
            return None
        if unit is None or _COUNT.fullmatch(value) is None:
            return _of_text(value)
        count: Decimal | int = Decimal(value)
    elif unit is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    elif isinstance(value, int):
        count = value
    else:
        count = Decimal(repr(value))
    if unit is None or not -TOO_LATE <= count <= TOO_LATE:
        return None
    instant = int(count * unit)
    return to_text(instant) if EARLIEST <= instant < TOO_LATE else None


def _of_text(written: str) -> str | None:
    try:
        aware(written)
    except msgspec.ValidationError:
        return _mended(written)
    # The library also reads a space for the T and a zone without colon, which are not RFC 3339.
    is_standard = written[10] in "Tt" and (written[-1] in "Zz" or written[-3] == ":")
    return written if is_standard else _mended(written)


def _mended(written: str) -> str | None:
    match = _WRITTEN.fullmatch(written.strip())
    if match is None:
        return None
    part = match.groupdict()
    zone = "Z" if part["hours"] is None else f"{part['hours']}:{part['minutes'] or '00'}"
    fraction = (part["fraction"] or "").replace(",", ".")
    mended = f"{part['date']}T{part['minute']}{part['second'] or ':00'}{fraction}{zone}"
    try:
        parse_instant(mended, "time")
    except Rejected:
        return None
    return mended


def _checked(lead_id: str) -> str:
    most = LENGTHS["subject"]
    if len(lead_id) > most:
        raise Rejected(
            "invalid_attribute", f"the id of the lead has {len(lead_id)} characters; expected at most {most}"
        )
    if not _is_clean(lead_id):
        raise Rejected(
            "invalid_attribute",
            f"the id of the lead ({described(lead_id)}) contains a control character; expected none",
        )
    return lead_id


def _is_clean(written: str) -> bool:
    return (written.isascii() and written.isprintable()) or CONTROL.search(written) is None
