"""Turns a batch of another sender's records into activities for the input. It does no I/O and awaits nothing.

An event that is none becomes a dead letter. If the record is a JSON array with an item for each event, the letter has
this event alone. Otherwise the events cannot be told apart in the bytes, and one letter has the whole record.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from aiokafka import ConsumerRecord

from scorer.dlq.dead_letter import dead_letter
from scorer.domain.instant import MILLISECOND
from scorer.domain.printable import counted
from scorer.domain.trace_context import TraceContext
from scorer.kafka.client_internals import record_size
from scorer.kafka.message import Headers, Message
from scorer.kafka.record_limits import RecordLimits, TopicLimits
from scorer.kafka.sizes import ROOM
from scorer.runtime.settings import Settings
from scorer.runtime.source_metrics import SourceFigures
from scorer.runtime.spans import BatchSpans
from scorer.sources.arrival import is_stamped
from scorer.sources.cloudevents import CONTENT_TYPE, STRUCTURED
from scorer.sources.elements import KEY_BYTES, element, few
from scorer.sources.event_batch import is_array
from scorer.sources.rejected import Rejected
from scorer.sources.source import Activity, Outcome, Source
from scorer.sources.strict_json import split_list
from scorer.sources.tracing import trace_of_record
from scorer.stream.attempt import attempt, refuse_cut
from scorer.stream.outbox import Outbox, trace_headers

TRANSLATED_FROM: Final = "translated-from"
"""The header that says of which event an activity was made: `topic/partition/offset`, and `#index` in an array."""

_STRUCTURED: Final = (CONTENT_TYPE, STRUCTURED.encode())
_OUR_HEADERS: Final = 2
"""Those before the trace; the last of them says where the event was."""
_STEP: Final = 100
_BYTES: Final = 8 * 1024 * 1024
"""What a transaction takes; the last record of it may be over it, and has no more than this itself."""
_MOST_LETTERS: Final = 1_000
"""Of one record."""

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Translation:
    """What the first `records` of a batch become."""

    records: int
    outbox: Outbox
    figures: SourceFigures


class _Found(NamedTuple):
    """What comes of one record: the outcomes, the activities and the traces to which they belong, why which outcomes
    give none, dead letters by the number of the outcome, and the bytes of all values."""

    outcomes: Sequence[Outcome]
    messages: list[Message]
    traces: Sequence[TraceContext | None]
    refused: Mapping[int, Rejected]
    letters: Mapping[int, Message]
    size: int


Steps = Generator[None, None, Translation]


class Translator:
    """Translates records of one source. `clock` gives microseconds since the epoch. `limits` says what the topics
    accept."""

    def __init__(self, source: Source, settings: Settings, clock: Clock, limits: TopicLimits) -> None:
        self._source = source
        self._settings = settings
        self._clock = clock
        self._limits = limits

    def steps(self, records: "Sequence[ConsumerRecord[bytes, bytes]]", spans: BatchSpans | None = None) -> Steps:
        """Translate the records in order, at least one, as far as one transaction takes them. Other tasks can run
        between the steps, of about a hundred events each. `spans` are those of the batch; None: nothing is traced."""
        limits = self._limits.current
        figures, outbox = SourceFigures(self._source.name), Outbox(records[-1].offset + 1)
        size = taken = events = 0
        for record in records:
            if events >= _STEP:
                events = 0
                yield
            messages, written = self._messages(record, figures, limits, spans)
            outbox.messages += messages
            taken, events, size = taken + 1, events + 1 + len(messages), size + written
            if size >= _BYTES:
                outbox.next_offset = record.offset + 1
                break
        return Translation(taken, outbox, figures)

    def _messages(
        self,
        record: "ConsumerRecord[bytes, bytes]",
        figures: SourceFigures,
        limits: RecordLimits,
        spans: BatchSpans | None,
    ) -> tuple[list[Message], int]:
        """What comes of one record, and the bytes of the values."""
        try:
            found = attempt(self._found, record, limits, self._clock())
        except Rejected as rejected:
            figures.events["rejected"] += 1
            figures.dead_letters[rejected.reason] += 1
            letter = self._letter(record, rejected, limits)
            return [letter], len(letter.value or b"")
        figures.activities += len(found.messages)
        for number, outcome in enumerate(found.outcomes):
            figures.events[_fate(outcome, number in found.refused)] += 1
            if outcome.ignored is not None:
                figures.ignored[outcome.kind, outcome.ignored] += 1
            for key, reason in outcome.dropped:
                figures.dropped[key, reason] += 1
        for number in found.letters:
            figures.dead_letters[found.refused[number].reason] += 1
        messages = found.messages if spans is None else [*map(partial(_with_span, spans), found.messages, found.traces)]
        return [*messages, *found.letters.values()], found.size

    def _found(self, record: "ConsumerRecord[bytes, bytes]", limits: RecordLimits) -> _Found:
        max_bytes = self._settings.max_value_bytes
        refuse_cut(record, max_bytes)
        arrival = record.timestamp * MILLISECOND if is_stamped(record) else self._clock()
        outcomes = self._source.outcomes(record.value, record.headers, arrival, max_bytes)
        messages, traces, refused = self._activities(record, outcomes, limits)
        letters = self._letters(record, outcomes, refused, limits) if refused else {}
        size = sum(len(message.value or b"") for message in (*messages, *letters.values()))
        if size > _BYTES:
            raise Rejected("too_large", f"the record gives {size:,} bytes of activities and letters, over {_BYTES:,}")
        return _Found(outcomes, messages, traces, refused, letters, size)

    def _activities(
        self, record: "ConsumerRecord[bytes, bytes]", outcomes: Sequence[Outcome], limits: RecordLimits
    ) -> tuple[list[Message], list[TraceContext | None], dict[int, Rejected]]:
        """The activities of a record for the input, the trace of each, and why which of its outcomes give none."""
        place = f"{record.topic}/{record.partition}/{record.offset}"
        messages: list[Message] = []
        traces: list[TraceContext | None] = []
        refused: dict[int, Rejected] = {}
        for number, outcome in enumerate(outcomes):
            if outcome.rejected is not None:
                refused[number] = outcome.rejected
            if not outcome.activities:
                continue
            origin = place if outcome.index is None else f"{place}#{outcome.index}"
            headers: Headers = [_STRUCTURED, (TRANSLATED_FROM, origin.encode())]
            value, is_element = outcome.activities[0].value, outcome.index is not None
            trace = trace_of_record(record.headers, value, element=is_element)
            if trace is not None:
                headers += trace_headers(trace)
            try:
                messages += [self._message(activity, headers, limits.rekeyed) for activity in outcome.activities]
                traces += [trace] * len(outcome.activities)
            except Rejected as rejected:
                refused[number] = rejected
        return messages, traces, refused

    def _message(self, activity: Activity, headers: Headers, limit: int) -> Message:
        key, value = activity.lead_id.encode(), activity.value
        # The exact size takes longer to find than the message.
        if len(key) + len(value) + ROOM > limit:
            size = record_size(key, value, headers)
            if size > limit:
                topic = self._settings.activity_topic
                raise Rejected("too_large", f"the activity has {size:,} bytes; {topic} accepts at most {limit:,}")
        return Message(self._settings.activity_topic, None, key, value, headers)

    def _letters(
        self,
        record: "ConsumerRecord[bytes, bytes]",
        outcomes: Sequence[Outcome],
        refused: Mapping[int, Rejected],
        limits: RecordLimits,
    ) -> dict[int, Message]:
        """The dead letters of a record with refused outcomes, by the number of the outcome."""
        items = _items(record, len(outcomes))
        if items is not None and len(refused) <= _MOST_LETTERS:
            headers = few(record.headers)
            return {
                number: self._letter(element(record, number, items[number], headers), rejected, limits, number)
                for number, rejected in refused.items()
            }
        (number, first), *others = refused.items()
        if others:
            first = Rejected(
                first.reason, f"{first.detail}; also rejected: {counted(len(others), 'other event')} of the record"
            )
        return {number: self._letter(record, first, limits, outcomes[number].index)}

    def _letter(
        self,
        record: "ConsumerRecord[bytes, bytes]",
        rejected: Rejected,
        limits: RecordLimits,
        index: int | None = None,
    ) -> Message:
        topic, whole, cut = self._settings.dead_letter_topic, limits.whole_letter, limits.cut_letter
        return dead_letter(record, rejected.reason, rejected.detail, topic, limit=whole, room=cut, index=index)


def _items(record: "ConsumerRecord[bytes, bytes]", count: int) -> Sequence[bytes] | None:
    """The bytes of each event of a record with so many; None if they cannot be told apart."""
    if record.value is None or not is_array(record.value) or record.serialized_key_size > KEY_BYTES:
        return None
    try:
        items = split_list(record.value)
    except Rejected:
        return None
    return items if len(items) == count else None


def _fate(outcome: Outcome, refused: bool) -> str:
    if refused:
        return "rejected"
    if outcome.activities:
        return "translated"
    return "held" if outcome.held else "ignored"


def _with_span(spans: BatchSpans, message: Message, trace: TraceContext | None) -> Message:
    """The activity with the context of a span of its own. One that belongs to no trace gets none, because there are too
    many of them."""
    if trace is None:
        return message
    headers = message.headers[:_OUR_HEADERS]
    origin = headers[-1][1].decode()
    return message._replace(headers=[*headers, *trace_headers(spans.sent(trace, origin) or trace)])
