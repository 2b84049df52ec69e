"""The expected output, whatever happened to the workers. It is computed from the input topic alone, with the same
`assess` as `scorer score`, and compared with the records that a `read_committed` reader gets."""

import asyncio
import os
import pickle
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from scorer.domain.decision import read_decision
from scorer.domain.instant import SECOND
from scorer.domain.lead import NO_CLOCK, Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.evaluation.rule_change import RuleChange
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.arrival import arrival_of, is_stamped, log_time_after
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected
from scorer.sources.tick import is_tick
from scorer.state.codec import decode_lead, encode_lead
from scorer.state.input_position import POSITION_KEY, decode_position
from scorer.state.marker import MARKER_KEY, Marker, decode_marker
from scorer.state.store import LeadStore
from tests.faults.group import left_over, positions, wait_until_processed
from tests.faults.sizes import DRAIN_SECONDS
from tests.integration.changelog import read_changelog
from tests.integration.kafka import Kafka, Names, partitions_of
from tests.integration.service import RULES, Service, settings_for

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

    @property
    def by_time(self) -> int:
        """How many of the decisions are those of time alone."""
        values = (value for values in self.decisions.values() for value in values)
        return sum(b'"cause":"time"' in value for value in values)


class Era(NamedTuple):
    """What comes before other rules take effect in a partition, or before workers of another release have it.

    `end`: the offset of the first record of the input that the others judge; None for the last era. `judged`: the last
    state of each lead in it. `is_old`: whether its workers are of a release without reviews.
    """

    revision: str
    change: RuleChange | None
    end: int | None
    judged: Mapping[str, Lead]
    is_old: bool = False


History = Mapping[int, Sequence[Era]]
"""The eras of each partition, in order."""


