"""What translates the records of other senders into activities, and what comes of a record."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from scorer.rules.finding import RulesetError
from scorer.sources.cloudevents import Header
from scorer.sources.rejected import Rejected


class SourceError(RulesetError):
    """A mapping file was refused; `findings` says why, in order of file and line."""


class Activity(msgspec.Struct, frozen=True):
    """An activity that a source made. `value` is a CloudEvent in structured mode, ready for the input topic."""

    lead_id: str
    type: str
    value: bytes


class Dropped(NamedTuple):
    """A key of an activity's data that was left out. `key` is a name of the mapping and `reason` one of a few words, so
    both are bounded whatever a sender invents."""

    key: str
    reason: str


class Outcome(msgspec.Struct, frozen=True):
    """What comes of one event of a record.

    `index`: its place in the record, from 0; None if the record is one event. `kind`: the kind of the mapping that it
    is, so a bounded name; empty if it is none. `held`: activities that are made and counted, but not passed on.
    `ignored`: why nothing comes of it, a text of the mapping or one of a few words. `rejected`: why it is no event.
    """

    index: int | None
    kind: str
    activities: Sequence[Activity] = ()
    held: Sequence[Activity] = ()
    ignored: str | None = None
    rejected: Rejected | None = None
    dropped: Sequence[Dropped] = ()


class Source(Protocol):
    """Translates records. Pure: equal records that arrive at the same time give equal outcomes."""

    @property
    def name(self) -> str:
        """Its name in settings, metrics and the `source` attribute of its activities."""

    def outcomes(self, value: bytes | None, headers: Iterable[Header], now: int, max_bytes: int) -> Sequence[Outcome]:
        """What comes of each event of a record, at least one outcome, in the order of the record.

        `now`: its arrival, in microseconds since the epoch. Raises `Rejected` if the record as a whole is no event,
        such as one that is not JSON or that has more than `max_bytes`. It raises nothing else.
        """
