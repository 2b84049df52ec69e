"""What a report counts. Everything is a count, a sum of exact fractions, or a bag of times. Therefore the sum of the
tallies does not depend on their order or on how the leads were divided."""

from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import nsmallest
from operator import itemgetter
from typing import Final, Literal, NamedTuple

from scorer.figures.contributions import Key
from scorer.keyfigures.names import Names

Kind = Literal["rating", "status", "category"]
"""Ways to divide the base."""

Fate = Literal["kept", "late", "missed", "open", "withdrawn", "unmeasured"]
"""What became of a promise."""

Queue = str | None
MOST_HOT: Final = 20
"""The hot leads that are named, the ones that wait longest."""
Day = int
"""In days since 1970-01-01."""


class HotLead(NamedTuple):
    """A hot lead that waits for its first response. Instants in microseconds since the epoch."""

    since: int
    lead_id: str
    due: int
    queue: Queue


def _answers() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class KeyTally:
    """The counts of a part of the leads."""

    moves: Counter[tuple[Kind, str, Day]] = field(default_factory=Counter)
    """Leads that came to stand somewhere minus those that left it, by the local day on which this happened."""
    changes: Counter[tuple[Literal["rating", "status", "stage"], str, str]] = field(default_factory=Counter)
    unusual: Counter[tuple[str, str]] = field(default_factory=Counter)
    dated: Counter[tuple[Day, Key]] = field(default_factory=Counter)
    """What leads contribute to the figures of periods, by local day (`scorer.figures.contributions`)."""
    actions: Counter[tuple[str, Day]] = field(default_factory=Counter)
    """Sales actions by name and UTC day."""
    handed_over: int = 0
    promises: Counter[Queue] = field(default_factory=Counter)
    fates: Counter[tuple[Queue, Fate]] = field(default_factory=Counter)
    answers: defaultdict[Queue, "array[int]"] = field(default_factory=lambda: defaultdict(_answers))
    """Times from hand-over to answer, in microseconds: business time if the rules have a calendar."""
    escalations: Counter[Queue] = field(default_factory=Counter)
    waiting: Counter[Literal["open", "overdue", "hot"]] = field(default_factory=Counter)
    """Leads that wait for an answer in the end."""
    hot: list[HotLead] = field(default_factory=list)
    """Those of them that are hot and wait longest, at most `MOST_HOT`."""
    values: defaultdict[Day, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    """Values of won deals by local day."""
    deals: Counter[Day] = field(default_factory=Counter)
    """Won deals with a value, by local day."""
    reasons_lost: Names = field(default_factory=Names)
    competitors: Names = field(default_factory=Names)
    reasons_returned: Names = field(default_factory=Names)
    unknown_stages: Names = field(default_factory=Names)
    """Stages that are in no phase."""

    def add_hot(self, *leads: HotLead) -> None:
        """Name these leads, if they are among those that wait longest."""
        self.hot = nsmallest(MOST_HOT, [*self.hot, *leads], key=itemgetter(0, 1))

    def add(self, other: "KeyTally") -> None:
        """Add the counts of other leads."""
        for name in (
            "moves",
            "changes",
            "unusual",
            "dated",
            "actions",
            "promises",
            "fates",
            "escalations",
            "waiting",
            "deals",
        ):
            getattr(self, name).update(getattr(other, name))
        self.handed_over += other.handed_over
        self.add_hot(*other.hot)
        for queue, times in other.answers.items():
            self.answers[queue].extend(times)
        for day, value in other.values.items():
            self.values[day] += value
        for name in ("reasons_lost", "competitors", "reasons_returned", "unknown_stages"):
            getattr(self, name).merge(getattr(other, name))