class OldRelease:
    """The judgement of an old release, in a process that runs its code. `code`: the root of the project as it was."""

    def __init__(self, code: str, rules: Path) -> None:
        command = [sys.executable, "-P", str(Path(__file__).with_name("old_release.py")), str(rules)]
        environment = {**os.environ, "PYTHONPATH": code}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=code, env=environment, stdin=pipe, stdout=pipe)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def judge(
        self, states: Mapping[str, bytes], records: "Sequence[ConsumerRecord[bytes, bytes]]"
    ) -> tuple[dict[str, bytes], list[str | tuple[str, bytes] | None]]:
        """The states that change, and what becomes of each record: the reason of a dead letter, or a lead and its
        decision, or nothing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        plain = [(record.key, record.value, list(record.headers)) for record in records]
        pickle.dump((dict(states), plain), self._process.stdin)
        self._process.stdin.flush()
        answer: tuple[dict[str, bytes], list[str | tuple[str, bytes] | None]] = pickle.load(self._process.stdout)
        return answer


def expected(
    records: "Iterable[ConsumerRecord[bytes, bytes]]",
    poison: Collection[str] = frozenset(),
    rules: Path | Sequence[Evaluator] = RULES,
    history: History | None = None,
    reached: Mapping[int, int] | None = None,
    old: OldRelease | None = None,
) -> Output:
    """The output for an input, read once and in partition order. `poison`: ids of events on which our code fails.

    Nobody can compute two things, so they come from the changelog (`history`): when other rules took effect, and as of
    which instant each lead was judged last before that, and before the workers ended. Reviews that are due after that
    need not be done, except those up to the time of the log `reached` (by partition; None: the last full second of it,
    because workers look at leads once they are due by the second).
    """
    evaluators = [Evaluator(load_ruleset(rules), default_engine("compiled"))] if isinstance(rules, Path) else rules
    by_revision = {evaluator.ruleset.revision: evaluator for evaluator in evaluators}
    output = Output(defaultdict(list), Counter(), {})
    partitions: dict[int, list[ConsumerRecord[bytes, bytes]]] = defaultdict(list)
    for record in records:
        partitions[record.partition].append(record)
    for number in sorted(partitions):
        records = sorted(partitions[number], key=attrgetter("offset"))
        eras = (history or {}).get(number) or [Era(evaluators[0].ruleset.revision, None, None, {})]
        fold = _Fold(output, poison, old)
        for era in eras:
            fold.rules, fold.change = by_revision[era.revision], era.change
            last = era.end is None
            mine = [record for record in records if fold.offset <= record.offset and (last or record.offset < era.end)]
            if era.is_old:
                fold.read_as_before(mine)
                continue
            fold.read(mine)
            fold.catch_up(era.judged, None if not last else fold.last_second if reached is None else reached[number])
    # An unknown lead has no record in the changelog.
    states = {lead_id: lead for lead_id, lead in output.states.items() if lead != Lead(lead_id)}
    decisions = {lead_id: values for lead_id, values in output.decisions.items() if values}
    return output._replace(decisions=decisions, states=states)


class _Fold:
    """Reads one partition into the output."""

    def __init__(self, output: Output, poison: Collection[str], old: OldRelease | None) -> None:
        self.rules: Evaluator
        self.change: RuleChange | None = None
        self.offset = 0
        self._output = output
        self._poison = poison
        self._old = old
        self._log_time: int | None = None
        self._now = time.time_ns() // 1000
        self._leads: dict[str, Lead] = {}

    @property
    def last_second(self) -> int:
        return NO_CLOCK if self._log_time is None else self._log_time // SECOND * SECOND

    def read(self, records: "Iterable[ConsumerRecord[bytes, bytes]]") -> None:
        for record in records:
            self.offset = record.offset + 1
            self._log_time = log_time_after(self._log_time, record)
            if not is_tick(record.value):
                self._judge(record)

    def read_as_before(self, records: "Sequence[ConsumerRecord[bytes, bytes]]") -> None:
        """Have records judged by the old release, which gets the states as bytes, as from the changelog."""
        assert self._old is not None
        changed, results = self._old.judge({lead.id: encode_lead(lead) for lead in self._leads.values()}, records)
        for record, result in zip(records, results, strict=True):
            self.offset = record.offset + 1
            self._log_time = log_time_after(self._log_time, record)
            if isinstance(result, str):
                self._output.letters[Letter(record.partition, record.offset, result, record.key, record.value)] += 1
            elif result is not None:
                self._output.decisions[result[0]].append(result[1])
        for lead_id, state in changed.items():
            self._leads[lead_id] = self._output.states[lead_id] = decode_lead(lead_id, state)

    def _judge(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        log_time = self._log_time
        try:
            latest = log_time if is_stamped(record) and log_time is not None else self._now
            activity = parse_record(record.value, record.key, record.headers, latest)
            if activity.id in self._poison:
                raise Rejected("internal_error", "")
        except Rejected as rejected:
            letter = Letter(record.partition, record.offset, rejected.reason, record.key, record.value)
            self._output.letters[letter] += 1
            return
        lead = self._leads.get(activity.lead_id) or Lead(activity.lead_id)
        arrival = arrival_of(record, log_time, activity.time)
        self._keep(self.rules.assess(lead, activity, arrival, self.change))

    def catch_up(self, judged: Mapping[str, Lead], until: int | None) -> None:
        """Do the reviews up to `until`, and those that were done later, of which none may be after the time of the
        log. None: only those that were done."""
        if self._log_time is None:
            return
        for lead_id, lead in self._leads.items():
            last, done = judged.get(lead_id), until
            if last is not None and self._is_judged(last):
                done = last.judged_at if done is None else max(done, last.judged_at)
            if done is not None:
                self._keep(self.rules.catch_up(lead, min(done, self._log_time), self.change))

    def _is_judged(self, lead: Lead) -> bool:
        """Whether these rules have judged the lead since they took effect."""
        since = NO_CLOCK if self.change is None else self.change.since
        return lead.judged_by == self.rules.mark and lead.judged_at >= since

    def _keep(self, assessment: Assessment) -> None:
        lead = assessment.lead
        self._leads[lead.id] = self._output.states[lead.id] = lead
        self._output.decisions[lead.id] += [decision.to_json() for decision in assessment.decisions]


def committed_output(kafka: Kafka, names: Names, decisions_at_least: int = 0, letters_at_least: int = 0) -> Output:
    """The committed output: decisions, dead letters of the input, and the states, restored from the changelog as a
    worker does.
    Fails if there are fewer decisions or dead letters within the deadline."""
    decisions: dict[str, list[bytes]] = defaultdict(list)
    for record in kafka.read(names.routing, decisions_at_least):
        decisions[(record.key or b"").decode()].append(record.value or b"")
    letters: Counter[Letter] = Counter()
    for record in kafka.read(names.dead_letters, letters_at_least):
        # The other headers are those of the input, which may be anything.
        headers = {name: (value or b"").decode() for name, value in record.headers if name.startswith("dlq-")}
        if headers["dlq-topic"] != names.activity:
            continue
        place = int(headers["dlq-partition"]), int(headers["dlq-offset"])
        letters[Letter(*place, headers["dlq-reason"], record.key, record.value)] += 1
    return Output(dict(decisions), letters, _restored(kafka, names))


def check_exactly_once(
    kafka: Kafka,
    names: Names,
    poison: Collection[str] = frozenset(),
    rules: Path | Sequence[Evaluator] = RULES,
    reached: Mapping[int, int] | None = None,
    old: OldRelease | None = None,
) -> Output:
    """Fail unless every activity counted once, every decision was published once, and no transaction is open.

    Call it when the input is processed and no worker runs. `reached`: the result of `wait_until_reviewed`; without it,
    all reviews must be done. Returns the output, which is as expected.
    """
    wanted, _, problems = differences(kafka, names, poison, rules, reached, old)
    if problems:
        more = [f"... and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise AssertionError("\n".join([f"{len(problems)} differences", *problems[:20], *more]))
    return wanted


def differences(
    kafka: Kafka,
    names: Names,
    poison: Collection[str] = frozenset(),
    rules: Path | Sequence[Evaluator] = RULES,
    reached: Mapping[int, int] | None = None,
    old: OldRelease | None = None,
) -> tuple[Output, Output, list[str]]:
    """The expected output, the committed one, and one line for each difference, also in the committed offsets."""
    problems = left_open(kafka, names)
    eras = history(kafka.read(names.state), mixed=old is not None)
    wanted = expected(kafka.read(names.activity), poison, rules, eras, reached, old)
    assert wanted.decisions, "the input leads to no decision: the test shows nothing"
    got = committed_output(kafka, names)
    problems += decision_differences(wanted.decisions, got.decisions)
    problems += [f"dead letter missing: {letter}" for letter in (wanted.letters - got.letters).elements()]
    problems += [f"unexpected dead letter: {letter}" for letter in (got.letters - wanted.letters).elements()]
    if old is None:
        problems += state_differences(wanted.states, got.states)
    else:
        # Of an activity that changes nothing, the changelog does not say which release has remembered it.
        problems += state_differences(*(without_memory(each.states) for each in (wanted, got)))
    left = left_over(kafka, names)
    # A worker that ends may leave the tick that it has written to the next one.
    if left is None or not all(is_tick(record.value) for record in left):
        at = positions(kafka, names)
        problems.append(f"committed {at.committed}, the input ends at {at.ends}")
    return wanted, got, problems


def wait_until_reviewed(
    kafka: Kafka,
    names: Names,
    workers: Sequence[Service],
    poison: Collection[str] = frozenset(),
    rules: Path | Sequence[Evaluator] = RULES,
    seconds: float = DRAIN_SECONDS,
    old: OldRelease | None = None,
) -> dict[int, int]:
    """Return once the input is processed, and every lead is reviewed that is due by the last full second of its log.
    Returns this instant by partition; ticks may take the time of the log further meanwhile."""
    wait_until_processed(kafka, names, workers, seconds)
    records = kafka.read(names.activity)
    reached = {partition: log_time // SECOND * SECOND for partition, log_time in log_times(records).items()}
    eras = history(kafka.read(names.state), mixed=old is not None)
    wanted = expected(records, poison, rules, eras, reached, old)
    deadline = time.monotonic() + seconds
    # Lead by lead, because ticks may bring other leads more decisions than these meanwhile.
    while missing := decisions_of(wanted) - Counter(
        (record.key or b"").decode() for record in kafka.read(names.routing)
    ):
        logs = "\n".join(worker.text() for worker in workers)
        assert all(worker.process.poll() is None for worker in workers), f"a worker ended:\n{logs}"
        assert time.monotonic() < deadline, f"not decided within {seconds} s: {dict(missing)}:\n{logs}"
        time.sleep(0.2)
    return reached


def decisions_of(output: Output) -> Counter[str]:
    """How many decisions each lead has."""
    return Counter({lead_id: len(values) for lead_id, values in output.decisions.items()})


def log_times(records: "Iterable[ConsumerRecord[bytes, bytes]]") -> dict[int, int]:
    """The time of the log of each partition at its end; `NO_CLOCK` if it is not known."""
    times: dict[int, int | None] = {}
    for record in records:
        times[record.partition] = log_time_after(times.get(record.partition), record)
    return {partition: NO_CLOCK if log_time is None else log_time for partition, log_time in times.items()}


def history(changelog: "Iterable[ConsumerRecord[bytes, bytes]]", *, mixed: bool = False) -> History:
    """What a changelog that was never compacted says about each partition. A transaction ends with a record that nobody
    gets, so the offsets of its records have no gaps. `mixed`: workers of a release without reviews have written some of
    it."""
    transactions: dict[int, list[list[ConsumerRecord[bytes, bytes]]]] = defaultdict(list)
    for record in sorted(changelog, key=attrgetter("partition", "offset")):
        known = transactions[record.partition]
        if known and known[-1][-1].offset == record.offset - 1:
            known[-1].append(record)
        else:
            known.append([record])
    return {number: _eras(known, mixed=mixed) for number, known in transactions.items()}


def _eras(transactions: "Iterable[Sequence[ConsumerRecord[bytes, bytes]]]", *, mixed: bool) -> list[Era]:
    eras: list[Era] = []
    marker: Marker | None = None
    offset = 0
    is_old = False
    states: dict[str, bytes] = {}

    def close(end: int | None) -> None:
        if marker is not None:
            change = None if marker.since is None else RuleChange(marker.number, marker.since)
            judged = {lead_id: decode_lead(lead_id, state) for lead_id, state in states.items()}
            eras.append(Era(marker.revision, change, end, judged, is_old))

    for records in transactions:
        markers = [decode_marker(record.value, record.headers) for record in records if record.key == MARKER_KEY]
        found = markers[0] if markers else marker
        was_old, is_old_now = is_old, _is_of_old_release(records) if mixed else False
        is_old_now = was_old if is_old_now is None else is_old_now
        if found is not None and marker is not None and (found.number, is_old_now) != (marker.number, was_old):
            close(offset)
        marker, is_old = found, is_old_now
        for record in records:
            if record.key == POSITION_KEY and record.value is not None:
                offset = decode_position(record.value, record.headers).next_offset
            elif record.value is None:
                states.pop((record.key or b"").decode(), None)
            elif record.key not in (MARKER_KEY, POSITION_KEY, None):
                states[record.key.decode()] = record.value
    close(None)
    return eras


def _is_of_old_release(records: "Sequence[ConsumerRecord[bytes, bytes]]") -> bool | None:
    """Whether a worker without reviews has written the transaction; None if that does not show. The position says it
    for certain: a lead that a worker with reviews does not judge, because it only remembers an outdated activity, has a
    state as from one without."""
    for record in records:
        if record.key == POSITION_KEY and record.value is not None:
            return decode_position(record.value, record.headers).log_time is None
    for record in records:
        if record.key not in (MARKER_KEY, POSITION_KEY, None) and record.value is not None:
            return not decode_lead(record.key.decode(), record.value).judged_by
    return None


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


def without_memory(states: Mapping[str, Lead]) -> dict[str, Lead]:
    """The leads without the activities that they remember beyond counts and facts."""
    return {lead_id: replace(lead, recent=None) for lead_id, lead in states.items()}


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
    """Partitions with an open transaction, which hides all later records from readers, a line each."""
    return [
        f"{partition.topic}-{partition.partition}: open transaction from {stable} on, the end is {end}"
        for partition, (stable, end) in sorted(open_transactions(kafka, names).items())
    ]


def open_transactions(kafka: Kafka, names: Names) -> dict[TopicPartition, tuple[int, int]]:
    """Where the first open transaction of a partition begins, and the end of the partition. Those that have none are
    left out."""

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
    return {partition: (stable[partition], end) for partition, end in last.items() if stable[partition] != end}
