"""How the time of an event is found and read."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from scorer.domain.instant import MILLISECOND, SECOND, from_datetime, to_datetime, to_text
from scorer.rules.zones import zone
from scorer.sources.arrival import TOO_LATE
from scorer.sources.attributes import EARLIEST, aware
from scorer.sources.cloudevents import parse_instant
from scorer.sources.company.converter import Unfit
from scorer.sources.mapping.expression import getter
from scorer.sources.mapping.language import TimePath
from scorer.sources.rejected import Rejected, described

Event = Mapping[str, Any]
TimeRecipe = Callable[[Event, int], str]
"""The time of an event as RFC 3339; at most the given instant, in microseconds since the epoch. Raises `Rejected`."""
_Read = tuple[str, int]
"""A time as RFC 3339, and in microseconds since the epoch."""
_Reader = Callable[[object], _Read | None]
"""The time that a value says; None if it cannot be read."""

_UNITS: Final = {"s": SECOND, "ms": MILLISECOND, "us": 1}
_COUNT: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,9})?")
_WRITTEN: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)(?:[ Tt](?P<minute>\d\d:\d\d)(?P<second>:\d\d)?(?P<fraction>[.,]\d{1,9})? ?"
    r"(?P<zone>[Zz]|UTC|GMT|(?P<hours>[+-]\d\d):?(?P<minutes>\d\d)?)?)?",
    re.ASCII,
)
_MOST_CHARACTERS: Final = 64
"""Of a time that is looked at."""


def time_recipe(paths: Sequence[TimePath]) -> TimeRecipe:
    """The first path at which there is a time that can be read and is not too late."""
    steps = [(getter(path.path), _reader(path)) for path in paths]
    # A path is given twice if an export writes times in two forms. A reader looks for it once.
    names = ", ".join(dict.fromkeys(path.path for path in paths))

    def time(event: Event, latest: int) -> str:
        unread: object = None
        is_late = False
        for get, read in steps:
            try:
                found = get(event)
            except Unfit:
                continue
            if found is None or found == "":
                continue
            said = read(found)
            if said is not None:
                written, instant = said
                if EARLIEST <= instant <= latest:
                    return written
                is_late = is_late or instant > latest
            unread = found
        if unread is None:
            raise Rejected("missing_attribute", f"the event has no time: there is no value at {names}")
        if is_late:
            raise Rejected(
                "time_in_future", f"the time at {names} is in the future; expected at most {to_text(latest)}"
            )
        raise Rejected(
            "invalid_time",
            f"no time can be read at {names} ({described(unread)}); expected RFC 3339, a text of its `format`, or a "
            "number with its `unit`",
        )

    return time


def _reader(path: TimePath) -> _Reader:
    local = None if path.zone is None else zone(path.zone)
    if path.format is not None:
        return _formatted(path.format, local)
    unit = None if path.unit is None else _UNITS[path.unit]

    def read(value: object) -> _Read | None:
        if not isinstance(value, str):
            return None if unit is None else _counted(value, unit)
        if len(value) > _MOST_CHARACTERS:
            return None
        if unit is not None and _COUNT.fullmatch(value) is not None:
            return _counted(Decimal(value), unit)
        return _of_text(value, local)

    return read


def _formatted(format_: str, local: ZoneInfo | None) -> _Reader:
    def read(value: object) -> _Read | None:
        if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
            return None
        try:
            moment = datetime.strptime(value.strip(), format_)
        except ValueError:
            return None
        if moment.tzinfo is not None:
            return _written(from_datetime(moment))
        return _written(_instant(moment, local))

    return read


def _counted(value: object, unit: int) -> _Read | None:
    """The instant of so many units since 1970; None if there is none."""
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not -TOO_LATE <= value <= TOO_LATE:
        return None
    return _written(int(value * unit))


def _written(instant: int) -> _Read | None:
    return (to_text(instant), instant) if EARLIEST <= instant < TOO_LATE else None


def _instant(moment: datetime, local: ZoneInfo | None) -> int:
    """The instant of a time without a zone. Of an hour that comes twice, the first one."""
    return from_datetime(moment.replace(tzinfo=local or UTC))


def _of_text(written: str, local: ZoneInfo | None) -> _Read | None:
    try:
        moment = aware(written)
    except msgspec.ValidationError:
        return _mended(written, local)
    # The library also reads a space for the T and a zone without colon, which are not RFC 3339.
    is_standard = written[10] in "Tt" and (written[-1] in "Zz" or written[-3] == ":")
    return (written, from_datetime(moment)) if is_standard else _mended(written, local)


def _mended(written: str, local: ZoneInfo | None) -> _Read | None:
    match = _WRITTEN.fullmatch(written.strip())
    if match is None:
        return None
    part = match.groupdict()
    zone_ = "Z" if part["hours"] is None else f"{part['hours']}:{part['minutes'] or '00'}"
    fraction = (part["fraction"] or "").replace(",", ".")
    mended = f"{part['date']}T{part['minute'] or '00:00'}{part['second'] or ':00'}{fraction}{zone_}"
    try:
        instant = parse_instant(mended, "time")
    except Rejected:
        return None
    if local is None or part["zone"] is not None:
        return mended, instant
    return _written(_instant(to_datetime(instant).replace(tzinfo=None), local))
