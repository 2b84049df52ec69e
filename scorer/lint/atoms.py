"""The values of a field, divided into the classes that a set of comparisons can tell apart.

An *atom* is a class of values for which every comparison gives the same answer, plus one value as an example. All
comparisons of a field share its atoms, so `{gte: 50}` and `{lt: 10}`, or `{eq: berlin}` and `{starts_with: b}`, are
never treated as independent. The atoms cover every value of the field: what holds for no atom never holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, nextafter
from typing import Final, cast

from scorer.lint.text import lists, texts
from scorer.rules.condition import FieldType, Op, Test, predicate

UNSEEN: Final = object()
"""The value of an atom without a known example; there may be none."""


@dataclass(frozen=True, slots=True)
class Domain:
    """What is known about a field. `choices` are closed (there are no other values) or only declared. `low` and `high`
    are inclusive limits. Each number in `cuts` gets its own atom. `apart` gives each choice its own atom, even if
    no comparison names it.
    """

    type: FieldType
    choices: tuple[str, ...] = ()
    closed: bool = True
    low: int | float = -inf
    high: int | float = inf
    always_known: bool = False
    cuts: tuple[int, ...] = ()
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Atom:
    """`holds` is the mask of the comparisons that hold. `inner`: the value is named in the rules or lies between two
    named values. `low` and `high` are the inclusive ends of a class of whole numbers, or bounds of a class of numbers.
    """

    holds: int
    value: object
    inner: bool = False
    low: float = -inf
    high: float = inf


_Class = tuple[object, bool, int | float, int | float]
"""value, inner, low and high of an atom"""


def atoms(tests: Sequence[Test], domain: Domain) -> tuple[Atom, ...] | None:
    """The atoms of one field; `tests` are its comparisons. None if there are too many to list."""
    of_type: dict[FieldType, list[Test]] = {domain.type: []}
    for test in tests:
        of_type.setdefault(test.type, []).append(test)
    classes = list(_values(of_type, domain))
    predicates = [predicate(test) for test in tests]

    def holding(value: object) -> int:
        return sum(1 << i for i, holds in enumerate(predicates) if holds({tests[i].field: value}))

    # Keep some classes that no comparison tells apart, because other fields depend on them.
    distinct: dict[tuple[object, ...], Atom] = {}
    for value, inner, low, high in classes:
        mask = holding(value)
        key = (mask, value, low, high) if domain.cuts or domain.apart else (mask,)
        if key not in distinct or (inner and not distinct[key].inner):
            distinct[key] = Atom(mask, value, inner, low, high)
    strings = of_type.get(FieldType.STRING)
    if strings and not (domain.choices and domain.closed):
        text_classes = texts(strings)
        if text_classes is None:
            return None
        number = {test: i for i, test in enumerate(tests)}
        for assumed, example in text_classes:
            mask = sum(1 << number[test] for test in assumed)
            value = UNSEEN if example is None else example
            if (mask,) not in distinct or distinct[mask,].value is UNSEEN:
                distinct[mask,] = Atom(mask, value)
    if FieldType.STRINGS in of_type:
        member_lists = lists(of_type[FieldType.STRINGS])
        if member_lists is None:
            return None
        for members in member_lists:
            distinct.setdefault((holding(members),), Atom(holding(members), members))
    return tuple(distinct.values())


def _values(of_type: dict[FieldType, list[Test]], domain: Domain) -> Iterator[_Class]:
    """Every class except those of texts that no constant names."""
    if not domain.always_known:
        yield None, False, inf, -inf
    for kind, tests in of_type.items():
        constants = tuple(_constants(tests))
        match kind:
            case FieldType.BOOLEAN:
                yield False, True, inf, -inf
                yield True, True, inf, -inf
            case FieldType.INTEGER:
                yield from _integers({int(cast(int, constant)) for constant in constants} | set(domain.cuts), domain)
            case FieldType.NUMBER:
                yield from _numbers(sorted({*cast("tuple[float, ...]", constants), *domain.cuts}), domain)
            case FieldType.STRING:
                known = domain.choices if domain.choices and domain.closed else (*domain.choices, *constants)
                for text in dict.fromkeys(known):
                    # A rule may compare with an empty text, but payloads do not hold one, so it is a poor example.
                    yield text, text != "", inf, -inf


def _constants(tests: Iterable[Test]) -> Iterator[object]:
    for test in tests:
        if test.op in (Op.EXISTS, Op.STARTS_WITH, Op.ENDS_WITH, Op.CONTAINS, Op.MATCHES):
            continue
        yield from test.operand if isinstance(test.operand, tuple) else (test.operand,)


def _integers(cuts: set[int], domain: Domain) -> Iterator[_Class]:
    ordered = sorted(cuts)
    before: int | float = -inf
    for cut in [*ordered, inf]:
        low, high = max(before + 1, domain.low), min(cut - 1, domain.high)
        if low <= high:
            example = low if low > -inf else high if high < inf else 0
            # Below all constants, the example is the value next to the lowest.
            yield int(high if before == -inf and high < inf else example), -inf < before and cut < inf, low, high
        if cut < inf and domain.low <= cut <= domain.high:
            yield cut, True, cut, cut
        before = cut


def _numbers(constants: Sequence[int | float], domain: Domain) -> Iterator[_Class]:
    before: int | float = -inf
    for constant in [*constants, inf]:
        example = _between(before, constant, domain)
        if example is not None:
            yield example, -inf < before and constant < inf, before, constant
        if constant < inf and domain.low <= constant <= domain.high:
            yield constant, True, constant, constant
        before = constant


def _between(low: int | float, high: int | float, domain: Domain) -> int | float | None:
    """A number in the domain, above `low` and below `high`, preferably a simple one; None if there is none.

    Only ints and finite floats count, so nothing lies between two neighbouring floats.
    """
    candidates: list[int | float] = []
    if low > -inf:
        candidates.append(floor(low) + 1)
    if high < inf:
        candidates.append(ceil(high) - 1)
    if low == -inf and high == inf:
        candidates.append(0)
    candidates += [limit for limit in (domain.low, domain.high) if -inf < limit < inf]
    try:
        if low > -inf and high < inf:
            candidates.append((low + high) / 2)
        candidates.append(nextafter(low, inf) if low > -inf else nextafter(high, -inf))
    except OverflowError:
        pass  # beyond the range of floats only whole numbers exist, and those were tried
    fitting = (number for number in candidates if low < number < high and domain.low <= number <= domain.high)
    return next((number for number in fitting if -inf < number < inf), None)
