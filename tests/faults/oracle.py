"""The expected output, whatever happened to the workers. It is computed from the input topic alone, with the same
`assess` as `scorer score`, and compared with the records that a `read_committed` reader gets."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from scorer.domain.decision import read_decision
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.arrival import arrival_of, is_stamped, log_time_after
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected
from scorer.sources.tick import is_tick
from scorer.state.store import LeadStore
from tests.faults.group import positions
from tests.faults.sizes import DRAIN_SECONDS
from tests.integration.changelog import read_changelog
from tests.integration.kafka import Kafka, Names, partitions_of
from tests.integration.service import RULES, settings_for

_RESTORE_SECONDS = 30.0


class Letter(NamedTuple):
    """A dead letter: the position of its input, the reason and the bytes."""

    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None


class Output(NamedTuple):
    """Decisions by lead, in order, as bytes; dead letters; the final state of each lead."""

    decisions: dict[str, list[bytes]]
    letters: Counter[Letter]
    states: dict[str, Lead]


def expected(
    records: "Iterable[ConsumerRecord[bytes, bytes]]", poison: Collection[str] = frozenset(), rules: Path = RULES
) -> Output:
    """The output for an input, read once and in partition order. `poison`: ids of events on which our code fails."""
    ruleset = Evaluator(load_ruleset(rules), default_engine("compiled"))
    output = Output(defaultdict(list), Counter(), {})
    now = time.time_ns() // 1000
    times: dict[int, int | None] = {}
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        times[record.partition] = log_time = log_time_after(times.get(record.partition), record)
        if is_tick(record.value):
            continue
        try:
            latest = log_time if is_stamped(record) and log_time is not None else now
            activity = parse_record(record.value, record.key, record.headers, latest)
            if activity.id in poison:
                raise Rejected("internal_error", "")
        except Rejected as rejected:
            letter = Letter(record.partition, record.offset, rejected.reason, record.key, record.value)
            output.letters[letter] += 1
            continue
        lead = output.states.get(activity.lead_id) or Lead(activity.lead_id)
        assessment = ruleset.assess(lead, activity, arrival_of(record, log_time, activity.time))
        output.states[activity.lead_id] = assessment.lead
        if assessment.decisions:
            output.decisions[activity.lead_id] += [decision.to_json() for decision in assessment.decisions]
    # An unknown lead has no record in the changelog.
    states = {lead_id: lead for lead_id, lead in output.states.items() if lead != Lead(lead_id)}
    return output._replace(decisions=dict(output.decisions), states=states)


def committed_output(kafka: Kafka, names: Names, decisions_at_least: int = 0, letters_at_least: int = 0) -> Output:
    """The committed output: decisions, dead letters, and the states, restored from the changelog as a worker does.
    Fails if there are fewer decisions or dead letters within the deadline."""
    decisions: dict[str, list[bytes]] = defaultdict(list)
    for record in kafka.read(names.routing, decisions_at_least):
        decisions[(record.key or b"").decode()].append(record.value or b"")
    letters: Counter[Letter] = Counter()
    for record in kafka.read(names.dead_letters, letters_at_least):
        # The other headers are those of the input, which may be anything.
        headers = {name: (value or b"").decode() for name, value in record.headers if name.startswith("dlq-")}
        place = int(headers["dlq-partition"]), int(headers["dlq-offset"])
        letters[Letter(*place, headers["dlq-reason"], record.key, record.value)] += 1
    return Output(dict(decisions), letters, _restored(kafka, names))


def check_exactly_once(
    kafka: Kafka, names: Names, poison: Collection[str] = frozenset(), rules: Path = RULES
) -> Output:
    """Fail unless every activity counted once, every decision was published once, and no transaction is open.

    Call it when the input is processed and no worker runs. Returns the output, which is as expected.
    """
    wanted, _, problems = differences(kafka, names, poison, rules)
    if problems:
        more = [f"... and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise AssertionError("\n".join([f"{len(problems)} differences", *problems[:20], *more]))
    return wanted


def differences(
    kafka: Kafka, names: Names, poison: Collection[str] = frozenset(), rules: Path = RULES
) -> tuple[Output, Output, list[str]]:
    """The expected output, the committed one, and one line for each difference, also in the committed offsets."""
    wanted = expected(kafka.read(names.activity), poison, rules)
    assert wanted.decisions, "the input leads to no decision: the test shows nothing"
    problems = left_open(kafka, names)
    got = committed_output(kafka, names)
    problems += decision_differences(wanted.decisions, got.decisions)
    problems += [f"dead letter missing: {letter}" for letter in (wanted.letters - got.letters).elements()]
    problems += [f"unexpected dead letter: {letter}" for letter in (got.letters - wanted.letters).elements()]
    problems += state_differences(wanted.states, got.states)
    at = positions(kafka, names)
    if at.committed != at.ends:
        problems.append(f"committed {at.committed}, the input ends at {at.ends}")
    return wanted, got, problems


def wait_until_closed(kafka: Kafka, names: Names, seconds: float = DRAIN_SECONDS) -> None:
    """Return once no transaction is open. One of a killed worker ends at its time-out, if nobody ends it before."""
    deadline = time.monotonic() + seconds
    while problems := left_open(kafka, names):
        assert time.monotonic() < deadline, "\n".join([f"still open after {seconds} s", *problems])
        time.sleep(0.2)


def decision_differences(wanted: Mapping[str, list[bytes]], got: Mapping[str, list[bytes]]) -> list[str]:
    """One line for each lead whose decisions differ, and for each decision that was published too often."""
    problems = []
    # An id occurs twice in what is wanted if a sender uses the id of an activity again for another one.
    too_often = _ids(got) - _ids(wanted)
    problems += [
        f"decision {decision_id} published {count} times too often" for decision_id, count in too_often.items()
    ]
    for lead_id in sorted(wanted.keys() | got.keys()):
        pairs = zip_longest(wanted.get(lead_id, ()), got.get(lead_id, ()))
        for number, (want, have) in enumerate(pairs):
            if want == have:
                continue
            what = f"lead {lead_id}, decision {number}: "
            if want is None or have is None:
                what += f"{decision_id(have)} is unexpected" if want is None else f"{decision_id(want)} is missing"
            elif decision_id(want) == decision_id(have):
                what += f"{decision_id(want)} has other bytes: {have!r}, expected {want!r}"
            else:
                what += f"{decision_id(have)} in place of {decision_id(want)}"
            problems.append(what)
            break
    return problems


def _ids(decisions: Mapping[str, list[bytes]]) -> Counter[str]:
    return Counter(decision_id(value) for values in decisions.values() for value in values)


def decision_id(value: bytes | None) -> str:
    """The id in the bytes of a decision."""
    return read_decision(value or b"").decision_id


def state_differences(wanted: Mapping[str, Lead], got: Mapping[str, Lead]) -> list[str]:
    """One line for each lead whose state differs."""
    problems = []
    for lead_id in sorted(wanted.keys() | got.keys()):
        want, have = wanted.get(lead_id), got.get(lead_id)
        if want is None or have is None:
            problems.append(f"state of {lead_id}: {'missing' if have is None else 'expected none'}")
        elif want != have:
            problems.append(f"state of {lead_id}: {have}, expected {want}")
    return problems


def _restored(kafka: Kafka, names: Names) -> dict[str, Lead]:
    settings = settings_for(kafka, names)

    async def read() -> dict[str, Lead]:
        leads: dict[str, Lead] = {}
        for partition in partitions:
            store = LeadStore()
            async with asyncio.timeout(_RESTORE_SECONDS):
                await read_changelog(settings, partition, store)
            for lead in store.leads():
                assert lead.id not in leads, f"the changelog has {lead.id} on two partitions"
                leads[lead.id] = lead
        return leads

    partitions = sorted(positions(kafka, names).ends)
    return asyncio.run(read())


def left_open(kafka: Kafka, names: Names) -> list[str]:
    """Partitions with an open transaction, which hides all later records from readers."""

    async def ends(isolation: str) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap, isolation_level=isolation, enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = await partitions_of(kafka.bootstrap, names.routing, names.dead_letters, names.state)
            consumer.assign(partitions)
            offsets: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
            return offsets
        finally:
            await consumer.stop()

    stable, last = asyncio.run(ends("read_committed")), asyncio.run(ends("read_uncommitted"))
    return [
        f"{partition.topic}-{partition.partition}: open transaction from {stable[partition]} on, the end is {end}"
        for partition, end in sorted(last.items())
        if stable[partition] != end
    ]
