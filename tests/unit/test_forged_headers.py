"""Headers of ours that a sender writes: they choose neither reason nor origin of a dead letter, hide it from a purge,
nor make it count as replayed."""

from types import SimpleNamespace
from typing import Any

from scorer.dlq.dead_letter import dead_letter
from scorer.dlq.queue import COPIED_FROM, FIRST_POSITION, REPLAYED_FROM, Origin, copied_from, dead_letter_of, mark_of
from tests.golden.mixed_activities import FakeRecord

FORGED = [
    ("dlq-reason", b"too_large"),
    ("dlq-detail", b"look elsewhere"),
    ("dlq-topic", b"somebody.elses"),
    ("dlq-partition", b"9"),
    ("dlq-offset", b"99"),
    ("dlq-index", b"3"),
    ("dlq-length", b"1"),
    ("dlq-key-length", b"1"),
    ("dlq-headers-length", b"1"),
    (FIRST_POSITION, b"0/1/2"),
    (COPIED_FROM, b"0"),
    (REPLAYED_FROM, b"dlq/0/1"),
    ("trace", b"1"),
]


def test_a_sender_cannot_write_the_headers_of_a_dead_letter() -> None:
    sent = FakeRecord("input", 4, 81, 1_700_000_000_000, b"lead-7", b"no activity", FORGED)
    record: Any = sent
    message = dead_letter(record, "not_json", "the value is not JSON", "dlq", limit=1 << 20)
    written = SimpleNamespace(
        topic="dlq", partition=0, offset=17, timestamp=5, key=message.key, value=message.value, headers=message.headers
    )
    letter = dead_letter_of(written, replayed=False, with_content=True)
    assert (letter.reason, letter.detail) == ("not_json", "the value is not JSON")
    assert letter.origin is not None
    assert letter.origin == Origin("input", 4, 81)
    assert letter.cut_from is None
    assert letter.content is not None
    assert (letter.content.key_cut_from, letter.content.headers_cut_from) == (None, None)
    assert [name for name, _ in letter.content.headers] == [REPLAYED_FROM, "trace"]
    # The mark of a replay and the place of the original are those of the record, so a purge and a replay see it.
    assert (mark_of(written), copied_from(written)) == (b"0/17/5", None)
