"""The packed days of a signal: what is kept, what is forgotten, and which input is refused."""

import pytest

from scorer.domain.counts import count_event, counts_of, days_of, forget_until

COUNTS = counts_of({3: (1, 2), 5: (7,), 800: (4,)})


def test_days_are_packed_in_ascending_order_and_unpacked_again() -> None:
    assert counts_of({5: (7,), 800: (4,), 3: (1, 2)}) == COUNTS
    assert days_of(COUNTS) == {3: (1, 2), 5: (7,), 800: (4,)}


def test_forgetting_keeps_the_days_after_that_one() -> None:
    assert forget_until(COUNTS, 3) == forget_until(COUNTS, 4) == counts_of({5: (7,), 800: (4,)})


def test_forgetting_nothing_returns_the_same_object() -> None:
    assert forget_until(COUNTS, 2) is COUNTS


def test_nothing_is_left_after_the_latest_day_is_forgotten() -> None:
    assert forget_until(COUNTS, 800) is None


def test_an_event_after_all_kept_days_restarts_the_counts() -> None:
    digest = (9).to_bytes(8, "big")
    after = count_event(COUNTS, 2_000, digest, daily_cap=1, oldest=1_270)
    assert after == counts_of({2_000: (9,)})


def test_counts_without_days_are_refused() -> None:
    with pytest.raises(IndexError):
        counts_of({})
