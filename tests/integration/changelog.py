"""Reads a changelog to its end, as a worker does."""

from collections.abc import Callable

from aiokafka import TopicPartition

from scorer.kafka.topic_reader import topic_reader
from scorer.runtime.settings import Settings
from scorer.state.store import LeadStore
from scorer.stream.recovery import Progress, restore


async def read_changelog(
    settings: Settings,
    partition: int,
    store: LeadStore,
    progress: Progress | None = None,
    on_records: Callable[[int], None] = lambda count: None,
) -> int | None:
    """Restore the store; returns what `restore` returns."""
    changelog = TopicPartition(settings.state_topic, partition)
    async with topic_reader(settings, committed_only=False) as reader:
        span = (await reader.spans_of([changelog]))[changelog]
    return await restore(settings, changelog, span, store, progress or Progress(), on_records)
