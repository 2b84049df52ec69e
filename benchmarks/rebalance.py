"""A rebalance on Apache Kafka: two workers share many partitions, a third one joins, and leaves again.

Activities arrive at a fixed rate. The pause of a partition is the longest time from an activity to its commit, of the
activities that were due from the change until the group is settled again. Partitions that stay with their worker are
told from those that move by the group's members before and after. The bare loop shows what the client's rebalance
protocol costs anyway; it has no states to restore and nothing to fence.

    .venv/bin/python -m benchmarks.rebalance --rounds 3
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from benchmarks.kafka import GROUP, KAFKA, QUIET, SCRATCH, WorkerError, broker, cores, fill_states
from benchmarks.measuring import progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.steady import Feeder, Observer, places
from benchmarks.traffic import traffic
from benchmarks.worker import Worker, ours, peer, wait_until_shared
from scorer.demo.broker import free_port

OURS, BARE = "ours", "bare_tuned"
NAMES = {OURS: "ours", BARE: "bare loop, aiokafka"}
CHANGES = ("a third worker joins", "it leaves")
_STEADY = 12.0
"""The broker needs some seconds for the first records of 64 empty partitions in each topic."""
_AFTER = 3.0
_BEFORE_CHANGE = 0.5
_LONGEST = 60.0
_MOST_SECONDS = 150

Owners = Mapping[int, str]
"""The member of each partition."""


class Pauses(NamedTuple):
    """The longest pause of a partition that stays with its worker, and of one that moves, in seconds; and the longest
    time to a commit while nothing changed, which is what the machine and the load cost anyway."""

    stays: float
    moves: float
    moved: int
    before: float = 0.0


class Group:
    """Asks the broker who has which partition."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
        self._partitions = partitions

    def settled(self, members: int, workers: Sequence[Worker]) -> Owners:
        """The owners, once so many members share all partitions. Raises `WorkerError`."""
        deadline = time.monotonic() + _LONGEST
        while True:
            for worker in workers:
                worker.check()
            state: object = None
            try:
                described = self._admin.describe_consumer_groups([GROUP])[GROUP].result(10)
            except KafkaException as error:  # e.g. the coordinator is starting
                state = error
            else:
                owners = {
                    place.partition: member.member_id
                    for member in described.members
                    for place in member.assignment.topic_partitions
                }
                state = described.state
                is_shared = len(described.members) == members and len(owners) == self._partitions
                if is_shared and described.state == ConsumerGroupState.STABLE:
                    return owners
            if time.monotonic() > deadline:
                raise WorkerError(f"the group did not settle within {_LONGEST:.0f} s: {state}")
            time.sleep(0.1)


def pauses(before: Owners, after: Owners, longest: Mapping[int, float]) -> Pauses:
    """The pauses of a change, from the longest delay of each partition."""
    moved = {partition for partition, owner in before.items() if after[partition] != owner}
    stays = max((delay for partition, delay in longest.items() if partition not in moved), default=0.0)
    moves = max((delay for partition, delay in longest.items() if partition in moved), default=0.0)
    return Pauses(stays, moves, len(moved))


def one_run(name: str, options: argparse.Namespace, events: Sequence[tuple[str, bytes]]) -> list[Pauses]:
    """The pauses of each change. Raises `WorkerError`."""
    count = options.partitions
    with contextlib.ExitStack() as stack:
        bootstrap = stack.enter_context(broker(None, KAFKA, count)).bootstrap
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=SCRATCH)))
        ports: list[int] = []
        if name == OURS:
            fill_states(bootstrap, options.leads, count)

        def join() -> Worker:
            if name != OURS:
                return stack.enter_context(peer(name, bootstrap, set(cores()), folder))
            ports.append(free_port())
            return stack.enter_context(ours(bootstrap, set(cores()), http_port=str(ports[-1])))

        def settle(workers: Sequence[Worker]) -> Owners:
            owners = group.settled(len(workers), workers)
            if name == OURS:
                wait_until_shared(ports[: len(workers)], workers, count)
            return owners

        group = Group(bootstrap, count)
        two = [join(), join()]
        owners = [settle(two)]
        observer = Observer(bootstrap, count)
        try:
            feeder = Feeder(bootstrap, events, options.rate, count)
            time.sleep(_STEADY)
            third: list[Worker] = []
            steps: tuple[Callable[[], object], ...] = (lambda: third.append(join()), lambda: third.pop().end())
            windows: list[tuple[float, float]] = []
            for step in steps:
                began = time.perf_counter()
                step()
                owners.append(settle([*two, *third]))
                time.sleep(_AFTER)
                windows.append((began - _BEFORE_CHANGE, time.perf_counter() - _AFTER / 2))
            feeder.stop()
            due = feeder.due()
            time.sleep(_AFTER)
        finally:
            observer.stop()
    written = list(zip(places(events, count), due, strict=False))
    found = []
    calm = [
        observer.committed_at(*place) - moment
        for place, moment in written
        if windows[0][0] - _STEADY / 2 < moment < windows[0][0]
    ]
    for change, (begin, end) in enumerate(windows):
        longest: dict[int, float] = {}
        for (partition, offset), moment in written:
            if begin < moment < end:
                delay = observer.committed_at(partition, offset) - moment
                longest[partition] = max(delay, longest.get(partition, 0.0))
        found.append(pauses(owners[change], owners[change + 1], longest)._replace(before=max(calm)))
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1_000, help="activities a second")
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores()
    events = list(traffic(int(options.rate * _MOST_SECONDS), options.leads))
    runs: dict[str, list[list[Pauses]]] = {name: [] for name in NAMES}
    for number, (name, taken) in product(range(options.rounds), runs.items()):
        try:
            taken.append(one_run(name, options, events))
        except (WorkerError, IndexError) as error:
            raise SystemExit(f"{NAMES[name]}: {error}") from None
        for change, last in zip(CHANGES, taken[-1], strict=True):
            progress(
                f"  round {number + 1} of {options.rounds}  {NAMES[name]}, {change}: {last.moved} partitions move, "
                f"stays {last.stays:.2f} s, moves {last.moves:.2f} s, before {last.before:.2f} s"
            )
    shown = {name: getattr(options, name) for name in ("partitions", "leads", "rounds")}
    shown = {**shown, "activities a second": int(options.rate)}
    result = Result("rebalance", "A rebalance over three workers on Apache Kafka", "/ bare loop", shown)
    for name, taken in runs.items():
        calm = 1e3 * statistics.median(run[0].before for run in taken)
        result.figures.append(Figure(NAMES[name], calm, "ms", group="longest time to a commit while nothing changes"))
    for number, change in enumerate(CHANGES):
        for basis, which in (("stays", "stays"), ("moves", "moves")):
            values = {name: [getattr(run[number], basis) for run in taken] for name, taken in runs.items()}
            group = f"longest pause of a partition that {which}: {change}"
            for name, measured in values.items():
                against = ratio(measured, values[BARE])
                shown_ms = 1e3 * statistics.median(measured)
                result.figures.append(Figure.of(NAMES[name], shown_ms, "ms", against, group))
            if basis == "stays":
                median = statistics.median(values[OURS])
                result.targets.append(Target(f"aim, seconds of pause if it stays: {change}", 1.0, median, False))
    moved = statistics.median(run[0].moved for run in runs[OURS])
    result.notes.append(f"Of {options.partitions} partitions, {moved:.0f} move when the third worker joins.")
    result.finish()


if __name__ == "__main__":
    main()
