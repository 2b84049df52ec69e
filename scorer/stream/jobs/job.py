"""What a partition's worker does besides activities: background jobs, inside the transactions of the partition."""

from collections.abc import Callable, Sequence
from typing import Protocol

from scorer.runtime.metrics import BatchFigures
from scorer.state.store import LeadStore
from scorer.stream.outbox import Outbox


class Job(Protocol):
    """One background job of one partition, from its restore until the partition is given away or restored again.

    The worker waits for input as long as `patience` allows. Where there is none, a transaction takes place only if some
    job is `ready`. `stage` is called in every transaction, after the activities; `committed` after the commit. What was
    staged is void without it: the leads are discarded, and `stage` is called again, for another try or in the next
    transaction. All of this happens on the event loop: no call takes longer than some ten milliseconds.
    """

    @property
    def name(self) -> str:
        """For metrics."""

    @property
    def remaining(self) -> int:
        """How much is still to be done, as far as it is known."""

    def patience(self) -> float | None:
        """Seconds that the worker may wait for input before it asks `ready`; None: no limit."""

    def ready(self) -> bool:
        """Whether there is work that is worth a transaction now. May do a little to prepare it."""

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> bool:
        """Add some work to a transaction: messages to the outbox, leads to the store. True where it did; what only
        accompanies the activities, such as a marker, does not count. `busy`: more activities are waiting and come
        first; a job that has waited for long goes on all the same."""

    def committed(self) -> None:
        """What was staged is committed."""


JobFactory = Callable[[LeadStore, int], Sequence[Job]]
"""Makes the jobs of a partition from its restored leads and its number."""
