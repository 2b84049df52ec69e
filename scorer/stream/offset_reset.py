"""Shows where a group is in its input, and chooses for it where to continue.

A reset writes the offset and the position in the changelog in one transaction. It uses the transactional id of the
partition, so it also fences a worker that is still alive, and a worker that starts meanwhile fences the reset.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final, Literal

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from scorer.domain.printable import counted
from scorer.kafka.tool_producer import TOOL_LIMITS, tool_producer
from scorer.kafka.topic_admin import TopicError, describe, topic_admin
from scorer.kafka.topic_reader import TOOL_PACE, topic_reader
from scorer.kafka.transaction import (
    AbortedError,
    DoubtfulError,
    FencedError,
    Member,
    Offset,
    TransactionalProducer,
)
from scorer.runtime.settings import Settings
from scorer.state.input_position import NOTED, InputPosition
from scorer.stream.input_log import Change, InputLog, inspect
from scorer.stream.outbox import position_message
from scorer.stream.recovery import last_position

Target = Literal["earliest", "latest"] | int

_LIMITS: Final = replace(TOOL_LIMITS, batch_bytes=16 * 1024, phase_seconds=30.0)


class ResetError(Exception):
    """The offsets cannot be reset; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Move:
    """What a reset does to one partition."""

    log: InputLog
    target: int

    @property
    def changes(self) -> bool:
        """Whether the service would continue anywhere else without it, or refuse to continue."""
        return self.log.change is not None or self.log.offset != self.target

    @property
    def effect(self) -> str:
        """What it means for the records, as a phrase. Offsets are counted; markers of transactions have some too."""
        offset, first = self.log.offset, self.log.span.first
        if offset is None or self.log.change in (Change.RECREATED, Change.SHORTENED):
            skipped = self.target - first
            return f"skips the first {skipped}" if skipped else "reads all"
        moved = self.target - max(offset, first)
        if moved:
            return f"skips {moved}" if moved > 0 else f"reads {-moved} again"
        if self.log.change is Change.STATES_LOST:
            return "goes on without the states"
        return "skips none" if self.log.change is Change.EXPIRED else "as before"


async def survey(settings: Settings, chosen: Collection[int] = ()) -> list[InputLog]:
    """Compare what is committed with the input, for each of its partitions or for the chosen ones.

    Raises `TopicError`, `ResetError` for a partition that does not exist, `CodecError`, and `KafkaError`.
    """
    source, states = settings.activity_topic, settings.state_topic
    async with (
        topic_admin(settings) as admin,
        topic_reader(settings, TOOL_PACE) as changelogs,
        topic_reader(settings, TOOL_PACE, committed_only=False) as inputs,
    ):
        topics = await describe(admin, [source, states])
        if source in topics and states not in topics:
            problem = await _group_problem(admin, settings)
            if problem is not None:
                raise ResetError(
                    f"{problem}. Its changelog {states} does not exist either; if the group is new, create it with "
                    "`scorer topics ensure`"
                )
        for name in (source, states):
            if name not in topics:
                raise TopicError(f"the topic {name} does not exist; create it with `scorer topics ensure`")
        count = topics[source].partitions
        if topics[states].partitions != count:
            raise TopicError(
                f"the changelog {states} has {counted(topics[states].partitions, 'partition')}, its input {source} has "
                f"{count}; "
                "they must be equal, see docs/operations.md, Changing partitions"
            )
        partitions = _chosen(source, count, chosen)
        committed = await admin.list_consumer_group_offsets(settings.group, partitions=partitions)
        logs = []
        for partition in partitions:
            position = await last_position(changelogs, TopicPartition(states, partition.partition))
            known = committed.get(partition)
            offset = None if known is None or known.offset < 0 else known.offset
            if offset is None and position is not None:
                offset = position.next_offset
            log = await inspect(inputs, settings, partition, offset, position)
            if (
                log.change is None
                and position is None
                and known is not None
                and offset
                and known.metadata.endswith(NOTED)
            ):
                log = replace(log, change=Change.STATES_LOST)
            logs.append(log)
        return logs


async def survey_source(settings: Settings, topic: str, chosen: Collection[int] = ()) -> list[InputLog]:
    """`survey` of the topic of another sender."""
    async with (
        topic_admin(settings) as admin,
        topic_reader(settings, TOOL_PACE, committed_only=False) as reader,
    ):
        topics = await describe(admin, [topic])
        if topic not in topics:
            raise TopicError(f"the topic {topic} (SCORER_SOURCES) does not exist")
        partitions = _chosen(topic, topics[topic].partitions, chosen)
        committed = await admin.list_consumer_group_offsets(settings.group, partitions=partitions)
        known = {partition: offset for partition, (offset, _) in committed.items() if offset >= 0}
        return [await inspect(reader, settings, partition, known.get(partition), None) for partition in partitions]


