"""Local days and the periods of targets in a time zone. Pure: zones come from the pinned package."""

from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from scorer.domain.instant import DAY, from_datetime, to_datetime
from scorer.rules.calendar import BusinessCalendar
from scorer.rules.ruleset import Period, Ruleset
from scorer.rules.zones import zone

_EPOCH: Final = date(1970, 1, 1)
_REMEMBERED: Final = 4_000
_FIRST, _LAST = (from_datetime(datetime(year, 1, 3, tzinfo=UTC)) for year in (1, 9999))
"""Python has no local dates much beyond them."""


class PeriodSpan(NamedTuple):
    """A period by its first and last local day (days since 1970-01-01), and its name: 2026-W48, 2026-11, 2026-Q4 or
    2026."""

    first_day: int
    last_day: int
    label: str


class Periods:
    """The local days and periods of a zone. Instants are microseconds since the epoch. `calendar`: if there is one, a
    period passes by business time."""

    def __init__(self, zone_name: str, period: Period, calendar: BusinessCalendar | None = None) -> None:
        self.zone_name = zone_name
        self.period = period
        self._zone = zone(zone_name)
        self._calendar = calendar
        self._is_utc = zone_name == "UTC"
        self._days: dict[int, int] = {}
        self._first_days: dict[int, int] = {}

    @classmethod
    def of(cls, ruleset: Ruleset) -> "Periods":
        """Those of the targets; months in UTC without targets."""
        targets, calendar = ruleset.targets, ruleset.calendar
        zone_name, period = ("UTC", Period.MONTH) if targets is None else (targets.zone, targets.period)
        return cls(zone_name, period, calendar)

    def day_of(self, instant: int) -> int:
        """The local day of an instant, in days since 1970-01-01."""
        if self._is_utc:
            return instant // DAY
        day = self._days.get(instant)
        if day is None:
            if len(self._days) >= _REMEMBERED:
                self._days.clear()
            day = self._days[instant] = self._day_of(instant)
        return day

    def _day_of(self, instant: int) -> int:
        return to_datetime(min(max(instant, _FIRST), _LAST)).astimezone(self._zone).toordinal() - _EPOCH.toordinal()

    def start_of(self, day: int) -> int:
        """The instant at which a local day begins. If the clock jumps over midnight, the day begins after the jump."""
        at = _EPOCH + timedelta(days=day)
        return from_datetime(datetime(at.year, at.month, at.day, tzinfo=self._zone))

    def period_of(self, day: int) -> PeriodSpan:
        """The period that contains a local day."""
        at = _EPOCH + timedelta(days=day)
        match self.period:
            case Period.WEEK:
                year, week, weekday = at.isocalendar()
                return PeriodSpan(day - weekday + 1, day - weekday + 7, f"{year}-W{week:02}")
            case Period.MONTH:
                return _months(at.year, at.month, 1, f"{at.year}-{at.month:02}")
            case Period.QUARTER:
                quarter = (at.month - 1) // 3
                return _months(at.year, 3 * quarter + 1, 3, f"{at.year}-Q{quarter + 1}")
            case Period.YEAR:
                return _months(at.year, 1, 12, str(at.year))

    def first_day_of(self, day: int) -> int:
        """The first day of the period that contains a local day."""
        first_day = self._first_days.get(day)
        if first_day is None:
            if len(self._first_days) >= _REMEMBERED:
                self._first_days.clear()
            first_day = self._first_days[day] = self.period_of(day).first_day
        return first_day

    def period_before(self, span: PeriodSpan) -> PeriodSpan:
        """The period before a period."""
        return self.period_of(span.first_day - 1)

    def bounds(self, span: PeriodSpan) -> tuple[int, int]:
        """The first instant of a period, and the first one after it."""
        return self.start_of(span.first_day), self.start_of(span.last_day + 1)

    def elapsed_share(self, span: PeriodSpan, now: int) -> float:
        """How much of a period has passed at `now`, from 0 to 1: of its business time, if there is a calendar and it
        has any."""
        start, end = self.bounds(span)
        now = min(max(now, start), end)
        if self._calendar is not None:
            total = self._calendar.business_time(start, end)
            if total:
                return self._calendar.business_time(start, now) / total
        return (now - start) / (end - start)


def _months(year: int, month: int, count: int, label: str) -> PeriodSpan:
    first, after = date(year, month, 1), date(year + (month + count > 12), (month + count - 1) % 12 + 1, 1)
    return PeriodSpan((first - _EPOCH).days, (after - _EPOCH).days - 1, label)
