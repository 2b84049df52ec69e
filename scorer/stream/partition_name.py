"""How logs, metrics and `/health` name a partition."""

from aiokafka import TopicPartition

from scorer.runtime.settings import Settings


def name_of(partition: TopicPartition, settings: Settings) -> int | str:
    """Its number, of the input; `<topic>-<number>` of another topic."""
    if partition.topic == settings.activity_topic:
        return int(partition.partition)
    return f"{partition.topic}-{partition.partition}"
