"""Stand-ins for what the worker of a partition talks to: the consumer, the committer and its owner."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import TopicPartition

from scorer.kafka.message import Message
from scorer.kafka.topic_reader import Span
from scorer.kafka.transaction import Offset

EMPTY = Span(0, 0)


class Consumer:
    """The methods that a worker uses. `opened` is set when it starts to read."""

    def __init__(self) -> None:
        self.paused = True
        self.opened = asyncio.Event()
        self.sought: list[int] = []

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought.append(offset)

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused = True

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused = False
        self.opened.set()

    def assignment(self) -> set[TopicPartition]:
        return set()


class Committed(NamedTuple):
    """One transaction. `at`: the time of the loop, in seconds."""

    messages: Sequence[Message]
    next_offset: int
    at: float


class Committer:
    """Records what is committed of one partition. `committed`: its offset before; `span`: its log."""

    waits_for = ""
    generation = 1

    def __init__(self, partition: TopicPartition, committed: Offset | None = None, span: Span = EMPTY) -> None:
        self.transactions: list[Committed] = []
        self._partition = partition
        self._committed = committed
        self._span = span

    async def joined(self) -> None:
        pass

    def is_current(self, generation: int) -> bool:
        return True

    async def take_over(self, partition: TopicPartition) -> Offset | None:
        return self._committed

    async def log_span(self, partition: TopicPartition) -> Span:
        return self._span

    async def commit(
        self, partition: TopicPartition, messages: Sequence[Message], next_offset: int, note: str = ""
    ) -> int | None:
        assert partition == self._partition
        self.transactions.append(Committed(list(messages), next_offset, asyncio.get_running_loop().time()))
        return None


class Owner:
    """Expects no reports."""

    def failed(self, error: BaseException) -> None:
        raise error
