"""Turns a batch of raw records into what its transaction publishes. It does no I/O and awaits nothing."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from time import perf_counter
from typing import Final

import structlog
from aiokafka import ConsumerRecord
from msgspec import structs

from scorer.dlq.dead_letter import INTERNAL_ERROR, dead_letter, internal_error
from scorer.domain.activity import LISTING, LeadActivity
from scorer.domain.instant import MINUTE, to_text
from scorer.domain.lead import Lead
from scorer.domain.unfitting import Drop
from scorer.evaluation.kept_facts import Unfitting
from scorer.evaluation.results import Assessment, CriteriaResult
from scorer.evaluation.rule_change import RuleChange
from scorer.kafka.fault_points import poisoned
from scorer.kafka.record_limits import RecordLimits, TopicLimits
from scorer.rules.ruleset import BEHAVIOUR
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.runtime.spans import BatchSpans
from scorer.runtime.tracebacks import traceback_of
from scorer.sources.arrival import arrival_of, is_stamped, log_time_after
from scorer.sources.cloudevents import EventBatch, NullKey, parse_record
from scorer.sources.elements import elements, index_of
from scorer.sources.rejected import Rejected
from scorer.sources.strict_json import too_large
from scorer.sources.tick import is_tick
from scorer.sources.tracing import trace_of_record
from scorer.state.store import LeadStore
from scorer.stream.effects import stage_effects
from scorer.stream.outbox import Outbox, state_messages
from scorer.stream.rekey import rekeyed
from scorer.stream.shadow import Shadow
from scorer.stream.too_large import Trim, fitting_state, untrimmed

Assess = Callable[[Lead, LeadActivity, int | None, RuleChange | None], Assessment]
"""Of a lead, an activity, its arrival in microseconds since the epoch (None: at its own time), and the change by which
the rules took effect."""
Clock = Callable[[], int]
Judgement = tuple[Lead, LeadActivity, Assessment]
"""The lead before an activity, the activity, and the resulting assessment."""
Steps = Generator[None, None, tuple[Outbox, BatchFigures]]

_STEP: Final = 100
_AHEAD: Final = MINUTE
"""A clock that is ahead by more is worth a look."""

log = structlog.get_logger()


class BatchProcessor:
    """Parses, assesses and stages. `clock` gives microseconds since the epoch. `trim` makes a lead smaller that has
    grown too large; `limits` says when that is. `unfitting` gives what of an activity does not fit; without it, only
    what does not fit the contract is counted."""

    def __init__(
        self,
        settings: Settings,
        assess: Assess,
        clock: Clock,
        shadow: Shadow | None = None,
        *,
        trim: Trim = untrimmed,
        limits: TopicLimits | None = None,
        unfitting: Callable[[LeadActivity], Sequence[Drop]] = attrgetter("dropped"),
    ) -> None:
        self.limits = limits or TopicLimits(settings)
        self._settings = settings
        self._trim = trim
        self._unfitting = unfitting
        self._assess = poisoned(assess)
        self._clock = clock
        self._shadow = shadow

    def process(
        self, records: "Sequence[ConsumerRecord[bytes, bytes]]", store: LeadStore
    ) -> tuple[Outbox, BatchFigures]:
        """Assess the records in order. Changed leads are staged in the store; nothing is published yet.

        A record that is not an activity becomes a dead letter. So does a record on which our own code fails twice, and
        one that leads to a state or a decision that is too large (`too_large`). The events of a batch count as records,
        except for the offset.
        """
        steps = self.steps(records, store)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                result: tuple[Outbox, BatchFigures] = done.value
                return result

    def steps(
        self, records: "Sequence[ConsumerRecord[bytes, bytes]]", store: LeadStore, spans: BatchSpans | None = None
    ) -> Steps:
        """`process` in steps of 100 records, about ten milliseconds each. Other tasks can run between the steps. The
        last step returns the result. `spans` are those of the batch; None: nothing is traced."""
        limits = self.limits.current
        suspects: set[str] = set()
        while True:
            try:
                return (yield from self._process(records, store, limits, suspects, spans))
            except _UnfitError as error:
                store.discard()
                if error.leads <= suspects:
                    raise
                # States cannot be encoded or are too large. Another pass encodes the states of these leads as they
                # arise, which finds the records.
                suspects |= error.leads

    def _process(
        self,
        records: "Sequence[ConsumerRecord[bytes, bytes]]",
        store: LeadStore,
        limits: RecordLimits,
        suspects: Collection[str],
        spans: BatchSpans | None,
    ) -> Steps:
        settings = self._settings
        if spans is not None:
            spans.restart()
        now = self._clock()
        last = records[-1]
        outbox = Outbox(last.offset + 1)
        figures = BatchFigures()
        one = partial(self._one, store=store, now=now, figures=figures, limits=limits, suspects=suspects)
        # Counting once at the end costs half a microsecond per record instead of 4.
        types: list[str] = []
        stating: list[LeadActivity] = []
        results: list[CriteriaResult] = []
        signals: list[str] = []
        batches: deque[Iterable[ConsumerRecord[bytes, bytes]]] = deque()
        log_time = store.log_time
        for number, record in enumerate(_with_elements(records, batches), 1):
            if number % _STEP == 0:
                yield
            try:
                log_time = log_time_after(log_time, record)
                if is_tick(record.value):
                    figures.ticks += 1
                    continue
                lead, activity, assessment = _attempt(one, record, log_time, now)
                if assessment.effects:
                    trace = trace_of_record(record.headers, record.value, element=index_of(record) is not None)
                    stage_effects(assessment.effects, outbox, figures, settings, now, limits.decision, trace, spans)
                    figures.timestamps.append(record.timestamp)
            except Rejected as rejected:
                batches.extend(self._refused(record, rejected, outbox, figures, limits))
                continue
            if assessment.lead is not lead:
                store.stage(assessment.lead)
            types.append(activity.type)
            if activity.dropped or activity.type in LISTING:
                stating.append(activity)
            evaluation = assessment.evaluation
            if evaluation is not None:
                results.append(evaluation.criteria_result)
                signals += evaluation.signal_points
            if self._shadow is not None:
                self._shadow.compare(activity, assessment, outbox, figures)
        figures.activities.update(types)
        for activity in stating:
            _count(self._unfitting(activity), figures)
        for result, times in Counter(results).items():
            for hit in result.hits:
                figures.rule_hits[hit] += times
        for signal, times in Counter(signals).items():
            figures.rule_hits[BEHAVIOUR, signal] += times
        try:
            states = store.encode_staged()
        except Exception as error:
            raise _UnfitError(store.unfit(limits.state.size)) from error
        if max((len(state) for state in states.values() if state is not None), default=0) > limits.state.size:
            raise _UnfitError(store.unfit(limits.state.size))
        outbox.messages += state_messages(states, settings.state_topic, last.partition, last.offset)
        outbox.log_time = log_time
        return outbox, figures

    def _refused(
        self,
        record: "ConsumerRecord[bytes, bytes]",
        rejected: Rejected,
        outbox: Outbox,
        figures: BatchFigures,
        limits: RecordLimits,
    ) -> "Iterable[Iterable[ConsumerRecord[bytes, bytes]]]":
        """Stage what becomes of a record that is not one activity with its key: a dead letter, or a record with a key
        for the input. Of a batch, nothing is staged; its events are returned, to be processed next."""
        settings = self._settings
        try:
            if isinstance(rejected, EventBatch):
                return (elements(record, rejected.events),)
            if isinstance(rejected, NullKey) and settings.null_keys == "rekey":
                outbox.messages.append(rekeyed(record, rejected.lead_id, settings.activity_topic, limits.rekeyed))
                figures.rekeyed += 1
                return ()
        except Rejected as final:
            rejected = final
        if isinstance(rejected, Unfitting):
            _count(rejected.drops, figures)
        topic, whole, cut = settings.dead_letter_topic, limits.whole_letter, limits.cut_letter
        reason, index = rejected.reason, index_of(record)
        outbox.messages.append(dead_letter(record, reason, rejected.detail, topic, limit=whole, room=cut, index=index))
        figures.dead_letters[reason] += 1
        return ()

    def _one(
        self,
        record: "ConsumerRecord[bytes, bytes]",
        log_time: int | None,
        store: LeadStore,
        now: int,
        figures: BatchFigures,
        limits: RecordLimits,
        suspects: Collection[str],
    ) -> Judgement:
        value, max_bytes = record.value, self._settings.max_value_bytes
        if record.serialized_value_size > max_bytes and len(value or b"") < record.serialized_value_size:
            # The consumer kept only its beginning, which could look like a small activity.
            raise too_large(record.serialized_value_size, max_bytes)
        stamped = log_time is not None and is_stamped(record)
        latest = log_time if stamped and log_time is not None else now
        activity = parse_record(value, record.key, record.headers, latest, max_bytes=max_bytes)
        if stamped and activity.time > latest + _AHEAD:
            figures.ahead[activity.source] += 1
        arrival = arrival_of(record, log_time, activity.time)
        lead = store.get(activity.lead_id)
        started = perf_counter()
        assessment = self._assess(lead, activity, arrival, store.change)
        figures.assess_seconds.append(perf_counter() - started)
        if lead.id in suspects and assessment.lead is not lead:
            fitting, _ = fitting_state(assessment.lead, limits.state, self._trim)
            assessment = structs.replace(assessment, lead=fitting)
        return lead, activity, assessment


def _count(drops: Collection[Drop], figures: BatchFigures) -> None:
    figures.unfitting.update((drop.field, drop.reason) for drop in drops)


def _with_elements(
    records: "Iterable[ConsumerRecord[bytes, bytes]]", batches: "deque[Iterable[ConsumerRecord[bytes, bytes]]]"
) -> "Iterator[ConsumerRecord[bytes, bytes]]":
    """The records. After each one come the events that the caller has added to `batches` meanwhile."""
    for record in records:
        yield record
        while batches:
            yield from batches.popleft()


def _attempt(
    one: "Callable[[ConsumerRecord[bytes, bytes], int | None], Judgement]",
    record: "ConsumerRecord[bytes, bytes]",
    log_time: int | None,
    now: int,
) -> Judgement:
    """The result of `one` for the record. A failure is retried once. Raises `Rejected`."""
    try:
        return one(record, log_time)
    except (Rejected, MemoryError):
        raise
    except Exception:  # noqa: BLE001 (a fault in our code must cost one record, not a partition)
        try:
            return one(record, log_time)
        except (Rejected, MemoryError):
            raise
        except Exception as error:
            rejected = internal_error(error)
            log.error(
                INTERNAL_ERROR,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                index=index_of(record),
                detail=rejected.detail,
                at=to_text(now),
                exception=traceback_of(error),
            )
            raise rejected from error


class _UnfitError(Exception):
    """The states of these leads cannot be encoded or are too large."""

    def __init__(self, leads: set[str]) -> None:
        super().__init__(f"{len(leads)} leads")
        self.leads = leads
