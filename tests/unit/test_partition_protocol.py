"""Workers over a Kafka that is not real: whatever becomes of transactions, processes and the group, everything is
published once, and the memory of a partition's owner is what is committed.

The expectation comes from the activities one after the other, without batches, transactions or restores.
"""

import asyncio
import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from scorer.domain.facts import Fact, Stamp
from scorer.domain.lead import Lead
from scorer.kafka import transaction
from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.session import Member
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import load_settings
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected
from scorer.state.codec import decode_lead, encode_lead
from scorer.state.input_position import POSITION_KEY, decode_position
from scorer.state.store import LeadStore
from scorer.stream import recovery, source_worker
from scorer.stream import worker as worker_module
from scorer.stream.batch import BatchProcessor
from scorer.stream.outbox import Outbox
from tests import virtual_time
from tests.factory import evaluator
from tests.unit.fake_cluster import Cluster, Fault, Process, adopting, no_fault
from tests.unit.test_batch import NOW, record

BATCH = 5
"""Records; each batch has some that are no activities."""
COUNT = 20
"""Records of each partition."""
LEADS = 3
TICKS = 3
"""What the background job of each partition publishes, one in a transaction."""
RULES = evaluator()
INPUT = "lead.activity"
PARTITIONS = [TopicPartition(INPUT, number) for number in range(3)]


def qualification(offset: int, lead_id: str) -> bytes:
    """A budget that differs from the lead's last one, so that a decision follows."""
    status = "approved" if offset // LEADS % 2 else "planned"
    event = {
        "specversion": "1.0",
        "id": f"e{offset}",
        "source": "/crm",
        "type": "lead.qualification_updated",
        "time": f"2026-02-01T10:00:{offset:02}Z",
        "subject": lead_id,
        "data": {"bant": {"budget_status": status}},
    }
    return json.dumps(event).encode()


def given(partition: TopicPartition) -> "list[ConsumerRecord[bytes, bytes]]":
    """The records of a partition. Of four, one is no activity, and one changes only a count."""
    records = []
    for offset in range(COUNT):
        lead_id = f"lead-{partition.partition}-{offset % LEADS}"
        # A page view counts, so a state that was lost is missed until the end.
        value = {1: b"{broken", 2: None}.get(offset % 4, qualification(offset, lead_id))
        made = record(offset, lead_id, value)
        records.append(dataclasses.replace(made, topic=partition.topic, partition=partition.partition))
    return records


INPUTS = {partition: given(partition) for partition in PARTITIONS}
CRM = {partition: given(partition) for partition in (TopicPartition("crm", 0), TopicPartition("crm", 1))}
"""The topic of another sender."""


class Published(NamedTuple):
    """What readers and the next owner find."""

    decisions: dict[str, list[bytes]]
    """By lead, in order."""
    dead_letters: list[tuple[int, int]]
    """Their places in the input, sorted."""
    states: dict[str, Lead]
    ticks: dict[int, list[int]]
    """By partition, in order."""


def expected(records: "Iterable[ConsumerRecord[bytes, bytes]]", ticks: int = 0) -> Published:
    leads: dict[str, Lead] = {}
    decisions: dict[str, list[bytes]] = defaultdict(list)
    dead_letters: list[tuple[int, int]] = []
    partitions = set()
    for one in records:
        partitions.add(one.partition)
        try:
            activity = parse_record(one.value, one.key, one.headers, NOW, max_bytes=1_000_000)
        except Rejected:
            dead_letters.append((one.partition, one.offset))
            continue
        assessment = RULES.assess(leads.get(activity.lead_id, Lead(activity.lead_id)), activity)
        leads[activity.lead_id] = assessment.lead
        if assessment.decisions:
            decisions[activity.lead_id] += [decision.to_json() for decision in assessment.decisions]
    done = {partition: list(range(ticks)) for partition in partitions if ticks}
    states = {**leads, **{f"ticks-{partition}": ticked(partition, ticks) for partition in done}}
    return Published(dict(decisions), sorted(dead_letters), states, done)


