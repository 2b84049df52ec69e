"""Columns: how the value of a field becomes a small integer, its code.

A column divides the values of a field into *cells*. No comparison of the table can tell apart two values of a cell: a
number is below, equal to, between or above the table's constants; a string is one of the constants or none of them; a
predicate holds or does not.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Any, Protocol

from scorer.rules.condition import FieldType, Op, Test, predicate, reader

Encoder = Callable[[object], int]
"""From the value of a field (None if unknown) to the code of its cell."""


class ColumnKind(StrEnum):
    RANK = "rank"
    """The position of a number among the table's constants."""
    INDEX = "index"
    """The index of a string or boolean among the table's constants."""
    PREDICATE = "predicate"
    """1 if the comparison holds, else 0."""


@dataclass(frozen=True, slots=True)
class Column:
    """The meaning of one position in the code tuple. Its codes are 0 .. cardinality - 1.

    Columns of the same field depend on each other, so not every combination of their codes can occur.
    """

    field: str
    type: FieldType
    kind: ColumnKind
    cardinality: int


class Cells(Protocol):
    """The cells of a field for one table. `cells` does not contain cells that are always empty."""

    field: str
    type: FieldType
    kind: ColumnKind
    cells: frozenset[int]

    def where(self, test: Test) -> frozenset[int]:
        """The cells whose values pass the comparison."""

    def encoder(self, code: Mapping[int, int]) -> Encoder:
        """A function from values to codes, for this map from cells to codes."""


def cells_for(tests: Iterable[Test]) -> dict[Test, Cells]:
    """The cells of each comparison. Comparisons of the same field and type share them where possible."""
    ordered = list(dict.fromkeys(tests))
    constants: dict[tuple[str, FieldType], list[Any]] = {}
    for test in ordered:
        if test.op in _COMPARISONS:
            operands = test.operand if isinstance(test.operand, tuple) else (test.operand,)
            constants.setdefault((test.field, test.type), []).extend(operands)
    shared: dict[tuple[str, FieldType], Cells] = {
        (field, kind): _Rank(field, kind, values)
        if kind in (FieldType.INTEGER, FieldType.NUMBER)
        else _Index(field, kind, values)
        for (field, kind), values in constants.items()
    }
    return {
        test: shared[test.field, test.type]
        if (test.field, test.type) in shared and (test.op in _COMPARISONS or test.op is Op.EXISTS)
        else _Predicate(test)
        for test in ordered
    }


_COMPARISONS = frozenset({Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE, Op.BETWEEN, Op.IN, Op.NOT_IN})


class _Rank:
    """Cell 2i + 1 is constant i, cell 2i lies below it and above constant i - 1. The last cell means unknown."""

    kind = ColumnKind.RANK

    def __init__(self, field: str, type: FieldType, constants: Iterable[int | float]) -> None:  # noqa: A002
        self.field, self.type = field, type
        # As int, because a difference with a float would be rounded or overflow.
        exact = map(int, constants) if type is FieldType.INTEGER else constants
        self._constants = sorted(set(exact))
        self._unknown = 2 * len(self._constants) + 1
        cells = set(range(self._unknown + 1))
        if type is FieldType.INTEGER:
            pairs = zip(self._constants, self._constants[1:], strict=False)
            cells -= {2 * i + 2 for i, (low, high) in enumerate(pairs) if high - low <= 1}
        self.cells = frozenset(cells)

    def where(self, test: Test) -> frozenset[int]:
        known = self.cells - {self._unknown}
        operand: Any = test.operand
        if test.op is Op.EXISTS:
            return known if operand else self.cells - known
        if test.op in (Op.IN, Op.NOT_IN):
            members = {self._place(constant) for constant in operand}
            return known & members if test.op is Op.IN else known - members
        if test.op is Op.BETWEEN:
            low, high = self._place(operand[0]), self._place(operand[1])
            return frozenset(cell for cell in known if low <= cell <= high)
        holds = _ORDER[test.op]
        place = self._place(operand)
        return frozenset(cell for cell in known if holds(cell, place))

    def _place(self, constant: int | float) -> int:
        return 2 * bisect_left(self._constants, constant) + 1

    def encoder(self, code: Mapping[int, int]) -> Encoder:
        unknown = code[self._unknown]
        constants = self._constants
        equal = [code[2 * i + 1] for i in range(len(constants))]
        below = [code.get(2 * i) for i in range(len(constants) + 1)]  # None: the cell is always empty
        read, whole = reader(self.type), self.type is FieldType.INTEGER
        find: Callable[[Sequence[Any], Any], int]
        codes: Sequence[int]
        if all(after in (at, None) for at, after in zip(equal, below[1:], strict=True)):
            find, codes = bisect_right, [code[0], *equal]
        elif all(before in (at, None) for at, before in zip(equal, below, strict=False)):
            find, codes = bisect_left, [*equal, code[2 * len(constants)]]
        else:
            find, codes = _position, [code.get(cell, 0) for cell in range(self._unknown)]

        def encode(value: Any) -> int:
            # The common types are handled here, because one more call would cost as much as the rest.
            if type(value) is float:
                if not (value.is_integer() if whole else -inf < value < inf):
                    return unknown
            elif type(value) is not int:
                value = None if value is None else read(value)
                if value is None:
                    return unknown
            return codes[find(constants, value)]

        return encode


def _position(constants: Sequence[Any], value: Any) -> int:
    return bisect_left(constants, value) + bisect_right(constants, value)


_ORDER: Mapping[Op, Callable[[int, int], bool]] = {
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
}


class _Index:
    """Cell i is constant i, in order of first use. Then come a cell for all other values and one for unknown."""

    kind = ColumnKind.INDEX

    def __init__(self, field: str, type: FieldType, constants: Iterable[str | bool]) -> None:  # noqa: A002
        self.field, self.type = field, type
        distinct = (False, True) if type is FieldType.BOOLEAN else tuple(dict.fromkeys(constants))
        self._index: dict[str | bool, int] = {constant: i for i, constant in enumerate(distinct)}
        self._other = len(distinct)
        self._unknown = self._other + 1
        cells = frozenset(range(self._unknown + 1))
        self.cells = cells - {self._other} if type is FieldType.BOOLEAN else cells

    def where(self, test: Test) -> frozenset[int]:
        known = self.cells - {self._unknown}
        operand: Any = test.operand
        if test.op is Op.EXISTS:
            return known if operand else self.cells - known
        members = {self._index[constant] for constant in (operand if isinstance(operand, tuple) else (operand,))}
        return known & members if test.op in (Op.EQ, Op.IN) else known - members

    def encoder(self, code: Mapping[int, int]) -> Encoder:
        unknown = code[self._unknown]
        if self.type is FieldType.BOOLEAN:
            false, true = code[0], code[1]

            def encode_bool(value: object) -> int:
                return true if value is True else false if value is False else unknown

            return encode_bool

        other = code[self._other]
        lookup = {text: code[cell] for text, cell in self._index.items() if code[cell] != other}.get

        def encode(value: Any) -> int:
            return lookup(value, other) if isinstance(value, str) else unknown

        return encode


class _Predicate:
    kind = ColumnKind.PREDICATE
    cells = frozenset({0, 1})

    def __init__(self, test: Test) -> None:
        self.field, self.type = test.field, test.type
        self._holds = predicate(test)

    def where(self, test: Test) -> frozenset[int]:
        return frozenset({1})

    def encoder(self, code: Mapping[int, int]) -> Encoder:
        field, holds, yes, no = self.field, self._holds, code[1], code[0]
        return lambda value: yes if holds({field: value}) else no
