"""Whether the clock of this machine is right, from the times that Kafka gives."""

from typing import NamedTuple

from scorer.stream.clock_check import LEADS, TOLERANCE, ClockCheck

TRUE = 1_800_000_000.0
DAYS = 2 * 86_400.0


class Seen(NamedTuple):
    """A record: `at` in seconds since the epoch."""

    at: float
    lead: str = "lead"
    timestamp_type: int = 0
    partition: int = 0

    @property
    def timestamp(self) -> int:
        return round(self.at * 1000)

    @property
    def key(self) -> bytes:
        return self.lead.encode()


def leads(count: int, at: float, name: str = "lead") -> list[Seen]:
    return [Seen(at, f"{name}-{number}") for number in range(count)]


def read(check: ClockCheck, records: list[Seen], wall: float, monotonic: float = 0.0) -> None:
    """In small batches, so that each record counts."""
    for record in records:
        check.read([record], wall, monotonic)


def wrong(check: ClockCheck, wall: float, monotonic: float = 0.0) -> bool:
    offset = check.offset(wall, monotonic)
    return offset is not None and offset.wrong


def test_nothing_is_known_without_evidence() -> None:
    assert ClockCheck().offset(TRUE, 0.0) is None


def test_our_own_records_show_a_clock_that_is_behind_or_ahead() -> None:
    for error in (-DAYS, DAYS, -TOLERANCE - 1, TOLERANCE + 1):
        check = ClockCheck()
        check.wrote(round(TRUE * 1000), TRUE + error, 0.0)
        offset = check.offset(TRUE + error, 0.0)
        assert offset is not None
        assert offset.wrong
        assert offset.seconds == -error
    check = ClockCheck()
    check.wrote(round(TRUE * 1000), TRUE + 5.0, 0.0)
    assert not wrong(check, TRUE + 5.0)


def test_one_record_that_the_broker_stamped_shows_a_clock_that_is_behind() -> None:
    check = ClockCheck()
    check.read([Seen(TRUE, timestamp_type=1)], TRUE - DAYS, 0.0)
    assert wrong(check, TRUE - DAYS)


def test_old_records_show_nothing() -> None:
    check = ClockCheck()
    check.read([Seen(TRUE - DAYS, timestamp_type=1)], TRUE, 0.0)
    read(check, leads(40, TRUE - DAYS), TRUE)
    assert check.offset(TRUE, 0.0) is None


def test_most_leads_together_show_a_clock_that_is_behind() -> None:
    check = ClockCheck()
    read(check, leads(LEADS - 1, TRUE), TRUE - DAYS)
    assert check.offset(TRUE - DAYS, 0.0) is None
    read(check, leads(LEADS, TRUE), TRUE - DAYS)
    assert wrong(check, TRUE - DAYS)


def test_one_lead_alone_cannot_declare_the_clock_wrong() -> None:
    check = ClockCheck()
    read(check, leads(LEADS, TRUE), TRUE)
    for _ in range(1000):
        check.read([Seen(TRUE + DAYS, "attacker")] * 50, TRUE, 0.0)
    assert not wrong(check, TRUE)


def test_a_minority_of_leads_cannot_either() -> None:
    check = ClockCheck()
    read(check, leads(24, TRUE + DAYS, "wrong"), TRUE)
    read(check, leads(26, TRUE, "right"), TRUE)
    assert not wrong(check, TRUE)


def test_senders_count_for_nothing_if_the_broker_confirms_the_clock() -> None:
    check = ClockCheck()
    check.wrote(round(TRUE * 1000), TRUE, 0.0)
    read(check, leads(50, TRUE + DAYS), TRUE)
    assert not wrong(check, TRUE)


def test_a_clock_that_is_set_makes_what_was_seen_before_void() -> None:
    check = ClockCheck()
    read(check, leads(50, TRUE), TRUE - DAYS)
    check.read([Seen(TRUE, timestamp_type=1)], TRUE - DAYS, 0.0)
    check.wrote(round(TRUE * 1000), TRUE - DAYS, 0.0)
    assert wrong(check, TRUE - DAYS)
    assert check.offset(TRUE + 1.0, 1.0) is None


def test_old_evidence_expires() -> None:
    check = ClockCheck()
    read(check, leads(50, TRUE), TRUE - DAYS)
    check.wrote(round(TRUE * 1000), TRUE - DAYS, 0.0)
    assert wrong(check, TRUE - DAYS + 500.0, 500.0)
    assert check.offset(TRUE - DAYS + 700.0, 700.0) is None


def test_a_large_batch_is_only_sampled() -> None:
    class Counted(list[Seen]):
        seen = 0

        def __getitem__(self, which: object) -> "list[Seen]":  # type: ignore[override]
            part: list[Seen] = super().__getitem__(which)  # type: ignore[call-overload]
            Counted.seen += len(part)
            return part

    ClockCheck().read(Counted(leads(2000, TRUE)), TRUE, 0.0)
    assert 0 < Counted.seen <= 16