def published(cluster: Cluster) -> Published:
    """What is committed."""
    settings = cluster.settings
    decisions: dict[str, list[bytes]] = defaultdict(list)
    dead_letters: list[tuple[int, int]] = []
    states: dict[str, Lead] = {}
    ticks: dict[int, list[int]] = defaultdict(list)
    for partition, message in cluster.messages():
        lead_id, value = (message.key or b"").decode(), message.value or b""
        if message.topic == settings.routing_topic:
            decisions[lead_id].append(value)
        elif message.topic == settings.dead_letter_topic:
            headers = dict(message.headers)
            if headers["dlq-topic"] != INPUT.encode():
                continue
            dead_letters.append((int(headers["dlq-partition"] or b""), int(headers["dlq-offset"] or b"")))
        elif message.topic == "ticks":
            ticks[partition.partition].append(int(value))
        elif message.topic == settings.state_topic and message.key != POSITION_KEY:
            states[lead_id] = decode_lead(lead_id, value)
    return Published(dict(decisions), sorted(dead_letters), states, dict(ticks))


def ticked(partition: int, count: int) -> Lead:
    """The lead that counts the ticks of a partition."""
    return Lead(f"ticks-{partition}", NOW, {"count": Fact(count, Stamp(NOW, "e", "s"))})


EVERYTHING = expected([one for records in INPUTS.values() for one in records], TICKS)


class Ticks:
    """A job that publishes numbers, one in a transaction, and knows from the leads how far it is."""

    name = "ticks"

    def __init__(self, store: LeadStore, partition: int, state_topic: str) -> None:
        self._store = store
        self._partition = partition
        self._state_topic = state_topic
        lead = store.committed(f"ticks-{partition}")
        value = 0 if lead is None else lead.value("count")
        assert isinstance(value, int)
        self._count = value
        self._staged = False

    @property
    def remaining(self) -> int:
        return TICKS - self._count

    def patience(self) -> float | None:
        return 0.01 if self.remaining else None

    def ready(self) -> bool:
        return self.remaining > 0

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> bool:
        self._staged = self.ready() and not busy
        if self._staged:
            lead = ticked(self._partition, self._count + 1)
            self._store.stage(lead)
            outbox.messages += [
                Message("ticks", self._partition, None, b"%d" % self._count, []),
                Message(self._state_topic, self._partition, lead.id.encode(), encode_lead(lead), []),
            ]
        return self._staged

    def committed(self) -> None:
        self._count += self._staged
        self._staged = False


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Cluster]:
    """Play a scenario over a cluster without processes. `partitions`: so many of the input's; with jobs if `jobs`.
    `inputs`: other records. `null_keys`: the setting. `sources`: with another sender's topic."""

    async def unchanged(*_: object) -> None:
        """The input is the same log."""

    monkeypatch.setattr(recovery, "check_input", unchanged)
    monkeypatch.setattr(source_worker, "check_input", unchanged)

    def run(
        scenario: Callable[[Cluster, Callable[[], Process]], Coroutine[Any, Any, None]],
        *,
        partitions: int = 1,
        jobs: bool = False,
        inputs: "Mapping[TopicPartition, list[ConsumerRecord[bytes, bytes]]]" = INPUTS,
        null_keys: str = "dead_letter",
        sources: bool = False,
    ) -> Cluster:
        settings = load_settings(
            None,
            rules=tmp_path,
            max_records=BATCH,
            linger_ms=0,
            activity_topic=INPUT,
            session_timeout_ms=10_000,
            null_keys=null_keys,
            sources="crm:cloudevents" if sources else "",
        )
        records = {partition: inputs[partition] for partition in PARTITIONS[:partitions]}
        cluster = Cluster(settings, records | CRM if sources else records)
        monkeypatch.setattr(transaction, "Session", cluster.session)
        monkeypatch.setattr(recovery, "topic_reader", cluster.reader)

        def process() -> Process:
            processor = BatchProcessor(settings, RULES.assess, lambda: NOW)
            return Process(
                cluster,
                processor,
                lambda store, partition: [Ticks(store, partition, settings.state_topic)] if jobs else [],
            )

        async def main() -> None:
            adopting()
            await scenario(cluster, process)
            for one in cluster.processes:
                if one.alive:
                    await one.leave()
            assert cluster.open == [], "a transaction is open after the end"

        virtual_time.run(main(), 400.0)
        return cluster

    return run


