"""How an ordinal table is split into rulesets that durable_rules evaluates reliably.

durable_rules fails with error 303 if a message meets more than 64 candidate conditions. `$or` creates joins in its
network, and a message then passes a condition once per path. So rules become plain conjunctions: the network is a tree,
a message passes each condition at most once, and a ruleset of 32 conditions cannot reach the limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby, product
from math import prod
from typing import Literal, TypeVar

from scorer.engines.expression import And, Expression, In, Or
from scorer.engines.table import OrdinalTable
from scorer.rules.ruleset import HitPolicy

_T = TypeVar("_T")

CONDITIONS = 32
"""The largest number of conditions in one ruleset."""


@dataclass(frozen=True, slots=True)
class Comparison:
    column: int
    op: Literal["eq", "ne", "gte", "lte"]
    code: int


Conjunction = tuple[Comparison, ...]


@dataclass(frozen=True)
class Shard:
    """Rules for one ruleset. Columns are renumbered from 0, so that equal logic from different tables is equal."""

    rules: tuple[tuple[Conjunction, ...], ...]
    """For each rule its conjunctions; one of them must hold."""
    resumable: bool
    """Whether a message can ask for the first match from a given rule on."""

    @cached_property
    def key(self) -> str:
        """A hash that is equal for equal logic."""
        return hashlib.sha256(repr((self.rules, self.resumable)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Placed:
    """A shard in its table."""

    shard: Shard
    columns: tuple[int, ...]
    """For each column of the shard, its position in the code tuple."""
    indexes: tuple[int, ...]
    """For each rule of the shard, its position in the table."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """Evaluate `auxiliary` in order and append a code 0 or 1 for each; then evaluate `shards` in order."""

    auxiliary: tuple[Placed, ...]
    shards: tuple[Placed, ...]
    always: tuple[int, ...]
    """Rules that hold for every lead. Under FIRST there is at most one, and it is the last rule."""


def plan(table: OrdinalTable) -> EnginePlan:
    """Split the table. Rules that never hold, and rules that FIRST never reaches, are omitted."""
    first = table.hit_policy is HitPolicy.FIRST
    # A resumable rule has one more condition: where to resume.
    extra = 0 if first else 1
    splitter = _Splitter([column.cardinality for column in table.columns], CONDITIONS - extra)
    always: list[int] = []
    shards: list[Placed] = []
    pending: list[tuple[int, Expression]] = []
    room = CONDITIONS
    for index, rule in enumerate(table.rules):
        if rule is True:
            always.append(index)
            if first:
                break
        elif rule is not False:
            fitted = splitter.fit(rule)
            needed = splitter.cost(fitted) + extra
            if needed > room:
                shards.append(splitter.place(pending, resumable=not first))
                pending, room = [], CONDITIONS
            pending.append((index, fitted))
            room -= needed
    if pending:
        shards.append(splitter.place(pending, resumable=not first))
    return EnginePlan(tuple(splitter.auxiliary), tuple(shards), tuple(always))


class _Splitter:
    def __init__(self, cardinalities: list[int], limit: int) -> None:
        self._cardinalities = cardinalities
        self._limit = limit
        self.auxiliary: list[Placed] = []

    def fit(self, expression: Expression) -> Expression:
        """The same rule with at most `limit` conditions. Parts that are too large become auxiliary codes."""
        if self.cost(expression) <= self._limit:
            return expression
        kind: type[And] | type[Or]
        parts: list[Expression]
        if isinstance(expression, In):
            codes = sorted(expression.codes)
            kind = Or
            parts = [In(expression.column, frozenset(chunk)) for chunk in _chunks(codes, self._limit // 2)]
        else:
            kind = type(expression)
            parts = [self.fit(part) for part in expression.parts]
        while self.cost(kind(tuple(parts))) > self._limit:
            largest = max(range(len(parts)), key=lambda i: self.cost(parts[i]))
            if self.cost(parts[largest]) > 1:
                parts[largest] = self._as_auxiliary(parts[largest])
            else:
                groups = _chunks(parts, self._limit)
                parts = [self._as_auxiliary(kind(tuple(group))) for group in groups]
        return kind(tuple(parts))

    def _as_auxiliary(self, expression: Expression) -> Expression:
        self.auxiliary.append(self.place([(0, expression)], resumable=False))
        self._cardinalities.append(2)
        return In(len(self._cardinalities) - 1, frozenset({1}))

    def cost(self, expression: Expression) -> int:
        """The total number of conditions in the rule's conjunctions."""
        return self._size(expression)[1]

    def _size(self, expression: Expression) -> tuple[int, int]:
        """The numbers of conjunctions and conditions. They are counted, not built, because there can be many."""
        if isinstance(expression, In):
            conjunctions = self._alternatives(expression)
            return len(conjunctions), sum(map(len, conjunctions))
        sizes = [self._size(part) for part in expression.parts]
        if isinstance(expression, Or):
            return sum(count for count, _ in sizes), sum(total for _, total in sizes)
        count = prod(count for count, _ in sizes)
        return count, sum(total * count // alternatives for alternatives, total in sizes)

    def place(self, rules: Sequence[tuple[int, Expression]], resumable: bool) -> Placed:
        expansions = [tuple(self._conjunctions(expression)) for _, expression in rules]
        columns = tuple(
            dict.fromkeys(test.column for rule in expansions for conjunction in rule for test in conjunction)
        )
        local = {column: i for i, column in enumerate(columns)}
        shard = Shard(
            tuple(
                tuple(
                    tuple(Comparison(local[test.column], test.op, test.code) for test in conjunction)
                    for conjunction in rule
                )
                for rule in expansions
            ),
            resumable,
        )
        return Placed(shard, columns, tuple(index for index, _ in rules))

    def _conjunctions(self, expression: Expression) -> Iterator[Conjunction]:
        if isinstance(expression, In):
            yield from self._alternatives(expression)
        elif isinstance(expression, Or):
            for part in expression.parts:
                yield from self._conjunctions(part)
        else:
            for choice in product(*(tuple(self._conjunctions(part)) for part in expression.parts)):
                yield tuple(dict.fromkeys(chain.from_iterable(choice)))

    def _alternatives(self, leaf: In) -> list[Conjunction]:
        """The codes as ranges. If only one code is missing, a single inequality."""
        column, last = leaf.column, self._cardinalities[leaf.column] - 1
        others = set(range(last + 1)) - leaf.codes
        if len(others) == 1:
            return [(Comparison(column, "ne", others.pop()),)]
        return [_within(column, low, high, last) for low, high in _ranges(leaf.codes)]


def _within(column: int, low: int, high: int, last: int) -> Conjunction:
    if low == high:
        return (Comparison(column, "eq", low),)
    from_low = (Comparison(column, "gte", low),) if low > 0 else ()
    to_high = (Comparison(column, "lte", high),) if high < last else ()
    return from_low + to_high


def _ranges(codes: frozenset[int]) -> Iterator[tuple[int, int]]:
    for _, run in groupby(enumerate(sorted(codes)), key=lambda pair: pair[1] - pair[0]):
        members = [code for _, code in run]
        yield members[0], members[-1]


def _chunks(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
