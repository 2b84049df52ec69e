"""Translates the conditions of a table into formulas over atoms, and atoms back into facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from types import MappingProxyType

from scorer.domain.score import Grades, Ratings
from scorer.lint.atoms import UNSEEN, Atom, Domain, atoms
from scorer.lint.formula import Among, Formula, every, some
from scorer.rules.catalogue import LAST_ACTIVITY
from scorer.rules.condition import All, AnyOf, Condition, Not, Test, tests

TOTAL, FIT, ENGAGEMENT = "score.total", "score.fit", "score.engagement"
SCORES = (TOTAL, FIT, ENGAGEMENT)
_ALIASES = {"criteria.behaviour": ENGAGEMENT}
_COUPLED = frozenset({*SCORES, "rating", "grade.fit", "grade.engagement"})


@dataclass(frozen=True, slots=True)
class Variable:
    """A field, or one comparison of a field that has too many atoms."""

    field: str
    tests: tuple[Test, ...]
    atoms: tuple[Atom, ...]

    @property
    def universe(self) -> int:
        """The mask of all atoms."""
        return (1 << len(self.atoms)) - 1

    def among(self, wanted: Callable[[Atom], bool]) -> int:
        """The mask of the atoms for which `wanted` is true."""
        return sum(1 << i for i, atom in enumerate(self.atoms) if wanted(atom))


@dataclass(frozen=True, slots=True)
class Scoring:
    """What couples the facts that are computed from the score: its limits, the ratings and the grades."""

    ratings: Ratings
    grades: Grades
    total: tuple[int, int]
    """Lowest and highest total score, inclusive."""


class Space:
    """All leads that a table can tell apart, or a superset of them.

    `constraints` hold for every lead and must be part of every question.
    """

    def __init__(
        self,
        conditions: Iterable[Condition | None],
        domain: Callable[[str], Domain],
        scoring: Scoring | None = None,
        silent_after: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """`silent_after`: fields that count points of signals, each with the days after a lead's latest activity from
        which it is 0."""
        asked: dict[str, dict[Test, None]] = {}
        for condition in conditions:
            for test in tests(condition) if condition else ():
                asked.setdefault(_ALIASES.get(test.field, test.field), {})[test] = None
        if scoring is not None and len(_COUPLED.intersection(asked)) + (LAST_ACTIVITY in asked) > 1:
            for name in SCORES:
                asked.setdefault(name, {})
        self.variables: list[Variable] = []
        self._of: dict[Test, tuple[int, int]] = {}
        self._split: set[str] = set()
        for name, wanted in asked.items():
            self._add(name, tuple(wanted), domain(name))
        self.constraints: list[Formula] = []
        if scoring is not None:
            self.constraints = [*self._couple(scoring), *self._silence(silent_after)]

    @property
    def anything(self) -> list[int]:
        """Domains that allow every atom."""
        return [variable.universe for variable in self.variables]

    @property
    def seen(self) -> list[int]:
        """Domains that allow the atoms with an example."""
        return [v.among(lambda atom: atom.value is not UNSEEN) for v in self.variables]

    @property
    def inner(self) -> list[int]:
        """Domains that allow values named in the rules, and values between them."""
        return [v.among(lambda atom: atom.inner and atom.value is not UNSEEN) for v in self.variables]

    def formula(self, condition: Condition | None, wanted: bool = True) -> Formula:
        """The formula that holds where the condition has the wanted answer. None is a condition that always holds."""
        match condition:
            case None:
                return wanted
            case Test():
                index, place = self._of[condition]
                variable = self.variables[index]
                mask = variable.among(lambda atom: bool(atom.holds >> place & 1) is wanted)
                return Among(index, mask) if mask and mask != variable.universe else bool(mask)
            case Not(part):
                return self.formula(part, not wanted)
            case All(parts) | AnyOf(parts):
                join = every if isinstance(condition, All) is wanted else some
                return join(self.formula(part, wanted) for part in parts)

    def facts(self, domains: Sequence[int]) -> Mapping[str, object] | None:
        """Facts within the domains, without unknown values; None if there is no known example."""
        facts: dict[str, object] = {}
        for variable, mask in zip(self.variables, domains, strict=True):
            if variable.field in self._split:
                return None
            kept = [atom for i, atom in enumerate(variable.atoms) if mask >> i & 1 and atom.value is not UNSEEN]
            if not kept:
                return None
            # A value named in the rules tells a reader more than an absent one.
            value = next((atom for atom in kept if atom.inner), kept[0]).value
            if value is not None:
                facts.update({test.field: value for test in variable.tests} or {variable.field: value})
        return facts

    def _add(self, name: str, wanted: tuple[Test, ...], domain: Domain) -> None:
        field_atoms = atoms(wanted, domain)
        groups = [(wanted, field_atoms)]
        if field_atoms is None:
            # Treating comparisons as independent allows too much, so whatever is impossible here really is.
            self._split.add(name)
            groups = [((test,), (Atom(0, UNSEEN), Atom(1, UNSEEN))) for test in wanted]
        for group, group_atoms in groups:
            self._of.update({test: (len(self.variables), place) for place, test in enumerate(group)})
            self.variables.append(Variable(name, group, group_atoms or ()))

    def _couple(self, scoring: Scoring) -> Iterable[Formula]:
        place = {variable.field: i for i, variable in enumerate(self.variables)}
        if not set(SCORES) <= place.keys():
            return
        total, fit, engagement = (place[name] for name in SCORES)
        yield self._sum(total, fit, engagement)
        if "rating" in place:
            yield self._agree(place["rating"], total, lambda rating, score: _can_be(str(rating), score, scoring))
        bounds = scoring.grades.fit, scoring.grades.engagement
        for name, score, names, limits in (
            ("grade.fit", fit, ("A", "B", "C", "D"), bounds[0]),
            ("grade.engagement", engagement, (1, 2, 3, 4), bounds[1]),
        ):
            if name in place:
                yield self._agree(place[name], score, _graded(names, limits))

    def _silence(self, silent_after: Mapping[str, float]) -> Iterable[Formula]:
        place = {variable.field: i for i, variable in enumerate(self.variables)}
        idle = place.get(LAST_ACTIVITY)
        if idle is None:
            return
        variable = self.variables[idle]
        for name, days in silent_after.items():
            index = place.get(name)
            late = variable.among(partial(_is_from, days))
            if index is not None and late:
                zero = self.variables[index].among(lambda atom: atom.low <= 0 <= atom.high)
                yield some((Among(idle, variable.universe & ~late), Among(index, zero)))

    def _sum(self, total: int, fit: int, engagement: int) -> Formula:
        totals = self.variables[total]

        def sums(one: Atom, other: Atom) -> int:
            low, high = one.low + other.low, one.high + other.high
            return totals.among(lambda atom: atom.low <= high and low <= atom.high)

        return some(
            every((Among(fit, 1 << i), Among(engagement, 1 << j), Among(total, sums(a, b))))
            for i, a in enumerate(self.variables[fit].atoms)
            for j, b in enumerate(self.variables[engagement].atoms)
        )

    def _agree(self, derived: int, score: int, agree: Callable[[object, Atom], bool]) -> Formula:
        scores = self.variables[score]

        def fitting(atom: Atom) -> int:
            return scores.among(lambda score_atom: agree(atom.value, score_atom))

        return some(
            every((Among(derived, 1 << i), Among(score, fitting(atom))))
            for i, atom in enumerate(self.variables[derived].atoms)
        )


def _is_from(days: float, atom: Atom) -> bool:
    return atom.value is not None and days <= atom.low < inf


def _can_be(rating: str, score: Atom, scoring: Scoring) -> bool:
    """Whether a lead with a score of this class can have the rating. Hysteresis applies only to reachable ratings."""
    ratings, highest = scoring.ratings, scoring.total[1]
    hot_from = ratings.hot - (ratings.hysteresis if highest >= ratings.hot else 0)
    warm_from = ratings.warm - (ratings.hysteresis if highest >= ratings.warm else 0)
    match rating:
        case "hot":
            return score.high >= hot_from
        case "warm":
            return score.high >= warm_from and score.low < ratings.hot
        case _:
            return score.low < ratings.warm


def _graded(names: Sequence[object], limits: Sequence[int]) -> Callable[[object, Atom], bool]:
    lows = [*limits, float("-inf")]
    highs = [float("inf"), *(limit - 1 for limit in limits)]

    def agree(name: object, score: Atom) -> bool:
        # As a number, grade.engagement has its own limits, so one class of it may hold several grades.
        return any(
            name == grade and score.low <= high and low <= score.high
            for grade, low, high in zip(names, lows, highs, strict=True)
        )

    return agree
