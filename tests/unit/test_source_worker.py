"""The worker of another sender's partition: neither translation nor scoring keeps the other from working."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.topic_reader import Span
from scorer.kafka.transaction import Offset
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import load_settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.sources.source import Activity, Outcome
from scorer.stream import source_worker
from scorer.stream.source_worker import SourceContext, SourceWorker
from scorer.stream.translation import Translator
from scorer.stream.watch import Watch
from tests import virtual_time
from tests.factory import nothing_denied
from tests.unit.stand_ins import Committer, Consumer, Owner
from tests.unit.test_translation import NOW, Words, record

OTHER = TopicPartition("other", 3)
LOG = Span(4, 100)


class Slow(Words):
    """A source that takes two seconds for a record."""

    def __init__(self, clock: "Clock") -> None:
        super().__init__()
        self._clock = clock

    def outcomes(self, *arguments: Any) -> Any:
        self._clock.spent += 2.0
        return super().outcomes(*arguments)


class Clock:
    """The time of the loop, and what the source has spent, which no loop sees."""

    def __init__(self) -> None:
        self.spent = 0.0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.spent


def play(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scenario: Callable[[SourceWorker, Consumer], Coroutine[Any, Any, None]],
    committer: Committer,
    *,
    behind: bool = False,
    max_records: int = 2,
    translators: dict[str, Translator] | None = None,
) -> None:
    """`translators`: those of the worker, which the test can replace meanwhile."""
    settings = load_settings(None, rules=tmp_path, max_records=max_records, sources="other:words")
    metrics, limits, clock = Metrics(), TopicLimits(settings), Clock()

    async def unchanged(*_: object) -> None:
        """The topic is the same log."""

    monkeypatch.setattr(source_worker, "check_input", unchanged)

    async def main() -> None:
        consumer, kept = Consumer(), {} if translators is None else translators
        kept["other"] = Translator(Slow(clock), settings, lambda: NOW, limits)
        anything: Any = committer
        context = SourceContext(
            settings,
            kept,
            anything,
            metrics,
            Watch(settings, metrics),
            nothing_denied(settings),
            limits,
            lambda: behind,
            monotonic=clock.monotonic,
            pace=TokenBucket(clock.monotonic),
        )
        worker = SourceWorker(OTHER, consumer, Owner(), context)
        await consumer.opened.wait()
        await scenario(worker, consumer)
        worker.close()
        await worker.task

    virtual_time.run(main(), 400.0)


def words(first: int, count: int) -> "list[ConsumerRecord[bytes, bytes]]":
    return [record("one", offset) for offset in range(first, first + count)]


async def until(worker: SourceWorker, offset: int) -> None:
    while worker.next_offset < offset:  # noqa: ASYNC110 (a worker tells nobody)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("committed", "start"), [(None, 4), (Offset(7, "of a former owner"), 7)])
def test_a_new_topic_is_read_from_its_first_record_and_a_known_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: Offset | None, start: int
) -> None:
    async def scenario(worker: SourceWorker, consumer: Consumer) -> None:
        assert consumer.sought == [start]
        worker.offer(words(start, 3))
        await until(worker, start + 3)

    committer = Committer(OTHER, committed, LOG)
    play(tmp_path, monkeypatch, scenario, committer)
    assert [(each.next_offset, len(each.messages)) for each in committer.transactions] == [
        (start + 2, 4),
        (start + 3, 2),
    ]


@pytest.mark.parametrize("behind", [False, True])
def test_while_activities_wait_translation_takes_half_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: bool
) -> None:
    async def scenario(worker: SourceWorker, consumer: Consumer) -> None:
        worker.offer(words(4, 8))
        await until(worker, 12)

    committer = Committer(OTHER, span=LOG)
    play(tmp_path, monkeypatch, scenario, committer, behind=behind)
    # Each batch of two records costs four seconds of work, of which the loop sees none.
    pauses = [later.at - earlier.at for earlier, later in pairwise(committer.transactions)]
    assert pauses == pytest.approx([0.0] * 3 if not behind else [4.0] * 3, abs=0.2)


def test_a_full_partition_makes_nobody_wait_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(worker: SourceWorker, consumer: Consumer) -> None:
        worker.offer(words(4, 5))
        now = asyncio.get_running_loop().time()
        await worker.room()
        assert asyncio.get_running_loop().time() == now
        assert consumer.paused
        await until(worker, 9)
        assert not consumer.paused

    play(tmp_path, monkeypatch, scenario, Committer(OTHER, span=LOG))


class Renamed(Words):
    """By another mapping, all activities are of one lead."""

    def outcomes(self, *arguments: Any) -> Sequence[Outcome]:
        return [Outcome(None, "word", [Activity("renamed", "lead.x", b"{}")])]


def test_another_mapping_translates_the_next_batch_and_never_a_part_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch needs two transactions, and the mapping changes after the first one."""
    translators: dict[str, Translator] = {}
    settings = load_settings(None, rules=tmp_path)

    class Changing(Committer):
        async def commit(
            self, partition: TopicPartition, messages: Sequence[Message], next_offset: int, note: str = ""
        ) -> int | None:
            translators["other"] = Translator(Renamed(), settings, lambda: NOW, TopicLimits(settings))
            return await super().commit(partition, messages, next_offset, note)

    async def scenario(worker: SourceWorker, consumer: Consumer) -> None:
        worker.offer([record(["large 900000"] * 8, offset) for offset in range(4, 8)])
        worker.offer(words(8, 1))
        await until(worker, 9)

    committer = Changing(OTHER, span=LOG)
    play(tmp_path, monkeypatch, scenario, committer, max_records=4, translators=translators)
    keys = [(each.next_offset, {message.key for message in each.messages}) for each in committer.transactions]
    assert keys == [(6, {b"large"}), (8, {b"large"}), (9, {b"renamed"})]
