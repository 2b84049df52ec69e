"""To which category of the base a lead belongs. Pure."""

from collections.abc import Callable, Mapping, Sequence

from scorer.domain.facts import Facts
from scorer.domain.lead import Lead
from scorer.domain.lifecycle import STATUS
from scorer.evaluation.results import Evaluation
from scorer.rules.condition import Predicate, predicate
from scorer.rules.ruleset import Category


class Categories:
    """The categories of a ruleset. `computed` gives the facts that scoring computes for routing."""

    def __init__(self, categories: Sequence[Category], computed: Callable[[Evaluation], Mapping[str, object]]) -> None:
        self._computed = computed
        self._conditions: list[tuple[str, Predicate | None]] = [
            (category.id, None if category.condition is None else predicate(category.condition))
            for category in categories
        ]

    def of(self, lead: Lead, evaluation: Evaluation) -> str | None:
        """The category of the lead, whose points the evaluation says; None if there are no categories."""
        seen = _Seen(lead, evaluation, self._computed)
        for name, holds in self._conditions:
            if holds is None or holds(seen):
                return name
        return None


class _Seen(dict[str, object]):
    """The fields of a lead, of which only those are computed for which a condition asks."""

    def __init__(
        self, lead: Lead, evaluation: Evaluation, computed: Callable[[Evaluation], Mapping[str, object]]
    ) -> None:
        super().__init__()
        facts = lead.facts
        self._facts = facts.known if isinstance(facts, Facts) else facts
        self._evaluation, self._computed = evaluation, computed

    def get(self, field: str, default: object = None) -> object:
        fact = self._facts.get(field)
        if fact is not None:
            return fact.value
        if field == "rating":
            return self._evaluation.rating.value
        if field == STATUS:
            return "new"
        prefix = field.partition(".")[0]
        return self._computed(self._evaluation).get(field) if prefix in _COMPUTED else default


_COMPUTED = frozenset({"score", "grade", "criteria", "groups", "signals"})
"""How the names of the facts begin that scoring computes for routing. No fact of a lead begins so."""
