"""Business time equals what somebody finds who walks through the minutes and looks at the clock on the wall."""

import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays
import tzdata
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.instant import DAY, HOUR, MINUTE, SECOND, from_datetime, to_text
from scorer.rules.calendar import BusinessCalendar, Hours
from scorer.rules.zones import zone_names

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Pacific/Apia"]
COUNTRIES = [None, "DE-BY", "US-NY", "AU", "NP", "GB-SCT"]
EPOCH = date(1970, 1, 1)
FAR = 15 * DAY


@cache
def changes(name: str) -> list[int]:
    """Instants from 2005 to 2030, each a little before the clocks of the zone change."""
    found = list[int]()
    moment = datetime(2005, 1, 1, tzinfo=UTC)
    while moment.year < 2030:
        later = moment + timedelta(days=1)
        if moment.astimezone(ZoneInfo(name)).utcoffset() != later.astimezone(ZoneInfo(name)).utcoffset():
            found.append(from_datetime(moment))
        moment = later
    return found or [from_datetime(datetime(2026, 1, 1, tzinfo=UTC))]


def day_hours() -> st.SearchStrategy[Hours]:
    """One to three stretches in whole minutes; often at night, where the clocks change."""
    times = st.integers(0, 24 * 60) | st.sampled_from([0, 60, 90, 119, 120, 150, 180, 24 * 60])
    return st.lists(times, min_size=2, max_size=6, unique=True).map(pairs)


def pairs(minutes: list[int]) -> Hours:
    ordered = [minute * MINUTE for minute in sorted(minutes)]
    return tuple(zip(ordered[::2], ordered[1::2], strict=False))


@st.composite
def cases(draw: st.DrawFn) -> tuple[BusinessCalendar, int]:
    """A calendar, and an instant near a change of its clocks or the turn of a year."""
    name = draw(st.sampled_from(ZONES))
    near = draw(st.sampled_from(changes(name)) | st.integers(2005, 2030).map(year_start))
    start = near + draw(st.integers(-3 * DAY, 3 * DAY)) // SECOND * SECOND
    around = st.integers(start // DAY - 3, start // DAY + 12)
    calendar = BusinessCalendar(
        zone=name,
        weekdays=draw(st.frozensets(st.integers(0, 6), min_size=1)),
        hours=draw(day_hours()),
        holidays=draw(st.sampled_from(COUNTRIES)),
        closed=draw(st.frozensets(around, max_size=3)),
        open=draw(st.dictionaries(around, day_hours(), max_size=3)),
    )
    return calendar, start


def year_start(year: int) -> int:
    return from_datetime(datetime(year, 1, 1, tzinfo=UTC))


def is_open(calendar: BusinessCalendar, moment: datetime) -> bool:
    """Whether the clock on the wall shows opening hours."""
    local = moment.astimezone(ZoneInfo(calendar.zone))
    day = (local.date() - EPOCH).days
    if day in calendar.open:
        hours = calendar.open[day]
    elif local.weekday() not in calendar.weekdays or day in calendar.closed or is_holiday(calendar, local.date()):
        hours = ()
    else:
        hours = calendar.hours
    shown = (local.hour * 60 + local.minute) * MINUTE
    return any(opens <= shown < closes for opens, closes in hours)


def is_holiday(calendar: BusinessCalendar, day: date) -> bool:
    return calendar.holidays is not None and day in known_holidays(calendar.holidays, day.year)


@cache
def known_holidays(code: str, year: int) -> set[date]:
    country, _, subdivision = code.partition("-")
    # More than the year, because a day off for a holiday can be in the year before it.
    return set(holidays.country_holidays(country, subdivision or None, years=range(year - 1, year + 2)))


def open_minutes(calendar: BusinessCalendar, start: int) -> Iterator[tuple[int, int]]:
    """The parts of minutes that are open, from `start` on: begin and end."""
    moment = datetime.fromisoformat(to_text(start)).replace(second=0)
    for number in range(FAR // MINUTE):
        minute = moment + timedelta(minutes=number)
        if is_open(calendar, minute):
            begin = from_datetime(minute)
            yield max(begin, start), begin + MINUTE


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(1, 40 * HOUR // SECOND).map(lambda seconds: seconds * SECOND))
def test_a_promise_ends_when_so_much_business_time_has_passed(case: tuple[BusinessCalendar, int], span: int) -> None:
    calendar, start = case
    left, closing = span, None
    for begin, end in open_minutes(calendar, start):
        if closing is not None and closing < begin:
            # What ends at closing time is due then, and not at the next opening.
            assert to_text(calendar.after(start, span - left)) == to_text(closing)
        closing = end
        if left <= end - begin:
            due = begin + left
            assert to_text(calendar.after(start, span)) == to_text(due)
            assert calendar.business_time(start, due) == span
            return
        left -= end - begin
    assert calendar.after(start, span) >= start + FAR - MINUTE
    assert calendar.business_time(start, start // MINUTE * MINUTE + FAR) == span - left


@settings(max_examples=50, deadline=None)
@given(cases(), st.integers(0, 3000 * HOUR), st.integers(0, 3000 * HOUR))
def test_a_span_in_two_parts_is_the_span(case: tuple[BusinessCalendar, int], first: int, second: int) -> None:
    calendar, start = case
    due = calendar.after(start, first)
    assert calendar.after(due, second) == calendar.after(start, first + second) or second == 0
    assert calendar.business_time(start, due) == first
    # What was computed before does not change an answer.
    fresh = BusinessCalendar(
        calendar.zone, calendar.weekdays, calendar.hours, calendar.holidays, calendar.closed, calendar.open
    )
    assert fresh.after(start, first) == due


def test_no_zone_changes_its_clocks_twice_within_a_day() -> None:
    # The offset is compared day by day; a change that is taken back within the day would be overlooked.
    for name in sorted(zone_names()):
        since_1970 = [second for second in transitions(name) if second >= 0]
        assert all(later - earlier > 2 * 86_400 for earlier, later in pairwise(since_1970)), name


def transitions(name: str) -> tuple[int, ...]:
    """The seconds at which the offset changes, as stored in the second part of a zone file (RFC 9636)."""
    content = files(tzdata).joinpath("zoneinfo", *name.split("/")).read_bytes()
    utc, standard, leap, times, kinds, letters = struct.unpack(">6l", content[20:44])
    second = 44 + times * 5 + kinds * 6 + letters + leap * 8 + standard + utc
    count = struct.unpack(">6l", content[second + 20 : second + 44])[3]
    return struct.unpack(f">{count}q", content[second + 44 : second + 44 + 8 * count])