def _chosen(topic: str, count: int, chosen: Collection[int]) -> list[TopicPartition]:
    for number in chosen:
        if number >= count:
            raise ResetError(f"{topic} has no partition {number}, only 0 to {count - 1}")
    return [TopicPartition(topic, number) for number in sorted(chosen or range(count))]


def plan(logs: Sequence[InputLog], target: Target) -> list[Move]:
    """What a reset would do. Raises `ResetError` if a partition does not have the offset."""
    moves = []
    for log in logs:
        first, end = log.span
        match target:
            case "earliest":
                offset = first
            case "latest":
                offset = end
            case _:
                offset = target
        if not first <= offset <= end:
            name = f"{log.partition.topic}-{log.partition.partition}"
            raise ResetError(f"{name} has no offset {offset}; it begins at {first} and ends at {end}")
        moves.append(Move(log, offset))
    return moves


async def reset(settings: Settings, moves: Sequence[Move]) -> None:
    """Commit the new offsets, one transaction for each partition that changes. Running it again does no harm.

    Raises `ResetError` if workers run or a transaction fails, and `KafkaError`.
    """
    async with topic_admin(settings) as admin:
        await refuse_members(admin, settings)
        for move in moves:
            if not move.changes:
                continue
            async with tool_producer(settings, f"{settings.group}-offsets", _LIMITS) as producer:
                await _commit(settings, producer, move)
                # A worker that has joined meanwhile has maybe read the offset that was committed before.
                await refuse_members(admin, settings)


async def group_problem(settings: Settings) -> str | None:
    """That the group has no committed offsets, with the names of similar groups; None if it has some.

    Raises `KafkaError`.
    """
    async with topic_admin(settings) as admin:
        return await _group_problem(admin, settings)


async def _group_problem(admin: AIOKafkaAdminClient, settings: Settings) -> str | None:
    committed = await admin.list_consumer_group_offsets(settings.group)
    if any(known.offset >= 0 for known in committed.values()):
        return None
    groups = {name for name, *_ in await admin.list_consumer_groups()} - {settings.group}
    similar = get_close_matches(settings.group, sorted(groups), n=3)
    hint = f"; these groups exist: {', '.join(similar)}" if similar else ""
    return f"the group {settings.group} (SCORER_GROUP) has no committed offsets{hint}"


async def members_problem(settings: Settings) -> str | None:
    """Why a reset would be refused now: the group has members. Raises `KafkaError`."""
    async with topic_admin(settings) as admin:
        return await _members_problem(admin, settings)


async def refuse_members(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Raise `ResetError` if the group has members."""
    problem = await _members_problem(admin, settings)
    if problem is not None:
        raise ResetError(problem)


async def _members_problem(admin: AIOKafkaAdminClient, settings: Settings) -> str | None:
    responses: list[Any] = await admin.describe_consumer_groups([settings.group])
    members = [member for response in responses for group in response.groups for member in group[5]]
    if not members:
        return None
    hosts = ", ".join(sorted({str(member[2]).removeprefix("/") for member in members}))
    count = "1 member" if len(members) == 1 else f"{len(members)} members"
    return (
        f"the group {settings.group} has {count} (from {hosts}): stop all workers first. A worker that was killed "
        "counts as a member until its session times out (SCORER_SESSION_TIMEOUT_MS)"
    )


async def _commit(settings: Settings, producer: TransactionalProducer, move: Move) -> None:
    partition = move.log.partition
    name = f"{partition.topic}-{partition.partition}"
    # What was processed before the offset belongs to the past, maybe to another log, so there is nothing to compare.
    if partition.topic == settings.activity_topic:
        position = InputPosition(move.target, None)
        messages, offset = (
            [position_message(position, settings.state_topic, partition.partition)],
            Offset(move.target, NOTED),
        )
    else:
        messages, offset = [], Offset(move.target)
    try:
        await producer.commit(messages, {partition: offset}, Member(settings.group))
    except FencedError as error:
        raise ResetError(f"{name}: another reset is running") from error
    except (AbortedError, DoubtfulError) as error:
        raise ResetError(f"{name}: the transaction failed ({error}); run the command again") from error
