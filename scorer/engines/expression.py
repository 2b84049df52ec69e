"""Rules over codes: which columns must have which codes. The engines evaluate these rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class In:
    """The column's code is one of `codes`, which are at least one and never all codes of the column."""

    column: int
    codes: frozenset[int]


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold; there are at least two."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds; there are at least two."""

    parts: tuple[Expression, ...]


Expression = In | And | Or
Decision = Expression | bool
"""A rule over codes; True or False if the codes do not matter."""


def member(column: int, codes: frozenset[int], universe: frozenset[int]) -> Decision:
    """The rule that the column's code is one of `codes`. `universe` contains all codes of the column."""
    held = codes & universe
    return In(column, held) if held and held != universe else bool(held)


def conjunction(parts: Iterable[Decision], universes: dict[int, frozenset[int]]) -> Decision:
    """The AND of the parts, with constants folded, nested ANDs flattened and tests of one column merged."""
    return _join(And, parts, universes)


def disjunction(parts: Iterable[Decision], universes: dict[int, frozenset[int]]) -> Decision:
    """The OR of the parts, with constants folded, nested ORs flattened and tests of one column merged."""
    return _join(Or, parts, universes)


def _join(kind: type[And] | type[Or], parts: Iterable[Decision], universes: dict[int, frozenset[int]]) -> Decision:
    neutral = kind is And
    codes: dict[int, frozenset[int]] = {}
    nested: dict[Expression, None] = {}
    for part in _flattened(kind, parts):
        if isinstance(part, bool):
            if part is not neutral:
                return part
        elif isinstance(part, In):
            held = codes.get(part.column, part.codes)
            codes[part.column] = held & part.codes if neutral else held | part.codes
        else:
            nested[part] = None
    joined: list[Expression] = []
    for column in sorted(codes):
        test = member(column, codes[column], universes[column])
        if test is (not neutral):
            return test
        if not isinstance(test, bool):
            joined.append(test)
    joined.extend(nested)
    if len(joined) < 2:
        return joined[0] if joined else neutral
    return kind(tuple(joined))


def _flattened(kind: type[And] | type[Or], parts: Iterable[Decision]) -> Iterator[Decision]:
    for part in parts:
        if isinstance(part, kind):
            yield from part.parts
        else:
            yield part


def leaves(decision: Decision) -> Iterator[In]:
    """The tests of the rule, from left to right."""
    if isinstance(decision, In):
        yield decision
    elif isinstance(decision, (And, Or)):
        for part in decision.parts:
            yield from leaves(part)


def replaced(decision: Decision, leaf: Callable[[In], In]) -> Decision:
    """The same rule with each test replaced."""
    return decision if isinstance(decision, bool) else _replaced(decision, leaf)


def _replaced(expression: Expression, leaf: Callable[[In], In]) -> Expression:
    if isinstance(expression, In):
        return leaf(expression)
    return type(expression)(tuple(_replaced(part, leaf) for part in expression.parts))


def canonical(decision: Decision) -> str:
    """The rule as text; equal for rules that differ only in the order of their parts."""
    if isinstance(decision, bool):
        return str(decision).lower()
    if isinstance(decision, In):
        return f"c{decision.column}:{','.join(map(str, sorted(decision.codes)))}"
    mark = "&" if isinstance(decision, And) else "|"
    return f"({mark.join(sorted(canonical(part) for part in decision.parts))})"