def finished(cluster: Cluster, *, ticks: int = 0) -> bool:
    """Whether all of the input is committed, and all of the jobs' work."""
    if any(offset is None or offset.next < COUNT for offset in map(cluster.committed.get, cluster.inputs)):
        return False
    if not ticks:
        return not cluster.open
    done = sum(message.topic == "ticks" for _, message in cluster.messages())
    return done >= ticks * len(cluster.numbers(INPUT)) and not cluster.open


async def to_the_end(cluster: Cluster, *, ticks: int = 0) -> None:
    """Work until all is committed, and compare the memory of the owners with it."""
    await cluster.settle(lambda: finished(cluster, ticks=ticks))

    def owned() -> bool:
        """Each partition has an owner that knows its result."""
        workers = [worker for one in cluster.processes if one.alive for worker in one.running().values()]
        known = {worker.partition for worker in workers if worker.next_offset == COUNT}
        ours = {partition for partition in cluster.inputs if partition.topic == INPUT}
        return known == ours and not any(one.committer._queue for one in cluster.processes if one.alive)

    await cluster.settle(owned)
    found = published(cluster)
    for process in cluster.processes:
        for partition, worker in process.running().items() if process.alive else ():
            memory = {lead.id: lead for lead in worker._store.leads()}
            number = str(partition.partition)
            assert memory == {key: lead for key, lead in found.states.items() if key.split("-")[1] == number}
            assert worker.next_offset == COUNT


def test_the_input_shows_what_goes_wrong() -> None:
    """Each batch has decisions and dead letters, and later ones decide about leads that are known already."""
    records = INPUTS[PARTITIONS[0]]
    for end in range(BATCH, COUNT + 1, BATCH):
        before, after = expected(records[: end - BATCH]), expected(records[:end])
        assert before.decisions != after.decisions
        assert len(before.dead_letters) < len(after.dead_letters)
    assert all(len(decisions) > 1 for decisions in EVERYTHING.decisions.values())


