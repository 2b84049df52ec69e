"""What can be said of a table for every lead there could be: rules that never apply, gaps, doubles, extremes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from scorer.lint.atoms import UNSEEN
from scorer.lint.formula import Among, Formula, some, status, variables
from scorer.lint.solver import Budget, OutOfBudgetError, solve
from scorer.lint.space import Space
from scorer.rules.condition import All, Condition, Predicate, predicate

SAMPLES = 2_000
_GAPS = 64
_SEED = 20_260_101


class Fate(StrEnum):
    """What becomes of a rule."""

    ALIVE = "alive"
    """Some lead meets it."""
    POSSIBLE = "possible"
    """Nothing speaks against it, but no lead is known that meets it."""
    DEAD = "dead"
    """Its condition can never hold."""
    SHADOWED = "shadowed"
    """Whenever its condition holds, a rule before it applies."""
    UNDECIDED = "undecided"
    """Too large to decide, and no sample met it."""


@dataclass(frozen=True, slots=True)
class Reachability:
    """The fate of a rule. `because`: of a dead rule the parts of its condition that exclude each other, of a shadowed
    one the places of the rules before it, none of which could be left out. `facts`: an example that meets it."""

    fate: Fate
    because: tuple[Condition, ...] = ()
    by: tuple[int, ...] = ()
    facts: Mapping[str, object] | None = None


class TableAnalysis:
    """Questions about one table. `conditions` in table order; `first`: only the first that holds applies."""

    def __init__(
        self, conditions: Sequence[Condition | None], space: Space, budget: Budget, *, first: bool = True
    ) -> None:
        self._conditions = conditions
        self._space = space
        self._budget = budget
        self._first = first
        self._holds = [space.formula(condition) for condition in conditions]
        self._fails = [space.formula(condition, False) for condition in conditions]

    def verdicts(self) -> list[Reachability]:
        """The fate of each rule."""
        found = [self._verdict(i) for i in range(len(self._conditions))]
        undecided = [i for i, verdict in enumerate(found) if verdict.fate is Fate.UNDECIDED]
        for i, facts in self._sampled(undecided):
            found[i] = Reachability(Fate.ALIVE, facts=facts)
        return found

    def gap(self) -> Mapping[str, object] | None:
        """Values that the rules are about and for which none of them holds; None if there are none, or too many to
        look through. A number counts if rules hold below and above it: beyond the last bound nothing is expected."""
        holds = [predicate(condition) for condition in self._conditions if condition is not None]
        if len(holds) < len(self._conditions):
            return None
        questions = list(self._fails)
        try:
            for _ in range(_GAPS):
                found = self._solve(questions, self._space.inner)
                if found is None:
                    return None
                atoms = [mask & -mask for mask in found]
                facts = self._space.facts(atoms)
                if facts is None:
                    return None
                if not any(each(facts) for each in holds) and self._enclosed(facts, holds):
                    return facts
                questions.append(
                    some(Among(i, ~atom & self._space.variables[i].universe) for i, atom in enumerate(atoms))
                )
        except OutOfBudgetError:
            pass
        return None

    def uncovered(self) -> bool:
        """Perhaps no rule holds for some lead; False: certainly one holds for every lead."""
        try:
            return self._solve(self._fails, self._space.anything) is not None
        except OutOfBudgetError:
            return True

    def same(self, one: int, other: int) -> bool:
        """The two rules certainly hold for the same leads."""
        if variables(self._holds[one]) != variables(self._holds[other]):
            return False
        try:
            return all(
                self._solve((self._holds[a], self._fails[b]), self._space.anything) is None
                for a, b in ((one, other), (other, one))
            )
        except OutOfBudgetError:
            return False

    def removable(self, index: int, alike: Sequence[int]) -> bool:
        """Without the rule every lead that it applies to would certainly get one of the rules `alike` instead."""
        others = [j for j in range(index + 1, len(self._conditions)) if j not in alike]
        fires = [*self._fails[:index], self._holds[index]]
        try:
            if self._solve([*fires, *self._fails[index + 1 :]], self._space.anything) is not None:
                return False
            return all(
                self._solve([*fires, *self._fails[index + 1 : j], self._holds[j]], self._space.anything) is None
                for j in others
            )
        except OutOfBudgetError:
            return False

    def extremes(self, points: Sequence[int]) -> tuple[int, int]:
        """Lower and upper bound of the sum of the points of all rules that hold together: the true extremes, unless
        the table is too large to decide."""
        low = high = 0
        for group in self._independent():
            high += self._most(group, points)
            low -= self._most(group, [-each for each in points])
        return low, high

    def _enclosed(self, facts: Mapping[str, object], holds: Sequence[Predicate]) -> bool:
        for variable in self._space.variables:
            value = facts.get(variable.field)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            others = [a.value for a in variable.atoms if isinstance(a.value, (int, float)) and a.value is not UNSEEN]
            covered = [x for x in others if any(each({**facts, variable.field: x}) for each in holds)]
            if not covered or not min(covered) < value < max(covered):
                return False
        return True

    def _verdict(self, index: int) -> Reachability:
        own = self._holds[index]
        before = self._fails[:index] if self._first else []
        try:
            seen = self._solve([own, *before], self._space.seen)
            if seen is not None:
                return Reachability(Fate.ALIVE, facts=self._space.facts(seen))
            if self._solve([own, *before], self._space.anything) is not None:
                return Reachability(Fate.POSSIBLE)
        except OutOfBudgetError:
            return Reachability(Fate.UNDECIDED)
        try:
            if self._solve([own], self._space.anything) is None:
                return Reachability(Fate.DEAD, because=self._conflict(index))
            return Reachability(Fate.SHADOWED, by=self._needed(index))
        except OutOfBudgetError:
            # That it never applies is known; only why is not.
            return Reachability(Fate.SHADOWED, by=tuple(range(index)))

    def _conflict(self, index: int) -> tuple[Condition, ...]:
        """Parts of the condition that cannot hold together, while any fewer of them can."""
        condition = self._conditions[index]
        parts = [] if condition is None else list(_conjuncts(condition))
        try:
            for part in list(parts):
                fewer = [each for each in parts if each is not part]
                if self._solve([self._space.formula(each) for each in fewer], self._space.anything) is None:
                    parts = fewer
        except OutOfBudgetError:
            pass
        return tuple(parts)

    def _needed(self, index: int) -> tuple[int, ...]:
        """Places of rules before this one that together leave nothing to it, while any fewer of them do."""
        by = list(range(index))
        try:
            # The latest first: a person looks for the reason at the top of the table.
            for each in reversed(range(index)):
                fewer = [self._fails[j] for j in by if j != each]
                if self._solve([self._holds[index], *fewer], self._space.anything) is None:
                    by.remove(each)
        except OutOfBudgetError:
            pass
        return tuple(by)

    def _sampled(self, wanted: Sequence[int]) -> Iterable[tuple[int, Mapping[str, object] | None]]:
        if not wanted:
            return
        random = Random(_SEED)
        seen = [
            [1 << i for i, atom in enumerate(variable.atoms) if atom.value is not UNSEEN]
            for variable in self._space.variables
        ]
        left = set(wanted)
        if not all(seen):
            return
        for _ in range(min(SAMPLES, 200_000 // (1 + len(self._holds)))):
            domains = [random.choice(each) for each in seen]
            if not all(status(each, domains) for each in self._space.constraints):
                continue
            for i, formula in enumerate(self._holds):
                if status(formula, domains):
                    if i in left:
                        left.remove(i)
                        yield i, self._space.facts(domains)
                    if self._first:
                        break

    def _independent(self) -> list[list[int]]:
        """The rules in groups that share no field."""
        groups: list[tuple[frozenset[int], list[int]]] = []
        for i, formula in enumerate(self._holds):
            mine, members = variables(formula), [i]
            apart = []
            for theirs, others in groups:
                if mine & theirs:
                    mine, members = mine | theirs, [*others, *members]
                else:
                    apart.append((theirs, others))
            groups = [*apart, (mine, members)]
        return [members for _, members in groups]

    def _most(self, group: Sequence[int], points: Sequence[int]) -> int:
        """The highest sum of points that rules of the group can give together."""
        always = sum(points[i] for i in group if self._holds[i] is True)
        group = [i for i in group if self._holds[i] not in (True, False)]
        giving = sorted((i for i in group if points[i] > 0), key=lambda i: -points[i])
        taking = [i for i in group if points[i] < 0]
        # Rules that take points may hold or not: each is decided too.
        order = [*giving, *taking]
        rest = [sum(points[i] for i in order[place:] if points[i] > 0) for place in range(len(order) + 1)]
        best: int | None = None
        stack: list[tuple[int, int, list[Formula], list[int]]] = [(0, 0, [], self._space.anything)]
        tries = 0
        while stack:
            place, reached, parts, domains = stack.pop()
            if best is not None and reached + rest[place] <= best:
                continue
            tries += 1
            try:
                if tries > 2_000:
                    raise OutOfBudgetError
                if self._solve(parts, domains) is None:
                    continue
            except OutOfBudgetError:
                return always + rest[0]
            if place == len(order):
                best = reached
                continue
            rule = order[place]
            branches = [
                (place + 1, reached + points[rule], [*parts, self._holds[rule]], domains),
                (place + 1, reached, [*parts, self._fails[rule]], domains),
            ]
            # The better one last: it is looked at first.
            stack += branches if points[rule] < 0 else reversed(branches)
        return always + (best or 0)

    def _solve(self, formulas: Iterable[Formula], domains: Sequence[int]) -> list[int] | None:
        return solve([*formulas, *self._space.constraints], domains, self._budget)


def _conjuncts(condition: Condition) -> Iterable[Condition]:
    if isinstance(condition, All):
        for part in condition.parts:
            yield from _conjuncts(part)
    else:
        yield condition
