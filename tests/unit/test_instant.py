"""Instants are exact in every time zone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scorer.domain.instant import from_datetime, to_datetime

_zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=_zones))
@example(datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC))
@example(datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC))
@example(datetime(1, 1, 1, tzinfo=UTC))
def test_a_moment_is_its_microseconds_since_the_epoch(moment: datetime) -> None:
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert from_datetime(moment) == passed // timedelta(microseconds=1)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_survives_the_round_trip(moment: datetime) -> None:
    assert to_datetime(from_datetime(moment)) == moment


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="a time without a zone names no instant"):
        from_datetime(datetime(2026, 1, 31))