def test_asks_for_the_stable_offset_then_for_the_end_of_the_changelog(play: Callable[..., Cluster]) -> None:
    """What is committed between the two is in the changelog then."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        await process().start()
        cluster.steps.clear()
        await cluster.rebalance()
        await to_the_end(cluster)

    cluster = play(scenario)
    assert cluster.steps[:4] == ["initialise", "stable_offsets", "log_span", "input_span"]
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]])


Ending = Literal["committed", "aborted", "aborted when written", "answer lost", "request lost", "late"]


def script(endings: list[Ending]) -> Callable[[str], Fault | None]:
    """The next transactions end so; the others are committed."""
    current: Ending = "committed"

    def fault(step: str) -> Fault | None:
        nonlocal current
        if step == "produce":
            current = endings.pop(0) if endings else "committed"
            return "error" if current == "aborted" else None
        if step == "commit_offsets":
            return "failed" if current == "aborted when written" else None
        if step != "commit":
            return None
        faults: dict[Ending, Fault] = {"answer lost": "answer lost", "request lost": "lost", "late": "late"}
        return faults.get(current)

    return fault


@pytest.mark.parametrize("jobs", [False, True], ids=["activities", "with jobs"])
@pytest.mark.parametrize(
    "endings",
    [
        ["aborted"],
        ["committed", "aborted", "aborted"],
        ["aborted when written", "committed", "aborted when written"],
        ["answer lost"],
        ["committed", "committed", "answer lost", "aborted"],
        ["answer lost"] * 12,
        ["request lost", "committed", "request lost"],
        ["late", "committed", "late"],
        ["aborted", "request lost", "aborted", "answer lost", "aborted"],
        ["committed", "committed", "committed", "committed", "answer lost", "request lost", "aborted"],
    ],
    ids=", ".join,
)
def test_everything_is_published_once(play: Callable[..., Cluster], endings: list[Ending], jobs: bool) -> None:
    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        await process().start()
        cluster.fault = script(list(endings))
        await cluster.rebalance()
        await to_the_end(cluster, ticks=TICKS * jobs)

    cluster = play(scenario, jobs=jobs)
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]], TICKS * jobs)


class Restores:
    """Restores of these partitions wait until `free` is set. `begun`: which have begun."""

    def __init__(self, *held: TopicPartition) -> None:
        self.free = asyncio.Event()
        self.begun: list[int] = []
        self._held = {partition.partition for partition in held}

    async def restore(self, settings: object, changelog: TopicPartition, *others: Any) -> int | None:
        """Takes the place of `restore`."""
        self.begun.append(changelog.partition)
        if changelog.partition in self._held:
            await self.free.wait()
        return await recovery.restore(settings, changelog, *others)  # type: ignore[arg-type]


def test_a_partition_that_restores_does_not_hold_up_the_others(
    play: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before a rebalance nor after it, even while as many restore as may."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        first, second, third = PARTITIONS
        restores = Restores(second, third)
        monkeypatch.setattr(worker_module, "restore", restores.restore)
        one = process()
        await one.start()
        await cluster.rebalance()
        await cluster.settle(lambda: first in cluster.committed and set(restores.begun) == {0, 1, 2})
        limit = one.partitions._context.restores
        while not limit.locked():
            await limit.acquire()
        assert cluster.committed[first].next < COUNT
        await cluster.rebalance()
        await cluster.settle(lambda: cluster.committed[first].next == COUNT)
        assert cluster.committed.keys() == {first}
        limit.release()
        restores.free.set()
        await to_the_end(cluster)

    cluster = play(scenario, partitions=3)
    assert published(cluster) == expected([one for records in INPUTS.values() for one in records])


def test_partitions_restore_beside_each_other(play: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        restores = Restores(*PARTITIONS)
        monkeypatch.setattr(worker_module, "restore", restores.restore)
        await process().start()
        await cluster.rebalance()
        await cluster.settle(lambda: sorted(restores.begun) == [0, 1, 2])
        restores.free.set()
        await to_the_end(cluster)

    play(scenario, partitions=3)


WITHOUT_KEYS = [
    dataclasses.replace(one, key=None, serialized_key_size=-1) if one.offset % 3 == 0 else one
    for one in INPUTS[PARTITIONS[0]]
]


any_endings = pytest.mark.parametrize(
    "endings",
    [
        ["committed"],
        ["aborted", "aborted when written"],
        ["committed", "aborted when written", "request lost", "aborted"],
        ["answer lost", "late"],
    ],
    ids=", ".join,
)


@any_endings
def test_a_record_without_a_key_is_written_back_once(play: Callable[..., Cluster], endings: list[Ending]) -> None:
    """Its copy is part of the transaction that commits its offset, so an aborted one leaves no copy behind."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        await process().start()
        cluster.fault = script(list(endings))
        await cluster.rebalance()
        await to_the_end(cluster)

    check_copies(play(scenario, inputs={PARTITIONS[0]: WITHOUT_KEYS}, null_keys="rekey"))


