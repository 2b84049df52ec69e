"""Whether a partition advances, as seen from outside now and then."""

from hypothesis import given
from hypothesis import strategies as st

from scorer.stream.stall import NO_ANSWER, Stall, Standing

STALLED_AFTER = 120.0
REASON = "the end of its transaction"


def watched(*standings: Standing, tick: float = 1.0) -> list[float]:
    """The seconds of a stall after each look."""
    stall, now = Stall(0.0), 0.0
    seconds = []
    for standing in standings:
        now += tick
        seconds.append(stall.see(standing, now))
    return seconds


def test_records_that_are_not_committed_count_from_the_last_commit() -> None:
    busy, next_one = Standing(5, 0, REASON), Standing(6, 0, REASON)
    assert watched(busy, busy, busy, next_one, next_one) == [0, 1, 2, 0, 1]


def test_a_partition_without_work_never_stalls() -> None:
    assert set(watched(*[Standing(5, 0, None, 5, polled) for polled in range(1000)])) == {0.0}


def test_a_restore_that_makes_progress_is_no_stall() -> None:
    assert set(watched(*[Standing(None, done, "its changelog") for done in range(1, 500)])) == {0.0}


def test_a_restore_without_progress_is_one() -> None:
    assert watched(*[Standing(None, 7, "its changelog")] * 200)[-1] == 199


def test_opening_a_partition_again_and_again_is_no_progress() -> None:
    opened = [Standing(None, done, "its changelog") for done in range(10)] + [Standing(5, 10, REASON)]
    assert watched(*opened * 20)[-1] == len(opened) * 19


def test_after_a_commit_a_restore_counts_again() -> None:
    opened = [Standing(None, 10, "its changelog"), Standing(5, 10, REASON), Standing(6, 10, REASON)]
    assert watched(*opened, *[Standing(None, done, "its changelog") for done in range(3)])[-3:] == [1, 2, 3]
    commits = [Standing(None, 10, ""), Standing(5, 10, REASON), Standing(6, 0, REASON), Standing(None, 1, "")]
    assert watched(*commits)[-1] == 0


def test_fetches_without_an_answer_are_a_stall_although_no_record_is_known() -> None:
    stall = Stall(0.0)
    for second in range(1, 200):
        stall.see(Standing(5, 0, None, 5, 1), float(second))
    assert stall.seconds > STALLED_AFTER
    assert stall.waits_for == NO_ANSWER
    assert stall.see(Standing(5, 0, None, 5, 2), 200.0) == 0
    assert stall.waits_for is None


def test_a_process_that_was_stopped_gets_its_chance() -> None:
    stall = Stall(0.0)
    stall.see(Standing(5, 0, REASON), 1.0)
    assert stall.see(Standing(5, 0, REASON), 10_000.0) < 10


LOOKS = st.lists(
    st.tuples(
        st.floats(0.0, 50.0),
        st.booleans(),
        st.sampled_from([None, REASON]),
        st.one_of(st.none(), st.integers(0, 3)),
    ),
    max_size=300,
)


@given(LOOKS)
def test_never_stalled_while_commits_advance(looks: list[tuple[float, bool, str | None, int | None]]) -> None:
    """Whatever else is seen: the seconds never exceed the time since the last commit."""
    stall, now, offset, committed_at = Stall(0.0), 0.0, 0, 0.0
    for passed, commits, waits_for, polled in looks:
        now += passed
        if commits:
            offset, committed_at = offset + 1, now
        seconds = stall.see(Standing(offset, 0, waits_for, 1000, polled), now)
        assert seconds <= now - committed_at + 1e-6
        if commits:
            assert seconds == 0


@given(st.lists(st.floats(0.1, 5.0), min_size=40, max_size=100), st.integers(0, 30))
def test_always_stalled_without_progress(passed: list[float], restored: int) -> None:
    stall, now = Stall(0.0), 0.0
    for one in passed:
        now += one
        seconds = stall.see(Standing(5, restored, REASON, 1000), now)
    assert abs(seconds - (now - passed[0])) < 1e-6
