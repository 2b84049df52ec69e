"""Which activities a lead has had, so that a repeated one changes nothing, even with another time.

The counts of a signal contain the hashes of the events that they count. The lead also remembers, for a week, the
activities that stated facts and those that no signal counted because a daily cap was reached, at most 256 of them.
Like counts, they are hashes by UTC day.
"""

from typing import Final

from scorer.domain.counts import Counts, join_counts, latest

REMEMBERED_DAYS: Final = 7
"""An activity is remembered until the lead's latest activity is more than this number of UTC days later."""

REMEMBERED: Final = 256
"""The most remembered activities of a lead: those of the latest days."""

_FULL: Final = 8 * REMEMBERED


def contains(hashes: bytes, digest: bytes) -> bool:
    """Whether the digest is one of the hashes of 8 bytes."""
    place = hashes.find(digest)
    while place & 7 and place > 0:
        place = hashes.find(digest, place + 1)
    return place >= 0


def remember(known: Counts | None, day: int, digest: bytes) -> Counts:
    """The remembered activities with one more, which is not among them. The order of calls does not matter."""
    if known is None:
        return digest, day, 1
    hashes = known[0]
    numbers: tuple[int, ...] = known[1:]
    place = start = 0
    while place < len(numbers) and numbers[place] < day:
        start += 8 * numbers[place + 1]
        place += 2
    number = numbers[place + 1] if place < len(numbers) and numbers[place] == day else 0
    low, high = 0, number
    while low < high:
        middle = (low + high) // 2
        at = start + 8 * middle
        if hashes[at : at + 8] < digest:
            low = middle + 1
        else:
            high = middle
    at = start + 8 * low
    changed = (*numbers[:place], day, number + 1, *numbers[place + 2 if number else place :])
    after = join_counts(hashes[:at] + digest + hashes[at:], changed)
    return after if len(after[0]) <= _FULL else latest(after, _FULL)


def pushed_out(before: Counts, after: Counts, day: int) -> bytes | None:
    """The hash of `day` that a daily cap pushed out when an event of that day was counted; None if there is none."""
    old, new = _hashes(before, day), _hashes(after, day)
    gone = old.difference(new)
    return gone.pop() if len(old) == len(new) and len(gone) == 1 else None


def _hashes(counts: Counts, day: int) -> set[bytes]:
    hashes = counts[0]
    numbers: tuple[int, ...] = counts[1:]
    start = 0
    for place in range(0, len(numbers), 2):
        end = start + 8 * numbers[place + 1]
        if numbers[place] == day:
            return {hashes[at : at + 8] for at in range(start, end, 8)}
        start = end
    return set()
