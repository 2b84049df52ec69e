"""Of more hashes than a signal keeps, the latest stay, whatever the order and repetition of the events."""

from collections import defaultdict
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from scorer.domain import counts
from scorer.domain.counts import Counts, count_event, days_of

KEPT = 7
events = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), min_size=1, max_size=40)


def naive(given_events: list[tuple[int, int]], daily_cap: int) -> dict[int, tuple[int, ...]]:
    """The latest hashes: by day from the last one back, within a day from the smallest one on."""
    by_day = defaultdict(set)
    for day, digest in given_events:
        by_day[day].add(digest)
    ranked = [(day, digest) for day in sorted(by_day, reverse=True) for digest in sorted(by_day[day])[:daily_cap]]
    kept = defaultdict(list)
    for day, digest in ranked[:KEPT]:
        kept[day].append(digest)
    return {day: tuple(kept[day]) for day in sorted(kept)}


@given(events, st.integers(1, 10))
def test_the_latest_hashes_are_kept_in_any_order(given_events: list[tuple[int, int]], daily_cap: int) -> None:
    with patch.object(counts, "_FULL", 8 * KEPT):
        day, digest = given_events[0]
        state: Counts = (digest.to_bytes(8, "big"), day, 1)
        for day, digest in given_events[1:]:
            after = count_event(state, day, digest.to_bytes(8, "big"), daily_cap, oldest=0)
            assert (after is state) == (after == state)
            state = after
    assert days_of(state) == naive(given_events, daily_cap)


def test_counts_from_before_the_bound_shrink_with_the_next_event() -> None:
    before = counts.counts_of({day: tuple(range(100)) for day in range(730)})
    after = count_event(before, 730, (5).to_bytes(8, "big"), 100, oldest=0)
    days = days_of(after)
    assert sum(map(len, days.values())) == counts.KEEP_HASHES
    assert min(days) == 710
    assert days[710] == tuple(range(99))
