"""Many kill loops on three nodes of Apache Kafka: under a steady load workers are killed again and again, at each step
of their transactions and at random, while the nodes are killed, restarted and stopped one after the other. Leads cool
within seconds meanwhile, so many of the transactions have reviews and ticks.

After each loop, what is committed is compared with the offline run and with the output of `scorer score`. One line says
how the loop went, and one line at the end sums up all loops in the file of results. Exit status 1 if anything was lost
or doubled or differs, or if a process ended by itself.

    python -m tests.faults.kill_loops --loops 3
    python -m tests.faults.kill_loops --first-loop 3 --loops 3   # the next three; the results are added to the file
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Final, TypeVar

from scorer.domain.instant import SECOND, to_text
from scorer.domain.lead import TOLERANCE
from scorer.sources.arrival import log_time_after
from scorer.sources.tick import is_tick
from tests.brokers.apache import ApacheKafka
from tests.brokers.jars import VERSION, MissingError
from tests.faults.cluster import NODES, SETTINGS, Cluster
from tests.faults.cooling import COOLING_RULES, TICKING, create_topics, finish
from tests.faults.crew import Crew
from tests.faults.deaths import death
from tests.faults.foreign import OtherLeads, translated, wait_until_translated
from tests.faults.load import Load
from tests.faults.oracle import (
    Output,
    decision_differences,
    decision_id,
    differences,
    log_times,
    state_differences,
    wait_until_closed,
)
from tests.faults.promises import escalation_differences, plans_of
from tests.faults.writer import Writer
from tests.integration.kafka import Kafka, Names
from tests.integration.service import ROOT, Service

PARTITIONS: Final = 4
KILLS: Final = (3, 10)
_BATCHES: Final = (10, 50, 200)
_WORKERS: Final = 2
_RATE: Final = 600
_DRAIN_SECONDS: Final = 240.0
FINDINGS: Final = ("lost", "doubled", "differing")
_RESULTS: Final = ROOT / ".cache" / "kill-loops.jsonl"


T = TypeVar("T")


@dataclass(slots=True)
class Result:
    """One loop. `lost`, `doubled` and `differing` count decisions, dead letters and states; `lost` and `doubled` also
    the activities of another sender's events."""

    loop: int
    seed: int
    activities: int = 0
    translated: int = 0
    decisions: int = 0
    by_time: int = 0
    escalations: int = 0
    ticks: int = 0
    kills: list[str] = field(default_factory=list)
    bounces: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The result as one line."""
        parts = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.seconds.items())
        return (
            f"loop {self.loop}: {self.activities:,} activities, {self.translated:,} events of another sender, "
            f"{self.ticks} ticks, {self.decisions:,} decisions, "
            f"{self.by_time:,} of them by time, {self.escalations:,} escalations, {len(self.kills)} kills "
            f"({', '.join(self.kills)}), nodes: "
            f"{', '.join(self.bounces)}; {sum(self.seconds.values()):.0f} s ({parts}): "
            f"lost {self.lost}, doubled {self.doubled}, differing {self.differing}"
            + (f"; {len(self.problems)} problems" if self.problems else "")
        )


class Bouncer:
    """Hits one node after the other in a thread of its own, and heals it again."""

    def __init__(self, cluster: Cluster, random: Random, thread: Executor) -> None:
        self._cluster = cluster
        self._random = random
        self._ending = threading.Event()
        self.done: list[str] = []
        self._finished = thread.submit(self._run)

    def end(self) -> None:
        """Return once the current node is well again. Raises what went wrong."""
        self._ending.set()
        self._finished.result()

    def _run(self) -> None:
        self._hit()
        while not self._ending.wait(self._random.uniform(4, 10)):
            self._hit()

    def _hit(self) -> None:
        how = self._random.choice(("kill", "kill", "terminate", "stop"))
        node = self._random.choice(NODES)
        self.done.append(f"{how} {node}")
        getattr(self._cluster, how)(node)
        self._ending.wait(self._random.uniform(2, 6))
        self._cluster.heal()


class _Watch:
    """Notes how long each part takes."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._since = time.monotonic()

    def ends(self, part: str) -> None:
        now = time.monotonic()
        self._seconds[part], self._since = now - self._since, now


