"""Business time as somebody finds it who walks through the minutes and looks at the clock on the wall."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from scorer.domain.instant import MINUTE, from_datetime, to_datetime

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class OfficeHours:
    """Opening hours of the days from Monday to Friday, from hour to hour, in a zone with the holidays of a state."""

    hours: tuple[tuple[int, int], ...]
    zone: str = "Europe/Berlin"
    holidays: tuple[str, str] = ("DE", "BY")

    def is_open(self, local: datetime) -> bool:
        return (
            local.weekday() < 5
            and any(opens <= local.hour < closes for opens, closes in self.hours)
            and local.date() not in _holidays(*self.holidays, local.year)
        )


@lru_cache(50_000)
def plainly_after(start: int, span: int, office: OfficeHours | None) -> int:
    """The instant at which the span has passed since `start`, in microseconds: of any time without office hours."""
    if office is None:
        return start + span
    zone = ZoneInfo(office.zone)
    moment, left = to_datetime(start // MINUTE * MINUTE), span
    while True:
        if office.is_open(moment.astimezone(zone)):
            begin = from_datetime(moment)
            since, end = max(begin, start), begin + MINUTE
            if left <= end - since:
                return since + left
            left -= end - since
        moment += _MINUTE


@lru_cache
def _holidays(country: str, subdivision: str, year: int) -> Collection[date]:
    return set(holidays.country_holidays(country, subdivision, years=year))
