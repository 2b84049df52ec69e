"""Can all of these formulas hold together? Propagation and backtracking, exact, within a budget of steps.

The budget counts steps and not seconds, so that the same rules always give the same findings.
"""

from __future__ import annotations

from collections.abc import Iterable

from scorer.lint.formula import Among, Domains, Every, Formula, Some, status


class OutOfBudgetError(Exception):
    """The question was not answered within its steps."""


class Budget:
    """Steps for one question each, and for all questions together."""

    def __init__(self, question: int = 60_000, total: int = 1_500_000) -> None:
        self._question = question
        self._total = total
        self._left = 0

    def begin(self) -> None:
        """A new question."""
        self._left = min(self._question, self._total)

    def spend(self, steps: int = 1) -> None:
        """Raises `OutOfBudgetError` when the steps are used up."""
        self._left -= steps
        self._total -= steps
        if self._left < 0:
            raise OutOfBudgetError


def solve(formulas: Iterable[Formula], domains: Domains, budget: Budget) -> list[int] | None:
    """Domains from which every choice satisfies all the formulas; None if nothing does.

    Raises `OutOfBudgetError`.
    """
    budget.begin()
    if not all(domains):
        return None
    open_branches: list[tuple[list[Formula], list[int]]] = [(list(formulas), list(domains))]
    while open_branches:
        parts, narrowed = open_branches.pop()
        rest = _propagate(parts, narrowed, budget)
        if rest is None:
            continue
        if not rest:
            return narrowed
        chosen = min(rest, key=lambda each: len(each.parts))
        others: list[Formula] = [each for each in rest if each is not chosen]
        branches = []
        without = list(narrowed)
        for alternative in chosen.parts:
            branches.append(([alternative, *others], list(without)))
            if isinstance(alternative, Among):
                # The next branches are about what this one leaves out.
                without[alternative.variable] &= ~alternative.mask
                if not without[alternative.variable]:
                    break
        open_branches += reversed(branches)
    return None


def _propagate(formulas: list[Formula], domains: list[int], budget: Budget) -> list[Some] | None:
    """Narrow the domains in place by what must hold. What is left open; None where it cannot hold."""
    waiting: list[Formula] = formulas
    while True:
        narrowed = False
        rest: list[Some] = []
        queue = waiting
        while queue:
            later: list[Formula] = []
            for part in queue:
                budget.spend()
                if isinstance(part, bool):
                    if not part:
                        return None
                elif isinstance(part, Among):
                    kept = domains[part.variable] & part.mask
                    if not kept:
                        return None
                    narrowed = narrowed or kept != domains[part.variable]
                    domains[part.variable] = kept
                elif isinstance(part, Every):
                    later += part.parts
                else:
                    left = _alternatives(part, domains, budget)
                    if left is None:
                        continue
                    if not left:
                        return None
                    if len(left) == 1:
                        later.append(left[0])
                    else:
                        rest.append(Some(left))
            queue = later
        if not narrowed:
            return rest
        waiting = list(rest)


def _alternatives(formula: Some, domains: Domains, budget: Budget) -> tuple[Formula, ...] | None:
    """The alternatives that can still hold; None if one holds whatever is chosen."""
    left = []
    for part in formula.parts:
        budget.spend(_size(part))
        found = status(part, domains)
        if found:
            return None
        if found is None:
            left.append(part)
    return tuple(left)


def _size(formula: Formula) -> int:
    return 1 + len(formula.parts) if isinstance(formula, (Every, Some)) else 1
