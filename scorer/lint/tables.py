"""Analyses a table over all possible leads: rules that never apply, gaps, duplicates, extreme sums."""

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
    """Whether a rule can apply."""

    ALIVE = "alive"
    """It applies to some lead."""
    POSSIBLE = "possible"
    """It is not ruled out, but no lead is known to which it applies."""
    DEAD = "dead"
    """Its condition can never hold."""
    SHADOWED = "shadowed"
    """Whenever its condition holds, an earlier rule applies."""
    UNDECIDED = "undecided"
    """The table is too large to decide, and the rule applied to no sample."""


@dataclass(frozen=True, slots=True)
class Reachability:
    """The fate of a rule. `because`: the parts of a dead rule's condition that exclude each other. `by`: indexes of the
    earlier rules that cover a shadowed rule, all of them needed. `facts`: an example to which the rule applies."""

    fate: Fate
    because: tuple[Condition, ...] = ()
    by: tuple[int, ...] = ()
    facts: Mapping[str, object] | None = None


class TableAnalysis:
    """Questions about one table. `conditions` are in table order. `first`: only the first that holds applies."""

    def __init__(
        self, conditions: Sequence[Condition | None], space: Space, budget: Budget, *, first: bool = True
    ) -> None:
        self._conditions = conditions
        self._space = space
        self._budget = budget
        self._first = first
        self._holds = [space.formula(condition) for condition in conditions]
        self._fails = [space.formula(condition, False) for condition in conditions]

    def reachability(self) -> list[Reachability]:
        """The reachability of each rule, in table order."""
        rules = [self._reachability(i) for i in range(len(self._conditions))]
        undecided = [i for i, rule in enumerate(rules) if rule.fate is Fate.UNDECIDED]
        for i, facts in self._sampled(undecided):
            rules[i] = Reachability(Fate.ALIVE, facts=facts)
        return rules

    def gap(self) -> Mapping[str, object] | None:
        """Values that the rules mention and for which no rule holds; None if there are none, or too many to search.
        A number counts only if rules hold below and above it: beyond the last bound no rule is expected."""
        holds = [predicate(condition) for condition in self._conditions if condition is not None]
        if len(holds) < len(self._conditions):
            return None
        questions = list(self._fails)
        try:
            for _ in range(_GAPS):
                domains = self._solve(questions, self._space.inner)
                if domains is None:
                    return None
                atoms = [mask & -mask for mask in domains]
                facts = self._space.facts(atoms)
                if facts is None:
                    return None
                if not any(rule_holds(facts) for rule_holds in holds) and self._enclosed(facts, holds):
                    return facts
                questions.append(
                    some(Among(i, ~atom & self._space.variables[i].universe) for i, atom in enumerate(atoms))
                )
        except OutOfBudgetError:
            pass
        return None

    def uncovered(self) -> bool:
        """Whether there may be a lead for which no rule holds. False is certain, True is not."""
        try:
            return self._solve(self._fails, self._space.anything) is not None
        except OutOfBudgetError:
            return True

    def same(self, one: int, other: int) -> bool:
        """Whether the two rules hold for the same leads. True is certain, False is not."""
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
        """Whether, without the rule, one of the rules `alike` would apply to each of its leads. True is certain."""
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
        """Lowest and highest sum of points of rules that hold together. Exact, or safe bounds if the table is too large
        to decide."""
        low = high = 0
        for group in self._independent():
            high += self._most(group, points)
            low -= self._most(group, [-rule_points for rule_points in points])
        return low, high

    def _enclosed(self, facts: Mapping[str, object], holds: Sequence[Predicate]) -> bool:
        for variable in self._space.variables:
            value = facts.get(variable.field)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            others = [a.value for a in variable.atoms if isinstance(a.value, (int, float)) and a.value is not UNSEEN]
            covered = [x for x in others if any(rule_holds({**facts, variable.field: x}) for rule_holds in holds)]
            if not covered or not min(covered) < value < max(covered):
                return False
        return True

    def _reachability(self, index: int) -> Reachability:
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
            # The rule never applies; only the reason was not found.
            return Reachability(Fate.SHADOWED, by=tuple(range(index)))

    def _conflict(self, index: int) -> tuple[Condition, ...]:
        """A minimal set of parts of the condition that cannot hold together."""
        condition = self._conditions[index]
        parts = [] if condition is None else list(_conjuncts(condition))
        try:
            for part in list(parts):
                fewer = [other for other in parts if other is not part]
                if self._solve([self._space.formula(other) for other in fewer], self._space.anything) is None:
                    parts = fewer
        except OutOfBudgetError:
            pass
        return tuple(parts)

    def _needed(self, index: int) -> tuple[int, ...]:
        """Indexes of a minimal set of earlier rules that together cover this one."""
        by = list(range(index))
        try:
            # Drop the latest first, because a reader looks for the reason at the top of the table.
            for earlier in reversed(range(index)):
                fewer = [self._fails[j] for j in by if j != earlier]
                if self._solve([self._holds[index], *fewer], self._space.anything) is None:
                    by.remove(earlier)
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
            domains = [random.choice(masks) for masks in seen]
            if not all(status(constraint, domains) for constraint in self._space.constraints):
                continue
            for i, formula in enumerate(self._holds):
                if status(formula, domains):
                    if i in left:
                        left.remove(i)
                        yield i, self._space.facts(domains)
                    if self._first:
                        break

    def _independent(self) -> list[list[int]]:
        """The rules in groups that have no field in common."""
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
        """The highest sum of points that the rules of the group can give together."""
        always = sum(points[i] for i in group if self._holds[i] is True)
        group = [i for i in group if self._holds[i] not in (True, False)]
        giving = sorted((i for i in group if points[i] > 0), key=lambda i: -points[i])
        taking = [i for i in group if points[i] < 0]
        # Rules that take points may have to hold, so the search decides them too.
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
            # The better branch goes last because the stack pops it first.
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
