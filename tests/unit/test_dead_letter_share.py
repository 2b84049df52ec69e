"""Whether many records become dead letters, reported at most once a minute."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scorer.stream.dead_letter_share import FEWEST_RECORDS, DeadLetterShare


def test_a_share_above_the_bound_is_reported_with_its_reasons() -> None:
    share = DeadLetterShare(0.1)
    assert share.count(80, {"not_json": 2}, 0.0) is None
    many = share.count(20, {"not_json": 3, "time_in_future": 7}, 1.0)
    assert many is not None
    assert (many.records, many.dead_letters, many.share) == (100, 12, 0.12)
    assert list(many.reasons.items()) == [("time_in_future", 7), ("not_json", 5)]


def test_the_bound_itself_is_fine() -> None:
    assert DeadLetterShare(0.1).count(100, {"not_json": 10}, 0.0) is None
    assert DeadLetterShare(1.0).count(100, {"not_json": 100}, 0.0) is None
    assert DeadLetterShare(0.0).count(100, {"not_json": 1}, 0.0) is not None


def test_few_records_are_no_sign() -> None:
    share = DeadLetterShare(0.1)
    assert share.count(FEWEST_RECORDS - 1, {"not_json": FEWEST_RECORDS - 1}, 0.0) is None
    assert share.count(1, {}, 1.0) is not None


def test_records_of_more_than_a_minute_ago_do_not_count() -> None:
    share = DeadLetterShare(0.1)
    assert share.count(FEWEST_RECORDS - 1, {"not_json": 10}, 0.0) is None
    assert share.count(FEWEST_RECORDS, {"not_json": 1}, 60.0) is None


def test_once_a_minute_while_it_lasts() -> None:
    share = DeadLetterShare(0.1)
    reported = [now for now in range(300) if share.count(100, {"not_json": 50}, float(now))]
    assert reported == [0, 60, 120, 180, 240]


@given(
    st.floats(0.0, 0.99),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(1, 50), st.floats(0.0, 1.0)), max_size=100),
)
def test_reports_are_true_and_rare(bound: float, batches: list[tuple[float, int, float]]) -> None:
    share, now, reports = DeadLetterShare(bound), 0.0, list[float]()
    for passed, records, part in batches:
        now += passed
        many = share.count(records, {"not_json": int(records * part)}, now)
        if many is not None:
            assert many.share > bound
            assert many.records >= FEWEST_RECORDS
            reports.append(now)
    assert all(later - earlier >= 60.0 for earlier, later in pairwise(reports))
