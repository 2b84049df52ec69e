"""When a kind applies, and the kind of an event.

Kinds are asked in the order of the file, and the first that applies is taken. Where many kinds ask for the value of
the same path, a look-up finds those that it leaves.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from scorer.sources.company.converter import Unfit
from scorer.sources.mapping.converters import text
from scorer.sources.mapping.expression import Getter, getter, is_true
from scorer.sources.mapping.language import Conditions

Event = Mapping[str, Any]
Condition = Callable[[Event], bool]
_MOST_LOOK_UPS: Final = 2
"""Below each other. With more, tables could grow beyond what the file has lines for."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[Result]):
    """What remains to be asked of a kind."""

    wanted: Mapping[str, frozenset[str]]
    others: Sequence[Condition]
    result: Result


@dataclass(frozen=True, slots=True)
class _Table(Generic[Result]):
    """What a value of an event leaves. `rest`: if it has another value, or none."""

    value: Callable[[Event], str | None]
    by_value: "Mapping[str | None, _Node[Result]]"
    rest: "_Node[Result]"


_Node = _Table[Result] | Sequence[tuple[Sequence[Condition], Result]]


class Choice(Generic[Result]):
    """The first result whose conditions hold."""

    def __init__(self, choices: Sequence[tuple[Conditions, Result]]) -> None:
        candidates = [
            _Candidate(
                {path: frozenset(filter(None, map(text, values))) for path, values in conditions.when.items()},
                _others(conditions),
                result,
            )
            for conditions, result in choices
        ]
        self._root = _node(candidates, _MOST_LOOK_UPS)

    def of(self, event: Event) -> Result | None:
        """The first result whose conditions hold for the event; None if there is none."""
        node = self._root
        while isinstance(node, _Table):
            node = node.by_value.get(node.value(event), node.rest)
        for conditions, result in node:
            for holds in conditions:
                if not holds(event):
                    break
            else:
                return result
        return None


def holds(conditions: Conditions) -> Condition | None:
    """Whether all conditions hold for an event; None if there are none."""
    tests = [*(_equals(path, frozenset(filter(None, map(text, values)))) for path, values in conditions.when.items())]
    tests += _others(conditions)
    return (lambda event: all(test(event) for test in tests)) if tests else None


def _node(candidates: Sequence[_Candidate[Result]], depth: int) -> _Node[Result]:
    asked = Counter(path for candidate in candidates for path in candidate.wanted)
    path, times = asked.most_common(1)[0] if asked else ("", 0)
    if depth == 0 or times < 2:
        return [
            (
                [*(_equals(path, values) for path, values in candidate.wanted.items()), *candidate.others],
                candidate.result,
            )
            for candidate in candidates
        ]
    values = {value for candidate in candidates for value in candidate.wanted.get(path, ())}
    left: dict[str | None, _Node[Result]] = {
        value: _node(
            [_without(path, each) for each in candidates if value in each.wanted.get(path, (value,))], depth - 1
        )
        for value in values
    }
    rest = _node([each for each in candidates if path not in each.wanted], depth - 1)
    return _Table(_written(getter(path)), left, rest)


def _without(path: str, candidate: _Candidate[Result]) -> _Candidate[Result]:
    wanted = {other: values for other, values in candidate.wanted.items() if other != path}
    return _Candidate(wanted, candidate.others, candidate.result)


def _others(conditions: Conditions) -> list[Condition]:
    others: list[Condition] = [_is_present(getter(path)) for path in conditions.present]
    if conditions.if_ is not None:
        others.append(_is_true(getter(conditions.if_)))
    return others


def _written(get: Getter) -> Callable[[Event], str | None]:
    """The value as the text with which a value of the file is compared, so that 1 is `1` and true is `true`."""

    def written(event: Event) -> str | None:
        try:
            value = get(event)
            return value if type(value) is str else text(value)
        except Unfit:
            return None

    return written


def _equals(path: str, values: frozenset[str]) -> Condition:
    written = _written(getter(path))
    return lambda event: written(event) in values


def _is_present(get: Getter) -> Condition:
    def present(event: Event) -> bool:
        try:
            return get(event) not in (None, "", [], {})
        except Unfit:
            return False

    return present


def _is_true(get: Getter) -> Condition:
    def true(event: Event) -> bool:
        try:
            return is_true(get(event))
        except Unfit:
            return False

    return true
