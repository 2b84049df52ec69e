"""Rules as formulas over finite domains: each variable is one of a few atoms, and a set of atoms is a bit mask.

A formula has no NOT: negation is pushed down to the comparisons, and the complement of a mask is a mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Domains = Sequence[int]
"""For each variable, the mask of the atoms that are still possible."""


@dataclass(frozen=True, slots=True)
class Among:
    """The variable's atom is in the mask."""

    variable: int
    mask: int


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds."""

    parts: tuple[Formula, ...]


Formula = Among | Every | Some | bool


def every(parts: Iterable[Formula]) -> Formula:
    """Conjunction. Constants are folded, comparisons of the same variable joined."""
    masks: dict[int, int] = {}
    nested: list[Formula] = []
    for part in _opened(Every, parts):
        if part is True:
            continue
        if part is False:
            return False
        if isinstance(part, Among):
            masks[part.variable] = masks.get(part.variable, -1) & part.mask
        else:
            nested.append(part)
    if not all(masks.values()):
        return False
    joined = [*(Among(variable, mask) for variable, mask in masks.items()), *nested]
    if len(joined) < 2:
        return joined[0] if joined else True
    return Every(tuple(joined))


def some(parts: Iterable[Formula]) -> Formula:
    """Disjunction. Constants are folded, comparisons of the same variable joined."""
    masks: dict[int, int] = {}
    nested: list[Formula] = []
    for part in _opened(Some, parts):
        if part is True:
            return True
        if part is False:
            continue
        if isinstance(part, Among):
            masks[part.variable] = masks.get(part.variable, 0) | part.mask
        else:
            nested.append(part)
    joined = [*(Among(variable, mask) for variable, mask in masks.items()), *nested]
    if len(joined) < 2:
        return joined[0] if joined else False
    return Some(tuple(joined))


def status(formula: Formula, domains: Domains) -> bool | None:
    """True if the formula holds for every choice from the domains, False if for none, None if that is open."""
    if isinstance(formula, bool):
        return formula
    if isinstance(formula, Among):
        kept = domains[formula.variable] & formula.mask
        return False if not kept else True if kept == domains[formula.variable] else None
    decisive = isinstance(formula, Some)
    open_ = False
    for part in formula.parts:
        answer = status(part, domains)
        if answer is decisive:
            return decisive
        open_ = open_ or answer is None
    return None if open_ else not decisive


def variables(formula: Formula) -> frozenset[int]:
    """The variables that the formula mentions."""
    if isinstance(formula, bool):
        return frozenset()
    if isinstance(formula, Among):
        return frozenset({formula.variable})
    return frozenset().union(*(variables(part) for part in formula.parts))


def _opened(kind: type[Every] | type[Some], parts: Iterable[Formula]) -> Iterable[Formula]:
    for part in parts:
        if isinstance(part, kind):
            yield from part.parts
        else:
            yield part