@pytest.mark.parametrize("number", range(1, 5))
def test_a_record_without_a_key_is_written_back_once_although_its_worker_is_killed(
    play: Callable[..., Cluster], number: int
) -> None:
    """In a transaction of its own, the copy would be there before the offset."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        one = process()

        def fault(step: str) -> Fault | None:
            if step == "produce" and cluster.steps.count(step) == number - 1:
                one.kill()
            return None

        await one.start()
        cluster.fault = fault
        await cluster.rebalance()
        await cluster.settle(lambda: not one.alive)
        cluster.fault = no_fault
        await process().start()
        await cluster.rebalance()
        await to_the_end(cluster)

    check_copies(play(scenario, inputs={PARTITIONS[0]: WITHOUT_KEYS}, null_keys="rekey"))


def check_copies(cluster: Cluster) -> None:
    """Each activity without a key has one copy. Other records without one are dead letters."""
    without_key = [one for one in WITHOUT_KEYS if one.key is None and one.value != b"{broken"]
    assert len(without_key) > BATCH
    copies = [message for _, message in cluster.messages() if message.topic == INPUT]
    assert [copy.value for copy in copies] == [one.value for one in without_key]
    assert [(copy.key or b"").decode() for copy in copies] == [f"lead-0-{one.offset % LEADS}" for one in without_key]
    assert published(cluster) == expected([one for one in WITHOUT_KEYS if one not in without_key])


def check_translated(cluster: Cluster) -> None:
    """Each event of the other sender is in the input once, or once in the dead letters."""
    everything = [one for records in CRM.values() for one in records]
    values = Counter(one.value for one in everything if one.value not in (b"{broken", None))
    messages = [message for _, message in cluster.messages()]
    assert Counter(message.value for message in messages if message.topic == INPUT) == values
    letters = [dict(message.headers) for message in messages if message.topic == cluster.settings.dead_letter_topic]
    places = Counter(
        (int(each["dlq-partition"]), int(each["dlq-offset"])) for each in letters if each["dlq-topic"] == b"crm"
    )
    bad = [one for one in everything if one.value == b"{broken"]
    assert places == Counter((one.partition, one.offset) for one in bad)


@any_endings
def test_an_event_of_another_sender_is_translated_once(play: Callable[..., Cluster], endings: list[Ending]) -> None:
    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        await process().start()
        cluster.fault = script(list(endings))
        await cluster.rebalance()
        await to_the_end(cluster)

    cluster = play(scenario, sources=True)
    check_translated(cluster)
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]])


def test_a_batch_that_is_too_large_is_judged_again(
    play: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the first try stays in memory, and nothing of it is missing in the second one."""

    async def nothing(*_: object) -> None:
        """The limits stay, so that the second try is the same."""

    monkeypatch.setattr(TopicLimits, "refused", nothing)

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        await process().start()
        faults: list[Fault | None] = ["too large", None] * 10
        cluster.fault = lambda step: faults.pop(0) if step == "produce" and faults else None
        await cluster.rebalance()
        await to_the_end(cluster)
        assert len(faults) < 16

    cluster = play(scenario)
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]])


def test_jobs_alone_are_published_once(play: Callable[..., Cluster]) -> None:
    """Their transactions have the offset that was committed before, but another name."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        cluster.inputs = {PARTITIONS[0]: []}
        await process().start()
        cluster.fault = script(["committed", "answer lost", "request lost"])
        await cluster.rebalance()
        await cluster.settle(lambda: not cluster.open and published(cluster).ticks.get(0, [])[-1:] == [TICKS - 1])

    cluster = play(scenario, jobs=True)
    assert published(cluster).ticks == {0: [0, 1, 2]}


def positions(cluster: Cluster) -> list[int]:
    """The positions in the input that the changelog has, in order."""
    return [
        decode_position(message.value).next_offset
        for _, message in cluster.messages()
        if message.key == POSITION_KEY and message.value is not None
    ]


def test_a_result_that_was_in_doubt_is_not_restored(play: Callable[..., Cluster]) -> None:
    """One doubtful commit does not restore all partitions of a worker: one question to the group settles it."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        await process().start()
        cluster.fault = script(["committed", "answer lost", "committed", "request lost"])
        await cluster.rebalance()
        await to_the_end(cluster)

    cluster = play(scenario, partitions=3)
    assert cluster.steps.count("log_span") == 3
    assert published(cluster) == expected([one for part in PARTITIONS for one in INPUTS[part]])


async def reached(cluster: Cluster, step: str) -> None:
    """Wait until a request is on its way."""
    count = cluster.steps.count(step)
    await cluster.settle(lambda: cluster.steps.count(step) > count)


