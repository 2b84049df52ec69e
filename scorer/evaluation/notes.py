"""What an evaluator keeps with a lead, so that it need not look at the same facts again.

Nobody else reads or writes it. A lead carries it in one opaque slot, and its state carries it as bytes; it only saves
work.
"""

from collections.abc import Mapping
from typing import Final

from scorer.domain.facts import Fact
from scorer.evaluation.results import CriteriaResult
from scorer.evaluation.signal_points import SignalWorth

MARK_SIZE: Final = 5

FactVector = bytes | tuple[int, ...]
"""Codes in order: two a byte, or a tuple where some column has more than 16 cells."""
Times = tuple[int | None, ...]
"""When those things happened that the rules ask `days_since` for; empty where none of them did."""


class Notes:
    """Valid for that very `facts` object, because facts are never changed in place. `mark` names the rules, and what
    the codes mean."""

    __slots__ = ("codes", "facts", "mark", "result", "since", "times", "until", "worth")

    def __init__(
        self,
        mark: bytes,
        facts: Mapping[str, Fact],
        codes: FactVector,
        times: Times | None,
        worth: dict[str, SignalWorth] | None = None,
    ) -> None:
        self.mark = mark
        self.facts = facts
        self.codes = codes
        self.times = times
        """None: not looked up yet."""
        self.result: CriteriaResult | None = None
        """What the criteria made of the lead as of its latest activity, if that is in [since, until)."""
        self.since = self.until = 0
        self.worth = {} if worth is None else worth
        """What each signal is worth. An entry names the counts that it is about."""


def pack_notes(notes: object, facts: Mapping[str, Fact]) -> tuple[bytes, bool] | None:
    """The part of the notes that is worth keeping with the state, in a form for `unpack_notes`; None where there is
    none about these facts."""
    if isinstance(notes, Notes) and notes.facts is facts and isinstance(notes.codes, bytes):
        return notes.mark + notes.codes, notes.times != ()
    return None


def unpack_notes(content: bytes, timed: bool, facts: Mapping[str, Fact]) -> object:
    """The notes about these facts from what `pack_notes` gave."""
    return Notes(content[:MARK_SIZE], facts, content[MARK_SIZE:], None if timed else ())
