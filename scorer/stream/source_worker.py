"""The worker of a partition of another sender's topic: it has the records translated into activities for the input.

The activities, the dead letters and the offset of the partition are in one transaction. So each record is translated
once, and the input has the whole truth. There is no state and nothing to restore.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.transaction import Offset, TooLargeError
from scorer.runtime.backoff import pause_unless
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings
from scorer.runtime.spans import BatchSpans, Spans
from scorer.runtime.token_bucket import TokenBucket
from scorer.stream.access_watch import AccessWatch
from scorer.stream.assigned import AssignedPartition, FatalError, Owner, traces_of
from scorer.stream.committer import Committer, RefusedError
from scorer.stream.input_log import check_input
from scorer.stream.translation import Translation, Translator
from scorer.stream.watch import Watch


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What the workers of all partitions of other senders share.

    `translators`: by topic; others replace them when mappings change. `scoring_is_behind`: whether activities wait to
    be judged; translation then takes half of the time at most, so that neither of the two starves. `monotonic` gives
    seconds, also to `pace`.
    """

    settings: Settings
    translators: Mapping[str, Translator]
    committer: Committer
    metrics: Metrics
    watch: Watch
    access: AccessWatch
    limits: TopicLimits
    scoring_is_behind: Callable[[], bool]
    spans: Spans | None = None
    monotonic: Callable[[], float] = time.monotonic
    pace: TokenBucket = field(default_factory=lambda: TokenBucket(time.monotonic))


class SourceWorker(AssignedPartition):
    """Translates the records of one partition of another sender's topic."""

    def __init__(
        self,
        partition: TopicPartition,
        consumer: Any,
        owner: Owner,
        context: SourceContext,
        predecessor: "asyncio.Task[None] | None" = None,
    ) -> None:
        self._context = context
        super().__init__(partition, consumer, owner, context, predecessor)

    async def room(self) -> None:
        """Fetch nothing more while too many records are unprocessed. It never waits, because scoring would wait too."""
        if self._accepts() and self._inbox.full:
            self._hold_back()

    async def _prepare(self, committed: Offset | None) -> int | None:
        self._step = "the log of its topic"
        start: int | None = await self._unless_closing(self._start(committed))
        return start

    async def _start(self, committed: Offset | None) -> int:
        """The offset to continue from: the first one of a topic that is new to the group, also of one that was deleted
        and made again, because Kafka then forgets its offsets. Raises `InputChangedError` if records are missing."""
        if committed is None:
            return (await self._committer.log_span(self.partition)).first
        await check_input(self._settings, self.partition, committed.next, None)
        return committed.next

    def _opened(self) -> Mapping[str, object]:
        return {}

    def _forget(self) -> None:
        """Nothing is kept."""

    async def _transact(self, batch: "list[ConsumerRecord[bytes, bytes]]", reached: int) -> None:
        """As many transactions as the activities of the batch need, all by the mapping that is in effect now."""
        translator = self._context.translators[self.partition.topic]
        while batch and not self._closing.is_set():
            self._step = "its turn, because activities wait to be judged"
            await pause_unless(self._closing, self._context.pace.wait())
            spans = self._spans(batch)
            try:
                translation = await self._translate(translator, batch, spans)
                batch = batch[translation.records :]
                if not batch:
                    translation.outbox.next_offset = max(translation.outbox.next_offset, reached)
                await self._commit(translation)
            except BaseException as error:
                if spans is not None:
                    spans.failed(error)
                raise
            if spans is not None:
                figures = translation.figures
                spans.committed(figures.dead_letters.total(), figures.activities, translation.records)

    def _spans(self, batch: "list[ConsumerRecord[bytes, bytes]]") -> BatchSpans | None:
        """The spans of a batch; None if nothing is traced."""
        spans = self._context.spans
        if spans is None:
            return None
        causes = traces_of(batch)
        return spans.translation(self.partition.topic, self.partition.partition, batch[0].offset, len(batch), causes)

    async def _translate(
        self, translator: Translator, batch: "list[ConsumerRecord[bytes, bytes]]", spans: BatchSpans | None
    ) -> Translation:
        """Translate the beginning of a batch. Scoring, heartbeats and requests run between the steps."""
        self._step = "the translation of a batch"
        context = self._context
        steps = translator.steps(batch, spans)
        spent = 0.0
        while True:
            began = context.monotonic()
            try:
                next(steps)
            except StopIteration as end:
                if context.scoring_is_behind():
                    context.pace.spend(spent + context.monotonic() - began)
                translation: Translation = end.value
                return translation
            spent += context.monotonic() - began
            self._inbox.step()
            await asyncio.sleep(0)

    async def _commit(self, translation: Translation) -> None:
        context, outbox, figures = self._context, translation.outbox, translation.figures
        accepted = context.limits.current.topics
        self._step = "the end of its transaction"
        try:
            await self._committer.commit(self.partition, outbox.messages, outbox.next_offset)
        except TooLargeError as error:
            await self._accept_less(error, accepted)
            raise
        except RefusedError as error:
            raise FatalError(str(error)) from error
        self._backoff.reset()
        self._step, self._last_error = "the next batch", ""
        self.next_offset = outbox.next_offset
        self._metrics.translated(figures)
        context.watch.translated(self.partition.topic, figures.events.total(), figures.dead_letters)
        self.measure_lag()
