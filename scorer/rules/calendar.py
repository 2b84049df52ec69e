"""Business time: the moments at which the clock of a zone shows opening hours.

Pure: what it needs of zones and holidays comes from pinned packages, and no clock is read.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple

from scorer.domain.instant import DAY, SECOND, from_datetime, to_datetime
from scorer.rules.holiday_dates import holiday_days
from scorer.rules.zones import zone

Hours = tuple[tuple[int, int], ...]
"""Opening and closing times of a day, in microseconds since the local midnight, ascending and without overlap."""

_BLOCK: Final = 364 * DAY
"""Opening hours are computed for so long at a time, and remembered."""
_BLOCKS: Final = 64
_MOST_EMPTY: Final = 3
_FIRST, _LAST = (from_datetime(datetime(year, 1, 1, tzinfo=UTC)) for year in (2, 9999))


class _Block(NamedTuple):
    """Opening hours as instants. `passed`: the business time of the block before each of them, and at last of all."""

    starts: list[int]
    ends: list[int]
    passed: list[int]


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """When a company works. Instants are microseconds since the epoch, spans are microseconds.

    `weekdays`: 0 is Monday. `holidays`: a code of `holiday_dates`. `closed` and the keys of `open` are days since
    1970-01-01. On the days of `open` these hours apply, whatever else is said about the day.
    """

    zone: str
    weekdays: frozenset[int]
    hours: Hours
    holidays: str | None = None
    closed: frozenset[int] = frozenset()
    open: Mapping[int, Hours] = field(default_factory=dict, hash=False)
    _blocks: dict[int, _Block] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The zone is read now, so that nothing is read while leads are judged.
        zone(self.zone)

    @property
    def usual_day(self) -> int:
        """The business time of a usual day: what `1d` means."""
        return sum(closes - opens for opens, closes in self.hours)

    @property
    def usual_week(self) -> int:
        """The business time of a usual week: what `1w` means."""
        return self.usual_day * len(self.weekdays)

    def hours_of(self, day: int) -> Hours:
        """The opening hours of a local day, given as days since 1970-01-01."""
        own = self.open.get(day)
        if own is not None:
            return own
        if (day + 3) % 7 not in self.weekdays or day in self.closed or day in self._holidays(day):
            return ()
        return self.hours

    def after(self, start: int, span: int) -> int:
        """The instant at which `span` of business time has passed since `start`; at closing time, if it is that of the
        end of opening hours. With a span of 0: `start`, or the next opening if it is outside business hours."""
        number = start // _BLOCK
        block = self._block(number)
        at = bisect_right(block.ends, start)
        passed = _passed(block, start)
        empty = 0
        while empty < _MOST_EMPTY:
            target, total = passed + span, block.passed[-1]
            if at < len(block.ends) and target <= total:
                found = bisect_left(block.passed, target, at + 1) - 1
                return block.starts[found] + target - block.passed[found]
            span = target - total
            empty = 0 if block.ends else empty + 1
            number, at, passed = number + 1, 0, 0
            block = self._block(number)
        # Rules with such a calendar do not load; one made by hand must come to an end too.
        return number * _BLOCK + span

    def business_time(self, start: int, end: int) -> int:
        """The business time from `start` to `end`; 0 if `end` is not later."""
        if end <= start:
            return 0
        first, last = start // _BLOCK, end // _BLOCK
        between = sum(self._block(number).passed[-1] for number in range(first, last))
        return between - _passed(self._block(first), start) + _passed(self._block(last), end)

    def _holidays(self, day: int) -> frozenset[int]:
        if self.holidays is None or not _FIRST <= day * DAY < _LAST:
            return frozenset()
        return holiday_days(self.holidays, to_datetime(day * DAY).year)

    def _block(self, number: int) -> _Block:
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) >= _BLOCKS:
                self._blocks.clear()
            block = self._blocks[number] = self._made(number * _BLOCK, (number + 1) * _BLOCK)
        return block

    def _made(self, start: int, end: int) -> _Block:
        starts, ends, passed = list[int](), list[int](), [0]
        for begins, until, offset in _segments(zone(self.zone), start, end):
            for day in range((begins + offset) // DAY, (until + offset - 1) // DAY + 1):
                midnight = day * DAY - offset
                for opens, closes in self.hours_of(day):
                    opening, closing = max(begins, midnight + opens), min(until, midnight + closes)
                    if opening >= closing:
                        continue
                    if ends and ends[-1] == opening:
                        ends[-1] = closing
                        passed[-1] += closing - opening
                    else:
                        starts.append(opening)
                        ends.append(closing)
                        passed.append(passed[-1] + closing - opening)
        return _Block(starts, ends, passed)


def after(calendar: BusinessCalendar | None, start: int, span: int) -> int:
    """The instant at which `span` has passed since `start`: of business time, or without a calendar of any time."""
    return start + span if calendar is None else calendar.after(start, span)


def _passed(block: _Block, instant: int) -> int:
    """The business time of the block up to an instant in it."""
    at = bisect_right(block.ends, instant)
    if at == len(block.ends):
        return block.passed[-1]
    return block.passed[at] + max(0, instant - block.starts[at])


def _segments(local: tzinfo, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Start, end and offset to UTC of the stretches with one offset. `start` and `end` are whole seconds.

    In no zone the clocks are changed twice within a day; a test says so.
    """
    while start < end:
        offset, until = _offset(local, start), start
        while until < end:
            ahead = min(until + DAY, end)
            if _offset(local, ahead) != offset:
                until = _change(local, offset, until, ahead)
                break
            until = ahead
        yield start, until, offset
        start = until


def _change(local: tzinfo, offset: int, before: int, after: int) -> int:
    """The second from which the offset is another one. `before` has this one, `after` does not."""
    while after - before > SECOND:
        middle = (before + after) // 2 // SECOND * SECOND
        if _offset(local, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset(local: tzinfo, instant: int) -> int:
    """Microseconds to add to UTC. Python has no dates beyond those of the bounds."""
    moment = to_datetime(min(max(instant, _FIRST), _LAST)).astimezone(local)
    shift = moment.utcoffset()
    assert shift is not None, "an aware datetime has an offset"
    return shift.days * DAY + shift.seconds * SECOND