def test_a_worker_that_the_group_has_left_behind_publishes_nothing_more(play: Callable[..., Cluster]) -> None:
    """It is slow, and does not know that its partitions have another owner."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        former, latter = process(), process()
        await former.start()
        await latter.start()
        cluster.processes.remove(latter)
        await cluster.rebalance()
        cluster.gates["commit_offsets"] = gate = asyncio.Event()
        await reached(cluster, "commit_offsets")
        cluster.processes.append(latter)
        await cluster.rebalance(absent=[former])
        del cluster.gates["commit_offsets"]
        await cluster.settle(lambda: finished(cluster))
        before = len(cluster.messages())
        gate.set()
        await cluster.settle(lambda: former.wants_to_join or not former.expired)
        await to_the_end(cluster)
        assert len(cluster.messages()) == before

    cluster = play(scenario)
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]])


def test_a_transaction_that_outlasts_the_rebalance_is_refused(play: Callable[..., Cluster]) -> None:
    """The client knows the new generation before its worker does. Its transaction began in the old one, and the
    partition may have another owner in the new one."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        former, latter = process(), process()
        await latter.start()
        await former.start()
        cluster.processes.remove(latter)
        await cluster.rebalance()
        cluster.gates["add"] = gate = asyncio.Event()
        await reached(cluster, "add")
        # From now on another process gets all partitions, and the former owner stays a member.
        cluster.processes.insert(0, latter)
        cluster.owner = lambda members: latter
        await cluster.rebalance()
        assert former.consumer.generation == cluster.generation
        del cluster.gates["add"]
        await cluster.settle(lambda: latter.running().keys() == set(cluster.inputs))
        gate.set()
        await to_the_end(cluster)

    cluster = play(scenario)
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]])


def test_a_former_owner_that_is_still_committing_is_waited_for(play: Callable[..., Cluster]) -> None:
    """The group has taken its offsets already, so its transaction may be committed after the partition has moved."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        former, latter = process(), process()
        await former.start()
        await latter.start()
        cluster.processes.remove(latter)
        await cluster.rebalance()
        cluster.gates["produce"] = gate = asyncio.Event()
        await reached(cluster, "produce")
        await cluster.settle(lambda: any(one.offsets and one.commit is None for one in cluster.open))
        cluster.processes.append(latter)
        del cluster.gates["produce"]
        await cluster.rebalance(absent=[former])
        await asyncio.sleep(1.0)
        assert latter.running() == {}, "it runs although the former owner's transaction is open"
        gate.set()
        await to_the_end(cluster)

    cluster = play(scenario)
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]])
    assert positions(cluster) == sorted(positions(cluster))


def test_a_killed_worker_leaves_a_transaction_that_ends_by_itself(play: Callable[..., Cluster]) -> None:
    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        former, latter = process(), process()
        await former.start()
        await latter.start()
        cluster.processes.remove(latter)
        await cluster.rebalance()
        cluster.gates["commit"] = asyncio.Event()
        await reached(cluster, "commit")
        former.kill()
        cluster.gates.clear()
        cluster.processes.append(latter)
        await cluster.rebalance()
        started = asyncio.get_running_loop().time()
        await to_the_end(cluster)
        assert asyncio.get_running_loop().time() - started < cluster.settings.transaction_timeout_ms / 1000 + 5

    cluster = play(scenario)
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]])


def test_partitions_that_stay_go_on_without_a_restore(play: Callable[..., Cluster]) -> None:
    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        one = process()
        await one.start()
        for _ in range(4):
            await cluster.rebalance()
            await asyncio.sleep(0.03)
        await to_the_end(cluster)
        assert cluster.steps.count("log_span") == 3

    cluster = play(scenario, partitions=3)
    assert published(cluster) == expected([one for part in PARTITIONS for one in INPUTS[part]])


def test_a_partition_that_comes_back_has_another_state_meanwhile(play: Callable[..., Cluster]) -> None:
    """The session of its owner ended, another one committed, and the former owner gets it back. What it had ready is
    from before."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        former, latter = process(), process()
        await former.start()
        await latter.start()
        cluster.processes.remove(latter)
        await cluster.rebalance()
        await cluster.settle(lambda: bool(cluster.committed))
        cluster.gates["add"] = gate = asyncio.Event()
        await reached(cluster, "add")
        del cluster.gates["add"]
        cluster.processes.append(latter)
        await cluster.rebalance(absent=[former])
        before = cluster.committed[PARTITIONS[0]]
        await cluster.settle(lambda: cluster.committed[PARTITIONS[0]].next > before.next)
        latter.kill()
        gate.set()
        await to_the_end(cluster)
        assert cluster.steps.count("log_span") == 3

    cluster = play(scenario)
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]])


