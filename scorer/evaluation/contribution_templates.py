"""What decisions say in the same words each time: the JSON of a contribution up to its evidence, written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from scorer.domain.decision import Contribution
from scorer.domain.instant import day_to_text
from scorer.engines.cache import keep
from scorer.evaluation.criteria import CAP, Reason
from scorer.evaluation.signal_points import BEHAVIOUR

if TYPE_CHECKING:
    from scorer.rules.ruleset import Ruleset


class ReasonPhrase(NamedTuple):
    """A contribution of a criterion's rule or limit, in JSON up to its evidence.

    Contributions are in the order of `place`. `text` ends before the evidence. Where that is one field, it is `field`
    (else empty), `opening` ends before its value, and `known` holds the whole by the value, where that is a text.
    """

    place: int
    text: str
    field: str
    opening: str
    known: dict[str, str]


class Phrases:
    """The phrases of a ruleset, made when they are first needed and remembered, bounded."""

    def __init__(self, ruleset: Ruleset) -> None:
        names = [(BEHAVIOUR, signal) for signal in ruleset.signals]
        for criterion in ruleset.criteria:
            names += [(criterion.name, rule) for rule in (*(each.id for each in criterion.rules), CAP)]
        self._places = {name: place for place, name in enumerate(sorted(names))}
        self._said = {name: signal.reason for name, signal in ruleset.signals.items()}
        self.reasons: dict[Reason, ReasonPhrase] = {}
        self.signals: dict[tuple[str, int, int], tuple[int, str]] = {}
        """By signal, points and number of events: the place, and the text up to the first day."""
        self.limits = {name: (signal.daily_cap, len(signal.weights)) for name, signal in ruleset.signals.items()}
        """By signal: its daily cap and its window in days."""
        self.days: dict[int, str] = {}
        """ISO dates by UTC day number."""

    def add_reason(self, reason: Reason) -> ReasonPhrase:
        """The phrase of a rule or limit, from now on in `reasons`."""
        criterion, rule, points, text, fields = reason
        place, opening = self._opening(criterion, rule, points, text)
        if len(fields) == 1:
            phrase = ReasonPhrase(place, opening, fields[0], f"{opening}{{{_json(fields[0])}:", {})
        else:
            phrase = ReasonPhrase(place, opening, "", opening, {})
        return keep(self.reasons, reason, phrase)

    def add_value(self, phrase: ReasonPhrase, value: str) -> str:
        """The whole contribution with that value as its evidence, from now on in `phrase.known`."""
        return keep(phrase.known, value, f"{phrase.opening}{_json(value)}}}}}")

    def add_signal(self, signal: str, points: int, count: int) -> tuple[int, str]:
        """The phrase of a signal that gives these points for so many events, from now on in `signals`."""
        place, opening = self._opening(BEHAVIOUR, signal, points, self._said[signal])
        return keep(self.signals, (signal, points, count), (place, f'{opening}{{"count":{count},"first_day":"'))

    def add_day(self, day: int) -> str:
        """The ISO date of a day, from now on in `days`."""
        return keep(self.days, day, day_to_text(day))

    def _opening(self, criterion: str, rule: str, points: int, text: str) -> tuple[int, str]:
        # The strongest first; those equally strong by their names.
        place = self._places[criterion, rule] - abs(points) * len(self._places)
        return place, _json(Contribution(criterion, rule, points, text, {})).removesuffix("{}}")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
