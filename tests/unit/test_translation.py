"""Records of another sender: what their translation publishes, and that no event gets lost or holds up others."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.topic_admin import Topic
from scorer.runtime.settings import Settings, load_settings
from scorer.sources.cloudevents import Header
from scorer.sources.rejected import Rejected
from scorer.sources.source import Activity, Dropped, Outcome
from scorer.stream.translation import TRANSLATED_FROM, Translation, Translator

NOW = 21_000 * 86_400_000_000
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Words:
    """A source whose records are a list of words, or one: each says what becomes of it."""

    name = "words"

    def __init__(self) -> None:
        self.arrivals: list[int] = []

    def outcomes(self, value: bytes | None, headers: Iterable[Header], now: int, max_bytes: int) -> Sequence[Outcome]:
        self.arrivals.append(now)
        if not value:
            raise Rejected("empty_value", "the record has no value")
        words = json.loads(value)
        if isinstance(words, list):
            return [self._outcome(word, index) for index, word in enumerate(words)]
        return (
            [self._outcome(words["unfold"], 0), self._outcome(words["and"], 1)]
            if isinstance(words, dict)
            else [self._outcome(words, None)]
        )

    def _outcome(self, word: str, index: int | None) -> Outcome:
        match word.split():
            case ["bad", *_]:
                return Outcome(index, "word", rejected=Rejected("no_lead", "there is no lead"))
            case ["boring"]:
                return Outcome(index, "word", ignored="boring")
            case ["merge"]:
                return Outcome(index, "alias", held=[Activity("a", "lead.merged", b"{}")])
            case ["crash"]:
                raise ZeroDivisionError("secret")
            case ["partly"]:
                made = [Activity("lead partly", "lead.x", b'"partly"')]
                return Outcome(index, "word", made, dropped=[Dropped("email", "not_text")])
            case ["large", size]:
                return Outcome(index, "word", [Activity("large", "lead.x", b"x" * int(size))])
            case _:
                return Outcome(
                    index, "word", [Activity(f"lead {word}", "lead.x", text.encode()) for text in (word, f"{word}+")]
                )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(None, rules=tmp_path_factory.mktemp("rules"))


def record(
    value: object, offset: int = 7, headers: Sequence[tuple[str, bytes]] = (), key: bytes | None = b"k", kind: int = 0
) -> "ConsumerRecord[bytes, bytes]":
    body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    sizes = len(key or b""), len(body or b"")
    return ConsumerRecord("other", 3, offset, 5_000, kind, key, body, None, *sizes, tuple(headers))


def translated(
    settings: Settings, *records: "ConsumerRecord[bytes, bytes]", limits: TopicLimits | None = None
) -> Translation:
    """All steps of one transaction."""
    steps = Translator(Words(), settings, lambda: NOW, limits or TopicLimits(settings)).steps(records)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Translation = end.value
            return result


def letters(settings: Settings, found: Translation) -> list[Message]:
    return [message for message in found.outbox.messages if message.topic == settings.dead_letter_topic]


def test_an_event_gives_its_activities_with_their_lead_as_key_and_their_origin(settings: Settings) -> None:
    found = translated(settings, record("hi", 7, [("traceparent", TRACE.encode()), ("x-their-own", b"1")]))
    assert found.outbox.next_offset == 8
    headers = [
        ("content-type", b"application/cloudevents+json"),
        ("translated-from", b"other/3/7"),
        ("traceparent", TRACE.encode()),
    ]
    assert found.outbox.messages == [
        Message(settings.activity_topic, None, b"lead hi", value, headers) for value in (b"hi", b"hi+")
    ]
    assert (found.figures.events, found.figures.activities) == ({"translated": 1}, 2)


def test_events_of_an_array_have_their_index(settings: Settings) -> None:
    found = translated(settings, record(["one", "boring", "two"]))
    places = [dict(message.headers)[TRANSLATED_FROM] for message in found.outbox.messages]
    assert places == [b"other/3/7#0"] * 2 + [b"other/3/7#2"] * 2


def test_every_outcome_is_counted(settings: Settings) -> None:
    found = translated(settings, record(["one", "boring", "merge", "bad", "partly", "boring"]), record(None, 8))
    figures = found.figures
    assert figures.events == {"translated": 2, "ignored": 2, "held": 1, "rejected": 2}
    assert figures.ignored == {("word", "boring"): 2}
    assert figures.dropped == {("email", "not_text"): 1}
    assert figures.dead_letters == {"no_lead": 1, "empty_value": 1}
    assert figures.activities == 3
    assert found.outbox.next_offset == 9

    found = translated(settings, record(b'["one", "bad  1" , "bad 2","two"]', key=b"their key"))
    made = letters(settings, found)
    assert [(letter.key, letter.value) for letter in made] == [(b"their key", b'"bad  1"'), (b"their key", b'"bad 2"')]
    headers = [dict(letter.headers) for letter in made]
    assert [(each["dlq-index"], each["dlq-offset"], each["dlq-topic"]) for each in headers] == [
        (b"1", b"7", b"other"),
        (b"2", b"7", b"other"),
    ]
    assert {each["dlq-reason"] for each in headers} == {b"no_lead"}
    assert "content-type" not in headers[0]


def test_where_events_cannot_be_told_apart_one_letter_has_the_whole_record(settings: Settings) -> None:
    value = json.dumps({"unfold": "bad", "and": "bad"}).encode()
    (letter,) = letters(settings, translated(settings, record(value)))
    headers = dict(letter.headers)
    assert letter.value == value
    assert headers["dlq-index"] == b"0"
    assert headers["dlq-detail"] == b"there is no lead; also rejected: 1 other event of the record"


def test_a_tombstone_and_what_our_code_fails_on_cost_one_record(settings: Settings) -> None:
    found = translated(settings, record(None, 1), record("crash", 2), record("fine", 3))
    made = letters(settings, found)
    assert [dict(letter.headers)["dlq-reason"] for letter in made] == [b"empty_value", b"internal_error"]
    assert all(b"secret" not in value for letter in made for _, value in letter.headers)
    assert len(found.outbox.messages) == 4


def test_a_record_that_the_consumer_has_cut_is_no_small_record(settings: Settings) -> None:
    whole = record("fine")
    cut = ConsumerRecord("other", 3, 7, 5_000, 0, b"k", whole.value, None, 1, settings.max_value_bytes + 1, ())
    (letter,) = translated(settings, cut).outbox.messages
    assert dict(letter.headers)["dlq-reason"] == b"too_large"


def test_an_activity_that_the_input_would_refuse_becomes_a_dead_letter(settings: Settings) -> None:
    limits = TopicLimits(settings)
    limits.know({settings.activity_topic: Topic(1, 1, {"max.message.bytes": "5000"})})
    found = translated(settings, record(["large 4000", "large 4990", "one"]), limits=limits)
    (letter,) = letters(settings, found)
    assert letter.value == b'"large 4990"'
    detail = dict(letter.headers)["dlq-detail"].decode()
    assert detail.endswith(f"bytes; {settings.activity_topic} accepts at most 5,000")
    assert found.figures.events == {"translated": 2, "rejected": 1}


def test_a_transaction_takes_so_much_and_the_rest_follows(settings: Settings) -> None:
    batch = [record(["large 1000000"] * 3, offset) for offset in range(10)]
    found = translated(settings, *batch)
    assert (found.records, found.outbox.next_offset) == (3, 3)
    rest = translated(settings, *batch[found.records :])
    assert (rest.records, rest.outbox.next_offset) == (3, 6)


def test_a_record_that_gives_more_than_a_transaction_takes_is_one_dead_letter(settings: Settings) -> None:
    found = translated(settings, record(["large 1000000"] * 9), record("fine", 8))
    (letter,) = letters(settings, found)
    assert dict(letter.headers)["dlq-reason"] == b"too_large"
    assert found.figures.events == {"rejected": 1, "translated": 1}
    assert len(found.outbox.messages) == 3


def test_thousands_of_bad_events_give_one_letter_with_the_record(settings: Settings) -> None:
    found = translated(settings, record(["bad"] * 5_000))
    (letter,) = found.outbox.messages
    assert dict(letter.headers)["dlq-detail"] == b"there is no lead; also rejected: 4,999 other events of the record"
    assert found.figures.events == {"rejected": 5_000}


def test_other_tasks_run_between_a_hundred_events(settings: Settings) -> None:
    batch = [record(["one"] * 50, offset) for offset in range(20)]
    steps = Translator(Words(), settings, lambda: NOW, TopicLimits(settings)).steps(batch)
    assert sum(1 for _ in steps) >= 9


def test_the_broker_says_when_a_record_arrived(settings: Settings) -> None:
    source = Words()
    translator = Translator(source, settings, lambda: NOW, TopicLimits(settings))
    for kind in (0, 1):
        for _ in translator.steps([record("one", kind=kind)]):
            pass
    assert source.arrivals == [NOW, 5_000_000]


WORDS = st.sampled_from(["one", "two", "bad", "boring", "merge", "partly", "crash", "bad idea"])
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=8),
    WORDS,
    st.lists(WORDS, max_size=6),
    st.fixed_dictionaries({"unfold": WORDS, "and": WORDS}),
)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_nothing_is_lost_whatever_is_sent(tmp_path_factory: pytest.TempPathFactory, values: list[object]) -> None:
    settings = load_settings(None, rules=Path(tmp_path_factory.getbasetemp()))
    batch = [record(value, offset) for offset, value in enumerate(values)]
    found = translated(settings, *batch)
    assert (found.records, found.outbox.next_offset) == (len(batch), len(batch))
    seen = set()
    for message in found.outbox.messages:
        headers = dict(message.headers)
        if message.topic == settings.dead_letter_topic:
            assert headers["dlq-topic"] == b"other"
            seen.add(int(headers["dlq-offset"]))
        else:
            seen.add(int(headers[TRANSLATED_FROM].partition(b"#")[0].rpartition(b"/")[2]))
    left_out = found.figures.events["ignored"] + found.figures.events["held"]
    assert len(seen) + left_out >= sum(value != [] for value in values)
    assert found.figures.dead_letters.total() == len(letters(settings, found))