def run_loop(
    cluster: Cluster, thread: Executor, folder: Path, loop: int, seed: int, events: int, kills: Sequence[int]
) -> Result:
    """One loop with `events` activities and at least `kills[0]`, at most `kills[1]` killed workers."""
    random = Random(seed)
    result = Result(loop, seed)
    names = Names(f"loop{loop}x{seed}x{time.time_ns() % 1_000_000}")
    count = PARTITIONS
    watch = _Watch(result.seconds)
    create_topics(cluster, names, count)
    sender = f"{names.prefix}.sender"
    cluster.create({sender: 2}, {"message.timestamp.type": "LogAppendTime"})
    settings = {
        **TICKING,
        "sources": f"{sender}:cloudevents",
        "topic_partitions": str(count),
        "session_timeout_ms": "3000",
        "transaction_timeout_ms": "5000",
    }
    writer = Writer(cluster, names.activity, Load(random, events // 20, live=True), _RATE, most=events)
    other = Writer(cluster, sender, OtherLeads(Random(seed + 1), events // 40, live=True), _RATE // 4, most=events // 4)
    with Crew(cluster, names, folder, 0, **settings) as crew, writer, other:
        bouncer = Bouncer(cluster, Random(seed), thread)
        try:
            _kill_all(crew, Random(seed), random.randint(*kills), result)
        finally:
            watch.ends("killing")
            bouncer.end()
        watch.ends("healing")
        result.bounces = bouncer.done
        result.activities = writer.finish()
        other.finish()
        # Without ticks the time of the log stands still in the end, and everything up to it is done.
        crew.workers = [crew.start(max_records="200", tick_seconds="0") for _ in range(_WORKERS)]
        wait_until_translated(cluster, names, [sender], crew.workers, _DRAIN_SECONDS)
        finish(cluster, names, crew.workers, seconds=_DRAIN_SECONDS)
    wait_until_closed(cluster, names, _DRAIN_SECONDS)
    watch.ends("draining")
    _compare(cluster, names, folder, result)
    of_sender = translated(cluster, names, [sender])
    result.translated = of_sender.activities + of_sender.letters
    result.lost += of_sender.lost
    result.doubled += of_sender.doubled
    watch.ends("comparing")
    return result


def _kill_all(crew: Crew, random: Random, kills: int, result: Result) -> None:
    """Let workers die in turns, and start another one for each, until all `kills` are dead."""
    dying = [death(random, number, _BATCHES) for number in range(kills)]
    running: list[tuple[Service, str]] = []
    while dying or running:
        while dying and len(running) < _WORKERS:
            settings = dying.pop(0)
            point = settings.get("fault_point", "random:").rpartition(":")[0]
            running.append((crew.start(**settings), point))
        worker, point = running.pop(0)
        if _await_death(worker, random.uniform(0.5, 4)):
            result.kills.append(point)
        else:
            # Its point does not come, because the other worker has the partitions or a node is away; or it has none.
            worker.process.kill()
            result.kills.append("random")
        code = worker.process.wait()
        if code != -9:
            result.problems.append(f"a worker ended by itself with {code}: {worker.text()[-2_000:]}")


def _await_death(worker: Service, seconds: float) -> bool:
    """Whether a worker dies within this time after it was ready, or before."""
    with contextlib.suppress(AssertionError):
        # It may die before, and without a coordinator it may not be ready for long.
        worker.wait(worker.ready)
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.process.wait(seconds)
        return True
    return False


def _compare(kafka: Kafka, names: Names, folder: Path, result: Result) -> None:
    wanted, got, problems = differences(kafka, names, rules=COOLING_RULES)
    scored = _scored(kafka, names, wanted, folder)
    problems += [f"`scorer score`: {line}" for line in decision_differences(scored, got.decisions)]
    result.decisions, result.by_time = sum(map(len, scored.values())), wanted.by_time
    result.ticks = sum(is_tick(record.value) for record in kafka.read(names.activity))
    result.lost, result.doubled, result.differing = tally(scored, wanted, got)
    records = kafka.read(names.activity)
    reached = {partition: log_time // SECOND * SECOND for partition, log_time in log_times(records).items()}
    found, result.escalations = escalation_differences(records, got.decisions, plans_of(), reached, TOLERANCE)
    problems += [f"escalations: {line}" for line in found]
    if not result.escalations:
        problems.append("nothing was escalated: the loop shows too little")
    result.problems += problems


def tally(scored: Mapping[str, Sequence[bytes]], wanted: Output, got: Output) -> tuple[int, int, int]:
    """How many decisions and dead letters are lost and doubled, and how many decisions and states differ.

    `scored`: the decisions that `scorer score` wrote, by lead.
    """
    ids, ids_got = _counted(scored, decision_id), _counted(got.decisions, decision_id)
    lost, doubled = (ids - ids_got).total(), (ids_got - ids).total()
    other = (_counted(scored, bytes) - _counted(got.decisions, bytes)).total() - lost
    states = state_differences(wanted.states, got.states)
    lost += (wanted.letters - got.letters).total()
    doubled += (got.letters - wanted.letters).total()
    return lost, doubled, max(0, other) + len(states)


def _counted(decisions: Mapping[str, Sequence[bytes]], key: Callable[[bytes], T]) -> Counter[T]:
    return Counter(key(value) for values in decisions.values() for value in values)


def _scored(kafka: Kafka, names: Names, wanted: Output, folder: Path) -> dict[str, list[bytes]]:
    """The decisions of `scorer score` by lead, for the accepted activities in the order of their partitions, which
    arrive as in Kafka."""
    rejected = {(letter.partition, letter.offset) for letter in wanted.letters}
    lines: dict[int, list[bytes]] = defaultdict(list)
    reached: dict[int, int] = {}
    for record in sorted(kafka.read(names.activity), key=lambda record: (record.partition, record.offset)):
        log_time = log_time_after(reached.get(record.partition), record)
        assert log_time is not None, "the input has LogAppendTime"
        reached[record.partition] = log_time
        if (record.partition, record.offset) not in rejected and not is_tick(record.value):
            event = json.loads(record.value or b"") | {"arrivedat": to_text(log_time)}
            lines[record.partition].append(json.dumps(event).encode() + b"\n")
    decisions: dict[str, list[bytes]] = defaultdict(list)
    for partition, events in sorted(lines.items()):
        path = folder / f"input-{partition}.jsonl"
        path.write_bytes(b"".join(events))
        given = ["--input", str(path), "--rules", str(COOLING_RULES), "--until", to_text(reached[partition])]
        done = subprocess.run(
            [sys.executable, "-m", "scorer", "score", *given], cwd=ROOT, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        for line in done.stdout.splitlines():
            decisions[json.loads(line)["lead_id"]].append(line)
    return {lead_id: _without_rest(values, wanted.decisions.get(lead_id, ())) for lead_id, values in decisions.items()}


def _without_rest(scored: list[bytes], wanted: Sequence[bytes]) -> list[bytes]:
    """Without the reviews at the end that are due within the last second of the log, which workers need not do yet."""
    rest = scored[len(wanted) :]
    return scored[: len(wanted)] if all(b'"cause":"time"' in value for value in rest) else scored


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loops. The exit status is 1 if one of them found something."""
    parser = argparse.ArgumentParser(description="kill loops on three nodes of Apache Kafka")
    parser.add_argument("--loops", type=int, default=25)
    parser.add_argument("--first-loop", type=int, default=0, help="continue with this one; 0 starts new results")
    parser.add_argument("--events", type=int, default=12_000, help="activities of a loop")
    parser.add_argument("--kills", type=int, nargs=2, default=KILLS, metavar=("LEAST", "MOST"))
    parser.add_argument("--seed", type=int, default=1_000, help="the seed of loop 0; each loop has the next one")
    parser.add_argument("--kafka", default=VERSION, help="version of Apache Kafka")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="a line of JSON for each loop")
    given = parser.parse_args(arguments)
    if given.first_loop == 0:
        given.results.unlink(missing_ok=True)
    given.results.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kill-loops-"))
    try:
        apache = ApacheKafka(folder / "cluster", len(NODES), given.kafka, SETTINGS)
    except MissingError as missing:
        tell(str(missing))
        return 2
    # A node ends with the thread that started it, so one thread restarts the nodes of all loops.
    with ThreadPoolExecutor(1) as thread, apache:
        cluster = Cluster(apache)
        cluster.await_healthy()
        for loop in range(given.first_loop, given.first_loop + given.loops):
            logs = folder / f"loop{loop}"
            logs.mkdir()
            result = run_loop(cluster, thread, logs, loop, given.seed + loop, given.events, given.kills)
            with given.results.open("a") as file:
                file.write(json.dumps(asdict(result)) + "\n")
            tell(result.line)
            for problem in result.problems[:20]:
                tell(f"  {problem}")
            if result.problems:
                tell(f"  the logs of the workers are in {logs}")
            else:
                shutil.rmtree(logs)
    return summary(given.results)


def summary(results: Path) -> int:
    """Sum up all loops in the file of results."""
    loops = [json.loads(line) for line in results.read_text().splitlines()]
    counted = ("activities", "translated", "ticks", "decisions", "by_time", "escalations", *FINDINGS)
    total = {name: sum(loop.get(name, 0) for loop in loops) for name in counted}
    kills, bounces = sum(len(loop["kills"]) for loop in loops), sum(len(loop["bounces"]) for loop in loops)
    problems = sum(len(loop["problems"]) for loop in loops)
    tell(
        f"{len(loops)} loops, {total['activities']:,} activities, {total['translated']:,} events of another sender, "
        f"{total['ticks']:,} ticks, {total['decisions']:,} "
        f"decisions, {total['by_time']:,} of them by time, {total['escalations']:,} escalations, {kills} kills of "
        f"workers, {bounces} of nodes: "
        f"lost {total['lost']}, doubled {total['doubled']}, differing {total['differing']}, problems {problems}"
    )
    return 1 if problems or any(total[name] for name in FINDINGS) else 0


def tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
