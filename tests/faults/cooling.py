"""Rules by which leads cool within seconds, and an input that the broker stamps: so the fault tests have reviews and
ticks all the time, by the real clock."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.faults.oracle import Output, check_exactly_once, wait_until_reviewed
from tests.faults.sizes import DRAIN_SECONDS
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service

COOLING_RULES: Final = Path(__file__).parent / "cooling_rules"
COOLING: Final[Mapping[str, str]] = {"rules": str(COOLING_RULES)}
"""Settings of a worker. Only activities bring time."""
TICKING: Final[Mapping[str, str]] = {**COOLING, "tick_seconds": "1"}
"""The same with ticks. Not for kills on the embedded broker: after an aborted tick its readers may skip all later ones,
because it lists aborted transactions also for those who are behind them."""


def create_topics(kafka: Kafka, names: Names, partitions: int, routing: int | None = None) -> None:
    """The topics of the service. The input has LogAppendTime. `routing`: partitions of `lead.routing`, if it has not as
    many as the input."""
    kafka.create({names.activity: partitions}, {"message.timestamp.type": "LogAppendTime"})
    kafka.create({names.state: partitions, names.routing: routing or partitions, names.dead_letters: 1})


def finish(
    kafka: Kafka,
    names: Names,
    workers: Sequence[Service],
    poison: Collection[str] = frozenset(),
    seconds: float = DRAIN_SECONDS,
) -> dict[int, int]:
    """Wait until the workers have processed and reviewed everything, and end them (SIGTERM). Returns the time of the
    log up to which all reviews are done, by partition."""
    reached = wait_until_reviewed(kafka, names, workers, poison, COOLING_RULES, seconds)
    for worker in workers:
        # The others may have done the work while the last one still starts.
        worker.wait(worker.ready)
    for worker in workers:
        assert worker.terminate() == 0, worker.text()
    return reached


def check_cooled(
    kafka: Kafka, names: Names, reached: Mapping[int, int], poison: Collection[str] = frozenset()
) -> Output:
    """`check_exactly_once` of what such workers have committed, where `finish` has returned `reached`. There must be
    reviews."""
    output = check_exactly_once(kafka, names, poison, COOLING_RULES, reached)
    decisions = sum(map(len, output.decisions.values()))
    print(f"{decisions} decisions, {output.by_time} of them by time, {output.letters.total()} dead letters")  # noqa: T201
    assert output.by_time > 0, "nothing was decided by time alone: the test shows too little"
    return output
