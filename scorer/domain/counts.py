"""The counts of a signal: for each UTC day, the smallest hashes of its events, at most `daily_cap` of them, and of all
days together the latest 2,000.

The smallest hashes do not depend on the order or repetition of a day's events. So a repeated event is never counted
twice, however late it arrives, and the counts stay bounded. The 2,000 are chosen by day, then by hash. A hash once
passed over has 2,000 before it, which later events can only replace by others before it. So this choice does not depend
on the order either. A lead with more has the oldest counts forgotten, and gets no points for them any more.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from scorer.domain.activity import LeadActivity

KEEP_DAYS = 730
"""Counts that are older than this at the lead's latest activity are forgotten; no ruleset looks further back."""

KEEP_HASHES = 2_000
"""The most hashes of a signal, over all days."""

_FULL = 8 * KEEP_HASHES


class Hit(NamedTuple):
    """An activity counts for this signal; at most `daily_cap` activities count per day."""

    signal: str
    daily_cap: int


Days = Mapping[int, tuple[int, ...]]
"""UTC day number -> ascending hashes of the events counted on it."""

Counts = tuple[bytes, int, int, *tuple[int, ...]]
"""The days of one signal as they are stored: the hashes of all days in one string, 8 bytes each; then, for each day in
ascending order, its number and the number of its hashes. There is at least one day. Scoring needs only the numbers, so
the hashes stay packed."""


def count_event(counts: Counts, day: int, digest: bytes, daily_cap: int, oldest: int) -> Counts:
    """The counts with one more event of `day`, without the days before `oldest`. `oldest` is at most `day`.

    Returns the same object if nothing changes: the event is already counted, or the day has `daily_cap` smaller hashes.
    """
    if day > counts[-2]:  # the usual case: events arrive in order
        if counts[1] < oldest:
            recent = forget_until(counts, oldest - 1)
            if recent is None:
                return digest, day, 1
            counts = recent
        if len(counts[0]) >= _FULL:
            counts = latest(counts, _FULL - 8)
        return (counts[0] + digest, *counts[1:], day, 1)
    hashes = counts[0]
    numbers: tuple[int, ...] = counts[1:]
    place = start = 0
    while numbers[place] < day:
        start += 8 * numbers[place + 1]
        place += 2
    number = numbers[place + 1] if numbers[place] == day else 0
    end = start + 8 * number
    known = [hashes[i : i + 8] for i in range(start, end, 8)]
    if digest in known or (number >= daily_cap and known and digest > known[-1]):
        return counts
    kept = sorted((*known, digest))[: max(daily_cap, number, 1)]
    changed = (*numbers[:place], day, len(kept), *numbers[place + 2 if number else place :])
    after = forget_until(join_counts(b"".join((hashes[:start], *kept, hashes[end:])), changed), oldest - 1)
    assert after is not None  # `day` itself is not before `oldest`
    if len(after[0]) > _FULL:
        after = latest(after, _FULL)
        if after == counts:
            return counts
    return after


def latest(counts: Counts, size: int) -> Counts:
    """The counts with the last `size` bytes of hashes: those of the latest days, and of the first of these days the
    smallest ones."""
    hashes = counts[0]
    numbers: tuple[int, ...] = counts[1:]
    start = place = 0
    excess = len(hashes) - size
    while 8 * numbers[place + 1] <= excess - start:
        start += 8 * numbers[place + 1]
        place += 2
    # Within a day the smallest hashes count, and they come first.
    end = start + 8 * numbers[place + 1]
    cut = excess - start
    left = (numbers[place], (end - start - cut) >> 3, *numbers[place + 2 :])
    return join_counts(hashes[start : end - cut] + hashes[end:], left)


def forget_until(counts: Counts, day: int) -> Counts | None:
    """The counts of the days after `day`; None if there are none."""
    numbers: tuple[int, ...] = counts[1:]
    start = 0
    for place in range(0, len(numbers), 2):
        if numbers[place] > day:
            return join_counts(counts[0][start:], numbers[place:]) if start else counts
        start += 8 * numbers[place + 1]
    return None


def join_counts(hashes: bytes, numbers: Sequence[int]) -> Counts:
    """Counts from hashes and numbers. Raises `IndexError` if `numbers` contains no day."""
    return (hashes, numbers[0], numbers[1], *numbers[2:])


def counts_of(days: Days) -> Counts:
    """The days in their stored form. Raises `IndexError` if there are none."""
    numbers = [number for day in sorted(days) for number in (day, len(days[day]))]
    return join_counts(b"".join(digest.to_bytes(8, "big") for day in sorted(days) for digest in days[day]), numbers)


def days_of(counts: Counts) -> Days:
    """The hashes of each day."""
    hashes = counts[0]
    days: dict[int, tuple[int, ...]] = {}
    start = 0
    for day, number in days_counted(counts):
        end = start + 8 * number
        days[day] = tuple(int.from_bytes(hashes[i : i + 8], "big") for i in range(start, end, 8))
        start = end
    return days


def days_counted(counts: Counts) -> list[tuple[int, int]]:
    """(UTC day, events counted on it), ascending."""
    numbers: tuple[int, ...] = counts[1:]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


_HASH = blake2b(digest_size=8)


def event_digest(activity: LeadActivity) -> bytes:
    """64 bits of BLAKE2b over source and id. Unlike `hash`, it is the same in every process."""
    text = f"{activity.source}\n{activity.id}"
    try:
        content = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        content = text.encode("utf-8", "surrogatepass")
    digest = _HASH.copy()  # faster than a new one: see benchmarks/README.md
    digest.update(content)
    return digest.digest()


def event_hash(activity: LeadActivity) -> int:
    """The digest as a number, as `Lead.signals` gives it."""
    return int.from_bytes(event_digest(activity), "big")
