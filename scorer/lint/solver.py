"""Decides whether formulas can hold together: propagation and backtracking, exact, within a budget of steps.

The budget counts steps, not seconds, because the same rules must always give the same findings.
"""

from __future__ import annotations

from collections.abc import Iterable

from scorer.lint.formula import Among, Domains, Every, Formula, Some, status


class OutOfBudgetError(Exception):
    """The steps ran out before there was an answer."""


class Budget:
    """A limit of steps for each question and for all questions together."""

    def __init__(self, question: int = 60_000, total: int = 1_500_000) -> None:
        self._question = question
        self._total = total
        self._left = 0

    def begin(self) -> None:
        """Start a new question."""
        self._left = min(self._question, self._total)

    def spend(self, steps: int = 1) -> None:
        """Use up steps. Raises `OutOfBudgetError` if none are left."""
        self._left -= steps
        self._total -= steps
        if self._left < 0:
            raise OutOfBudgetError


def solve(formulas: Iterable[Formula], domains: Domains, budget: Budget) -> list[int] | None:
    """Domains in which every choice satisfies all formulas; None if no choice does.

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
        chosen = min(rest, key=lambda disjunction: len(disjunction.parts))
        others: list[Formula] = [disjunction for disjunction in rest if disjunction is not chosen]
        branches = []
        without = list(narrowed)
        for alternative in chosen.parts:
            branches.append(([alternative, *others], list(without)))
            if isinstance(alternative, Among):
                # The next branches cover only what this one leaves out.
                without[alternative.variable] &= ~alternative.mask
                if not without[alternative.variable]:
                    break
        open_branches += reversed(branches)
    return None


def _propagate(formulas: list[Formula], domains: list[int], budget: Budget) -> list[Some] | None:
    """Narrow the domains in place by what must hold. Returns what is still open; None if the formulas cannot hold."""
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
    """The alternatives that can still hold; None if one of them always holds."""
    left = []
    for part in formula.parts:
        budget.spend(_size(part))
        answer = status(part, domains)
        if answer:
            return None
        if answer is None:
            left.append(part)
    return tuple(left)


def _size(formula: Formula) -> int:
    return 1 + len(formula.parts) if isinstance(formula, (Every, Some)) else 1
