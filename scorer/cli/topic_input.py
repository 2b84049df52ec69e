"""An input topic as the activities of a command: its committed records, up to the end that it has at the start."""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

from aiokafka import TopicPartition

from scorer.cli.activities import Activities
from scorer.cli.kafka import FAILURES, fail, settings_or_exit, silence_client
from scorer.kafka.topic_admin import TopicError, describe, topic_admin
from scorer.kafka.topic_reader import TOOL_PACE, Span, TopicReader, topic_reader
from scorer.offline.activity_files import Block
from scorer.offline.partition_lines import PartitionLines
from scorer.runtime.settings import Settings

T = TypeVar("T")

_PACE: Final = replace(TOOL_PACE, poll_records=5_000)


@contextmanager
def open_topic(name: str | None, now: int, command: str, only: bytes | None = None) -> Iterator[Activities]:
    """The topic, each partition as a part. Print one line on stderr and exit if Kafka does not answer or refuses.

    `name`: None for `SCORER_ACTIVITY_TOPIC`. `now`: as in `PartitionLines`. `command`: its name among `access.NEEDS`.
    `only`: the key of the records to read.
    """
    settings = settings_or_exit()
    if name is not None:
        settings = settings.model_copy(update={"activity_topic": name})
    silence_client()
    with asyncio.Runner() as runner, ExitStack() as stack:
        run = _Run(runner, settings, command)
        open_things = AsyncExitStack()
        stack.callback(lambda: run(open_things.aclose()))
        reader = run(open_things.enter_async_context(topic_reader(settings, _PACE)))
        spans = run(_spans(reader, settings))
        parts = [_Partition(partition, span, run, reader, now, only) for partition, span in sorted(spans.items())]
        # The records are checked already, and a line may be a little longer than its record.
        yield Activities(
            [settings.activity_topic], sum(span.end - span.first for span in spans.values()), sys.maxsize, parts
        )


class _Run:
    """Runs one step after the other, so that a command without an event loop can use a reader. Exits if one fails."""

    def __init__(self, runner: asyncio.Runner, settings: Settings, command: str) -> None:
        self.settings = settings
        self._runner = runner
        self._command = command

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._runner.run(work)
        except FAILURES as error:
            fail(error, self.settings, self._command)


class _Partition:
    """A partition of the topic."""

    translated: Final = None

    def __init__(
        self, partition: TopicPartition, span: Span, run: _Run, reader: TopicReader, now: int, only: bytes | None
    ) -> None:
        self._partition = partition
        self._span = span
        self._run = run
        self._reader = reader
        self._now = now
        self._only = only
        self._lines = self._new_lines()

    @property
    def log_time(self) -> int | None:
        return self._lines.log_time

    def blocks(self) -> Iterator[Block]:
        lines = self._lines = self._new_lines()
        reached = self._span.first
        polls = self._reader.polls({self._partition: self._span})
        while (poll := self._run(_next(polls))) is not None:
            position = poll.positions[self._partition]
            yield lines.block(poll.records, position - reached)
            reached = position

    def _new_lines(self) -> PartitionLines:
        settings = self._run.settings
        name = f"{self._partition.topic}-{self._partition.partition}"
        rekeyed = settings.null_keys == "rekey"
        return PartitionLines(name, self._now, settings.max_value_bytes, rekeyed=rekeyed, only=self._only)


async def _next(polls: Any) -> Any:
    return await anext(polls, None)


async def _spans(reader: TopicReader, settings: Settings) -> dict[TopicPartition, Span]:
    name = settings.activity_topic
    async with topic_admin(settings) as admin:
        topic = (await describe(admin, [name])).get(name)
    if topic is None:
        raise TopicError(f"there is no topic {name}")
    return await reader.spans(name, topic.partitions)