def test_an_answer_about_the_assignment_before_resumes_nothing(play: Callable[..., Cluster]) -> None:
    """The group assigns twice in a row, and the broker is slow to say what is committed."""

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        one = process()
        await one.start()
        await cluster.rebalance()
        await cluster.settle(lambda: bool(cluster.committed))
        cluster.gates["stable_offsets"] = gate = asyncio.Event()
        await cluster.rebalance()
        await cluster.settle_for(0.1)

        async def answer() -> None:
            gate.set()
            await asyncio.sleep(0.1)
            assert one.running() == {}

        cluster.between = answer
        await cluster.rebalance()
        cluster.between = cluster.pause
        await to_the_end(cluster)

    cluster = play(scenario, partitions=3)
    assert published(cluster) == expected([one for part in PARTITIONS for one in INPUTS[part]])


@pytest.mark.parametrize("when", ["before it knows", "afterwards"])
def test_a_worker_stops_although_the_group_has_left_it_behind(play: Callable[..., Cluster], when: str) -> None:
    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        former, latter = process(), process()
        await former.start()
        await latter.start()
        cluster.processes.remove(latter)
        await cluster.rebalance()
        cluster.gates["add"] = gate = asyncio.Event()
        await reached(cluster, "add")
        del cluster.gates["add"]
        cluster.processes.append(latter)
        await cluster.rebalance(absent=[former])
        if when == "before it knows":
            leaving = asyncio.create_task(former.leave())
            await asyncio.sleep(0.1)
            gate.set()
            await leaving
        else:
            gate.set()
            while not former.wants_to_join:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await former.leave()
        await to_the_end(cluster)

    cluster = play(scenario)
    assert published(cluster) == expected(INPUTS[PARTITIONS[0]])


def accidents(random: Random, budget: int) -> Callable[[str], Fault | None]:
    """Some requests fail, up to a number."""

    def fault(step: str) -> Fault | None:
        nonlocal budget
        if budget == 0 or random.random() > 0.12:
            return None
        budget -= 1
        if step in ("add", "produce", "commit_offsets", "commit"):
            return random.choice(("error", "lost", "answer lost", "late", "slow"))
        return random.choice(("error", "slow"))

    return fault


@pytest.mark.parametrize("seed", range(40))
def test_random_schedules(play: Callable[..., Cluster], seed: int) -> None:
    """Requests fail, processes are killed, come late, leave, or lose their sessions and go on."""
    random = Random(seed)

    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        cluster.random = random

        async def begin() -> Process:
            one = process()
            await one.start()
            return one

        await begin()
        await begin()
        await cluster.rebalance()
        cluster.fault = accidents(random, random.randrange(12))
        for _ in range(random.randrange(1, 7)):
            await cluster.settle_for(random.choice((0.01, 0.05, 0.2, 3.0)))
            alive = [one for one in cluster.processes if one.alive]
            one = random.choice(alive)
            match random.choice(("rebalance", "expire", "expire", "kill", "start", "leave")):
                case "rebalance":
                    await cluster.rebalance()
                case "expire":
                    await cluster.rebalance(absent=[one])
                case "kill":
                    one.kill()
                    await begin()
                    await cluster.rebalance()
                case "start" if len(alive) < 4:
                    await begin()
                    await cluster.rebalance()
                case "leave" if len(alive) > 1:
                    await one.leave()
                    await cluster.rebalance()
        cluster.fault = no_fault
        await cluster.rebalance()
        await to_the_end(cluster, ticks=TICKS)

    cluster = play(scenario, partitions=3, jobs=True, sources=seed % 2 == 0)
    assert published(cluster) == EVERYTHING
    if seed % 2 == 0:
        check_translated(cluster)


def test_the_fake_group_refuses_as_kafka_does(play: Callable[..., Cluster]) -> None:
    async def scenario(cluster: Cluster, process: Callable[[], Process]) -> None:
        one = process()
        await one.start()
        assert one.committer.fences
        await cluster.rebalance()
        cluster.check(Member("group", cluster.generation, one.consumer.member_id))
        for member in (
            Member("group", cluster.generation - 1, one.consumer.member_id),
            Member("group", cluster.generation, "nobody"),
        ):
            with pytest.raises(transaction.GroupFencedError):
                cluster.check(member)
        await to_the_end(cluster)

    play(scenario)
