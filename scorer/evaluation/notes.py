"""The notes of an evaluator about a lead, so that it does not evaluate the same facts again.

No other code reads or writes them. A lead holds them in one opaque slot, and its state contains them as bytes. They
only save work.
"""

from collections.abc import Mapping
from typing import Final

from scorer.domain.facts import Fact
from scorer.evaluation.results import CriteriaResult
from scorer.evaluation.signal_points import FOREVER, SignalWorth

MARK_SIZE: Final = 5
NO_DAY: Final = -FOREVER
"""Before every UTC day."""

FactVector = bytes | tuple[int, ...]
"""Codes in order: two per byte, or a tuple if some column has more than 16 cells."""
Times = tuple[int | None, ...]
"""The times of the milestones that the rules use in `days_since`; empty if none of them happened."""


class Notes:
    """Valid for this `facts` object, because facts are never changed in place. `mark` identifies the rules and the
    meaning of the codes."""

    __slots__ = (
        "codes",
        "day",
        "facts",
        "idle_since",
        "idle_until",
        "mark",
        "result",
        "since",
        "times",
        "until",
        "worth",
    )

    def __init__(
        self,
        mark: bytes,
        facts: Mapping[str, Fact],
        codes: FactVector,
        times: Times | None,
        day: int = NO_DAY,
        worth: dict[str, SignalWorth] | None = None,
    ) -> None:
        self.mark = mark
        self.facts = facts
        self.codes = codes
        self.times = times
        """None if not computed yet."""
        self.result: CriteriaResult | None = None
        """The result of the criteria as of an instant in [since, until), if the time since the latest activity is in
        [idle_since, idle_until)."""
        self.since = self.until = self.idle_since = self.idle_until = 0
        self.worth = {} if worth is None else worth
        """What each signal is worth. An entry contains the counts for which it is valid."""
        self.day = day
        """The entries of `worth` are valid from this UTC day on. On an earlier day they may not be."""

    def copy(self) -> "Notes":
        """The same notes. What is then remembered in the copy does not change these."""
        other = Notes(self.mark, self.facts, self.codes, self.times, self.day, dict(self.worth))
        other.remember(self)
        return other

    def remember(self, other: "Notes") -> None:
        """Take over the result of notes with the same codes and times."""
        self.result, self.since, self.until = other.result, other.since, other.until
        self.idle_since, self.idle_until = other.idle_since, other.idle_until


def pack_notes(notes: object, facts: Mapping[str, Fact]) -> tuple[bytes, bool] | None:
    """The part of the notes that the state keeps, in the form for `unpack_notes`; None if the notes are not about
    these facts or not worth keeping."""
    if isinstance(notes, Notes) and notes.facts is facts and isinstance(notes.codes, bytes):
        return notes.mark + notes.codes, notes.times != ()
    return None


def unpack_notes(content: bytes, timed: bool, facts: Mapping[str, Fact]) -> object:
    """The notes about these facts, from the result of `pack_notes`."""
    return Notes(content[:MARK_SIZE], facts, content[MARK_SIZE:], None if timed else ())
