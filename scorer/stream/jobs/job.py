"""The protocol of background jobs, which a partition worker runs inside the transactions of its partition."""

from collections.abc import Callable, Sequence
from typing import Protocol

from scorer.runtime.metrics import BatchFigures
from scorer.state.store import LeadStore
from scorer.stream.outbox import Outbox


class Job(Protocol):
    """One background job of one partition. It lives from a restore until the partition is lost or restored again.

    The worker waits for input as long as `patience` allows. Without input, a transaction takes place only if a job is
    `ready`. The worker calls `stage` in every transaction, after the activities, and `committed` after the commit. If
    the commit fails, the staged leads are discarded, and `stage` is called again in the next try or transaction. All
    of this happens on the event loop, so a call takes about ten milliseconds at most.
    """

    @property
    def name(self) -> str:
        """The name in metrics."""

    @property
    def remaining(self) -> int:
        """The known amount of work that is left."""

    def patience(self) -> float | None:
        """Seconds that the worker may wait for input before it calls `ready`; None: no limit."""

    def ready(self) -> bool:
        """Whether there is work that is worth a transaction now. May do a little preparation."""

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> bool:
        """Add some work to a transaction: messages to the outbox, leads to the store. True if it did; a message that
        only accompanies the activities, such as a marker, does not count. `busy`: more activities are waiting and come
        first, unless the job has waited for long."""

    def committed(self) -> None:
        """Note that the staged work is committed."""


JobFactory = Callable[[LeadStore, int], Sequence[Job]]
"""Makes the jobs of a partition from its restored leads and its number."""
