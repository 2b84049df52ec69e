"""How a calendar is written in rule files: weekdays, opening hours and dates as text. Mistakes are `ValueError`."""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Final

from scorer.domain.instant import MINUTE
from scorer.rules import duration
from scorer.rules.calendar import BusinessCalendar, Hours

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMES: Final = "|".join(WEEKDAYS)
DAYS_PATTERN: Final = rf"^({_NAMES})(-({_NAMES}))?$"
_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
HOURS_PATTERN: Final = rf"^{_TIME}-({_TIME}|24:00)$"
DATE_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_YEARS: Final = range(1970, 2200)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_ORDINARY_YEAR: Final = 2026
MOST_DAYS: Final = 365
"""The longest promise with a calendar, in usual days."""


def weekdays(text: str) -> list[str]:
    """The days of `mon-fri` or `sat`, in their order."""
    if re.fullmatch(DAYS_PATTERN, text) is None:
        raise ValueError(
            f"`{text}` is neither a day nor a range of days; write mon-fri, or sat ({', '.join(WEEKDAYS)})"
        )
    first, _, last = text.partition("-")
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    return [WEEKDAYS[(start + number) % 7] for number in range((end - start) % 7 + 1)]


def number_of(weekday: str) -> int:
    """0 for Monday."""
    return WEEKDAYS.index(weekday)


def check_hours(text: str) -> str:
    """The text itself, if it is an opening and a later closing time."""
    if re.fullmatch(HOURS_PATTERN, text) is None:
        raise ValueError(f"`{text}` are not opening hours; write them as in 09:00-18:00 (24:00 is the end of the day)")
    opens, closes = _times(text)
    if closes <= opens:
        raise ValueError(
            f'`{text}` ends before it begins; write hours past midnight as two, as in ["22:00-24:00", "00:00-06:00"]'
        )
    return text


def in_order(texts: Sequence[str]) -> list[str]:
    """Checked opening hours of one day in order of time. Those that touch become one."""
    ordered = sorted(texts)
    for earlier, later in pairwise(ordered):
        if _times(later)[0] < _times(earlier)[1]:
            raise ValueError(f"{earlier} and {later} overlap")
    joined = list[str]()
    for text in ordered:
        opens, closes = text.split("-")
        if joined and joined[-1].endswith(f"-{opens}"):
            joined[-1] = f"{joined[-1].partition('-')[0]}-{closes}"
        else:
            joined.append(text)
    return joined


def hours(texts: Iterable[str]) -> Hours:
    """Checked opening hours in microseconds since the local midnight."""
    return tuple(map(_times, texts))


def check_date(text: str) -> str:
    """The text itself, if it is a date."""
    try:
        year = date.fromisoformat(text).year if re.fullmatch(DATE_PATTERN, text) else None
    except ValueError:
        year = None
    if year is None:
        raise ValueError(f"`{text}` is not a date; write year, month and day, as in 2026-12-24")
    if year not in _YEARS:
        raise ValueError(f"`{text}` is out of range; dates go from {_YEARS[0]} to {_YEARS[-1]}")
    return text


def day_number(text: str) -> int:
    """Days from 1970-01-01 to a checked date."""
    return date.fromisoformat(text).toordinal() - _EPOCH


def business_span(text: str, calendar: BusinessCalendar) -> int:
    """A checked duration as business time, in microseconds. A day is a usual day of the calendar, a week its usual
    week, so that `1d` ends at the same time on the next business day."""
    number, unit = min(float(text[:-1]), 1e9), text[-1]
    if unit == "y":
        raise ValueError(f"`{text}`: with a `calendar`, write hours, days or weeks")
    usual = {"d": calendar.usual_day, "w": calendar.usual_week}.get(unit)
    span = duration.parse(text) if usual is None else round(number * usual)
    if not 0 < span <= MOST_DAYS * calendar.usual_day:
        raise ValueError(
            f"`{text}` is out of range; with a `calendar`, write at most {MOST_DAYS}d, which are business days"
        )
    return span


def closed_year(calendar: BusinessCalendar) -> int | None:
    """A year without any opening hour: one with own closed days, or for the holidays an ordinary year."""
    years = {date.fromordinal(day + _EPOCH).year for day in calendar.closed} | {_ORDINARY_YEAR}
    for year in sorted(years):
        first, after = (date(each, 1, 1).toordinal() - _EPOCH for each in (year, year + 1))
        if not any(map(calendar.hours_of, range(first, after))):
            return year
    return None


def _times(text: str) -> tuple[int, int]:
    opens, closes = (
        sum(int(part) * size for part, size in zip(time.split(":"), (60 * MINUTE, MINUTE), strict=True))
        for time in text.split("-")
    )
    return opens, closes
