"""A rate limit: never more than the rate allows, and the savings are bounded."""

from hypothesis import given
from hypothesis import strategies as st

from scorer.runtime.token_bucket import TokenBucket


class Clock:
    """Seconds that the test sets."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_work_starts_at_once_and_the_next_waits_until_it_is_paid() -> None:
    clock = Clock(100.0)
    bucket = TokenBucket(clock)
    assert bucket.wait() == 0
    bucket.spend(0.5)
    assert bucket.wait() == 0.5
    clock.now += 0.25
    assert bucket.wait() == 0.25
    assert not bucket.take(0.1)
    clock.now += 0.25
    assert bucket.take(2.0), "whatever it costs"
    assert bucket.wait() == 2.0


def test_idle_time_saves_nothing_by_default() -> None:
    clock = Clock()
    bucket = TokenBucket(clock)
    clock.now = 1_000.0
    assert [bucket.take(0.1) for _ in range(3)] == [True, False, False]


def test_savings_are_bounded() -> None:
    clock = Clock(3.0)
    bucket = TokenBucket(clock, saved=0.75)
    assert [bucket.take(0.25) for _ in range(5)] == [True] * 4 + [False]
    clock.now += 1_000.0
    assert [bucket.take(0.25) for _ in range(5)] == [True] * 4 + [False]
    clock.now += 0.5
    assert [bucket.take(0.25) for _ in range(3)] == [True] * 2 + [False]


def test_spending_in_debt_adds_to_the_debt() -> None:
    bucket = TokenBucket(Clock())
    bucket.spend(1.0)
    bucket.spend(2.0)
    assert bucket.wait() == 3.0


STEPS = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 6)), max_size=60)
"""Quarters of a second that pass, then the cost of the next work. Exact in binary."""


@given(STEPS, st.integers(0, 8))
def test_no_window_exceeds_its_length_plus_the_savings_and_the_last_work(
    steps: list[tuple[int, int]], saved: int
) -> None:
    clock = Clock()
    bucket = TokenBucket(clock, saved=saved / 4)
    begun: list[tuple[float, float]] = []
    for pause, cost in steps:
        clock.now += pause / 4
        if bucket.take(cost / 4):
            begun.append((clock.now, cost / 4))
    for first, (start, _) in enumerate(begun):
        for last in range(first, len(begun)):
            before_the_last = sum(cost for _, cost in begun[first:last])
            assert before_the_last <= begun[last][0] - start + saved / 4
