"""The jobs of one partition take turns."""

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from scorer.runtime.metrics import BatchFigures
from scorer.stream.jobs.job import Job
from scorer.stream.outbox import Outbox

Kind = TypeVar("Kind")


class Turns:
    """Several jobs behind the interface of one.

    The jobs share a limited rate, so the first one may use it up. The jobs that worked in a transaction come last in
    the next one.
    """

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._jobs = list(jobs)
        self._served: list[Job] = []

    def patience(self) -> float | None:
        """Seconds to wait for input: the least that any job allows; None: no limit."""
        limits = [limit for job in self._jobs if (limit := job.patience()) is not None]
        return min(limits, default=None)

    def ready(self) -> bool:
        """Whether any job has work. Asks all of them, because each call also does some preparation."""
        answers = [job.ready() for job in self._jobs]
        return any(answers)

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> None:
        """Let each job add to the transaction."""
        self._served = [job for job in self._jobs if job.stage(outbox, figures, busy=busy)]

    def committed(self) -> None:
        """Note that the staged work is committed."""
        for job in self._jobs:
            job.committed()
        waiting = [job for job in self._jobs if job not in self._served]
        self._jobs = waiting + self._served
        self._served = []

    def find(self, kind: type[Kind]) -> Kind | None:
        """The job of this kind; None if there is none."""
        return next((job for job in self._jobs if isinstance(job, kind)), None)

    def remaining(self) -> Counter[str]:
        """How much work each job still has, by its name."""
        remaining: Counter[str] = Counter()
        for job in self._jobs:
            remaining[job.name] += job.remaining
        return remaining
