"""To which category of the base a lead belongs. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from scorer.domain.lead import Lead
from scorer.domain.lifecycle import STATUS
from scorer.engines.cache import BoundedCache
from scorer.evaluation.results import Evaluation
from scorer.rules.condition import Predicate, fields, predicate
from scorer.rules.ruleset import Category

RATING: Final = "rating"
_COMPUTED: Final = ("score.", "grade.", "criteria.", "groups.", "signals.")
"""How the names of the facts begin that scoring computes for routing. No fact of a lead begins so."""


class Categories:
    """The categories of a ruleset. `computed` gives the facts that scoring computes for routing. It remembers results:
    few fields decide, and many leads have equal values there."""

    def __init__(self, categories: Sequence[Category], computed: Callable[[Evaluation], Mapping[str, object]]) -> None:
        asked = dict.fromkeys(
            name for each in categories if each.condition is not None for name in fields(each.condition)
        )
        self._computed = computed if any(name.startswith(_COMPUTED) for name in asked) else None
        self._names = tuple(name for name in asked if name != RATING and not name.startswith(_COMPUTED))
        self._conditions: list[tuple[str, Predicate | None]] = [
            (category.id, None if category.condition is None else predicate(category.condition))
            for category in categories
        ]
        self._known = BoundedCache[tuple[object, ...], str]()

    def of(self, lead: Lead, evaluation: Evaluation) -> str | None:
        """The category of the lead, whose points the evaluation says; None if there are no categories."""
        rating = evaluation.standing.rating
        values = [lead.status if name == STATUS else lead.value(name) for name in self._names]
        if self._computed is not None:
            return self._category(values, rating, self._computed(evaluation))
        # With the types, because True and 1 are equal, but not for the rules.
        key = (rating, *values, *map(type, values))
        try:
            known = self._known.look_up(key)
        except TypeError:  # a list
            return self._category(values, rating, {})
        if known is None:
            known = self._category(values, rating, {})
            if known is not None:
                self._known.keep(key, known)
        return known

    def _category(self, values: Sequence[object], rating: object, computed: Mapping[str, object]) -> str | None:
        seen = {**computed, **dict(zip(self._names, values, strict=True)), RATING: str(rating)}
        for name, holds in self._conditions:
            if holds is None or holds(seen):
                return name
        return None
