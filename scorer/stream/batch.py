"""Turns a batch of raw records into what its transaction publishes. It does no I/O and awaits nothing."""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from functools import partial
from time import perf_counter
from typing import Final

import structlog
from aiokafka import ConsumerRecord

from scorer.dlq.dead_letter import INTERNAL_ERROR, SHORTENED, dead_letter, internal_error
from scorer.domain.activity import LeadActivity
from scorer.domain.instant import to_text
from scorer.domain.lead import Lead
from scorer.evaluation.results import Assessment, CriteriaResult
from scorer.kafka.fault_points import poisoned
from scorer.kafka.sizes import whole_bytes
from scorer.rules.ruleset import BEHAVIOUR
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.runtime.tracebacks import traceback_of
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected
from scorer.sources.strict_json import too_large
from scorer.state.store import LeadStore
from scorer.stream.effects import stage_effects
from scorer.stream.outbox import Outbox, state_messages
from scorer.stream.shadow import Shadow

Assess = Callable[[Lead, LeadActivity], Assessment]
Clock = Callable[[], int]
Judgement = tuple[Lead, LeadActivity, Assessment]
"""The lead before an activity, the activity, and the resulting assessment."""
Steps = Generator[None, None, tuple[Outbox, BatchFigures]]

_STEP: Final = 100

log = structlog.get_logger()


class BatchProcessor:
    """Parses, assesses and stages. `clock` gives microseconds since the epoch."""

    def __init__(self, settings: Settings, assess: Assess, clock: Clock, shadow: Shadow | None = None) -> None:
        self._settings = settings
        self._whole_bytes = whole_bytes(settings)
        self._assess = poisoned(assess)
        self._clock = clock
        self._shadow = shadow

    def process(
        self, records: "Sequence[ConsumerRecord[bytes, bytes]]", store: LeadStore, *, shorten: bool = False
    ) -> tuple[Outbox, BatchFigures]:
        """Assess the records in order. Changed leads are staged in the store; nothing is published yet.

        A record that is not an activity becomes a dead letter. So does a record on which our own code fails twice.
        `shorten`: cut dead letters that are below the limit too, because the broker refused them.
        """
        steps = self.steps(records, store, shorten=shorten)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                result: tuple[Outbox, BatchFigures] = done.value
                return result

    def steps(self, records: "Sequence[ConsumerRecord[bytes, bytes]]", store: LeadStore, *, shorten: bool) -> Steps:
        """`process` in steps of 100 records, about ten milliseconds each. Other tasks can run between the steps. The
        last step returns the result."""
        try:
            return (yield from self._process(records, store, check_each=False, shorten=shorten))
        except _EncodingError:
            # A state cannot be encoded. A second pass encodes each state as it arises, which finds the record.
            store.discard()
            return (yield from self._process(records, store, check_each=True, shorten=shorten))

    def _process(
        self, records: "Sequence[ConsumerRecord[bytes, bytes]]", store: LeadStore, *, check_each: bool, shorten: bool
    ) -> Steps:
        settings = self._settings
        now = self._clock()
        last = records[-1]
        outbox = Outbox(last.offset + 1)
        figures = BatchFigures()
        one = partial(self._one, store=store, now=now, figures=figures, check_each=check_each)
        # Counting once at the end costs half a microsecond per record instead of 4.
        types: list[str] = []
        results: list[CriteriaResult] = []
        signals: list[str] = []
        limit = SHORTENED if shorten else self._whole_bytes
        for number, record in enumerate(records, 1):
            if number % _STEP == 0:
                yield
            try:
                lead, activity, assessment = _attempt(one, record, now)
            except Rejected as rejected:
                topic = settings.dead_letter_topic
                letter = dead_letter(record, rejected.reason, rejected.detail, topic, limit=limit)
                outbox.messages.append(letter)
                figures.dead_letters[rejected.reason] += 1
                continue
            types.append(activity.type)
            evaluation = assessment.evaluation
            if evaluation is not None:
                results.append(evaluation.criteria_result)
                signals += evaluation.signal_points
            if self._shadow is not None:
                self._shadow.compare(lead, activity, assessment, outbox, figures)
            if assessment.effects:
                stage_effects(assessment.effects, outbox, figures, settings, now)
                figures.timestamps.append(record.timestamp)
        figures.activities.update(types)
        for result, times in Counter(results).items():
            for hit in result.hits:
                figures.rule_hits[hit] += times
        for signal, times in Counter(signals).items():
            figures.rule_hits[BEHAVIOUR, signal] += times
        try:
            states = store.encode_staged()
        except Exception as error:
            raise _EncodingError from error
        outbox.messages += state_messages(states, settings.state_topic, last.partition, last.offset)
        return outbox, figures

    def _one(
        self,
        record: "ConsumerRecord[bytes, bytes]",
        store: LeadStore,
        now: int,
        figures: BatchFigures,
        *,
        check_each: bool,
    ) -> Judgement:
        value, max_bytes = record.value, self._settings.max_value_bytes
        if record.serialized_value_size > max_bytes and len(value or b"") < record.serialized_value_size:
            # The consumer kept only its beginning, which could look like a small activity.
            raise too_large(record.serialized_value_size, max_bytes)
        activity = parse_record(value, record.key, record.headers, now, max_bytes=max_bytes)
        lead = store.get(activity.lead_id)
        started = perf_counter()
        assessment = self._assess(lead, activity)
        figures.assess_seconds.append(perf_counter() - started)
        if assessment.lead is not lead:
            store.stage(assessment.lead)
            if check_each:
                try:
                    store.encode_staged()
                except Exception:
                    store.stage(lead)
                    raise
        return lead, activity, assessment


def _attempt(
    one: "Callable[[ConsumerRecord[bytes, bytes]], Judgement]", record: "ConsumerRecord[bytes, bytes]", now: int
) -> Judgement:
    """The result of `one` for the record. A failure is retried once. Raises `Rejected`."""
    try:
        return one(record)
    except (Rejected, MemoryError):
        raise
    except Exception:  # noqa: BLE001 (a fault in our code must cost one record, not a partition)
        try:
            return one(record)
        except (Rejected, MemoryError):
            raise
        except Exception as error:
            rejected = internal_error(error)
            log.error(
                INTERNAL_ERROR,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                detail=rejected.detail,
                at=to_text(now),
                exception=traceback_of(error),
            )
            raise rejected from error


class _EncodingError(Exception):
    """A staged state cannot be encoded."""
