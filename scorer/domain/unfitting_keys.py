"""Counts what does not fit in many activities, and says it in sentences for people.

The sum does not depend on the order of the counts: the example is the one with the lowest place.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from scorer.domain.printable import counted, shortened
from scorer.domain.unfitting import OTHER, Drop, Reason

_NAMES: Final = ("undeclared", "misspelt")
"""Reasons that are about the name of a key, not about its value."""
_WORDS: Final[Mapping[Reason, str]] = {
    "empty": "was an empty text",
    "malformed": "was malformed",
    "misspelt": "was probably meant by another key",
    "missing": "was missing",
    "not_a_choice": "was none of its choices",
    "out_of_range": "was out of range",
    "too_long": "was too long",
    "undeclared": "was not declared",
}


class Seen(NamedTuple):
    """How many activities, and the first of them: its place, and what was sent."""

    activities: int
    place: int
    example: str


@dataclass(frozen=True, slots=True)
class UnfittingKey:
    """A field that did not fit in some activities. `example`: what was sent, as JSON in at most 40 characters; empty if
    nothing was."""

    field: str
    reason: Reason
    found: str
    activities: int
    example: str

    def sentence(self, total: int) -> str:
        """What was found, for a person. `total`: how many activities were read."""
        name = "a key that nobody declares" if self.field == OTHER else f"`{self.field}`"
        words = "was sent" if self.field == OTHER else _WORDS.get(self.reason, f"was {self.found}")
        example = f", e.g. {self.example}" if self.example else ""
        return f"{name} {words} in {self.activities:,} of {counted(total, 'activity')}{example}"


@dataclass(slots=True)
class UnfittingKeys:
    """Counts of activities by field, reason and what was found instead."""

    by_kind: dict[tuple[str, Reason, str], Seen] = field(default_factory=dict)
    """By field, reason and what was found instead."""

    def note(self, place: int, drops: Iterable[Drop]) -> None:
        """Count the drops of one activity. `place`: where it is; places ascend."""
        for drop in drops:
            kind = drop.field, drop.reason, _found(drop)
            known = self.by_kind.get(kind)
            if known is None or place < known.place:
                self._add(kind, Seen(1, place, _example(drop)))
            else:
                self.by_kind[kind] = known._replace(activities=known.activities + 1)

    def add(self, other: "UnfittingKeys") -> None:
        """Add the counts of other activities."""
        for kind, seen in other.by_kind.items():
            self._add(kind, seen)

    def _add(self, kind: tuple[str, Reason, str], seen: Seen) -> None:
        known = self.by_kind.get(kind)
        if known is not None:
            place, example = min(known[1:], seen[1:])
            seen = Seen(known.activities + seen.activities, place, example)
        self.by_kind[kind] = seen

    def __iter__(self) -> Iterator[UnfittingKey]:
        """The most frequent ones first."""
        for (name, reason, found), seen in sorted(
            self.by_kind.items(), key=lambda entry: (-entry[1].activities, entry[0])
        ):
            yield UnfittingKey(name, reason, found, seen.activities, seen.example)


def _found(drop: Drop) -> str:
    if drop.reason != "wrong_type":
        return ""
    match drop.value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def _example(drop: Drop) -> str:
    if drop.reason == "missing":
        return ""
    return shortened(json.dumps(drop.key if drop.reason in _NAMES else drop.value, ensure_ascii=False))
