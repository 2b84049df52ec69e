"""JMESPath: checked when a mapping is read, and compiled to functions.

Plain paths cost a look-up each, because each of them is asked for each event. The library evaluates the rest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from scorer.domain.printable import counted
from scorer.rules.catalogue import suggestion
from scorer.sources.company.converter import Reason, Unfit

Getter = Callable[[Mapping[str, Any]], Any]
"""The value of an expression in an event, a decoded JSON object; None if it has none. Raises `Unfit` if the expression
does not fit the values that it meets, as `length` of a number."""

_MOST_NODES: Final = 200
_GROWING: Final = frozenset({"flatten", "multi_select_list", "multi_select_dict"})
"""Each of them can make more of what it reads, so many in a row would make work without bound."""
_MOST_GROWING, _WIDEST = 4, 16
_FAILURES: Final = (JMESPathError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What evaluating raises. The library checks the types of arguments, but not of all that it compares or sorts."""

_Node = Mapping[str, Any]


def check_expression(text: str) -> None:
    """Raises `ValueError` if the text is not JMESPath, or more than a mapping can use."""
    nodes = list(_nodes(_parsed(text)))
    if len(nodes) > _MOST_NODES:
        raise ValueError(f"has {len(nodes)} parts; at most {_MOST_NODES} are allowed")
    growing = [node for node in nodes if node["type"] in _GROWING]
    if len(growing) > _MOST_GROWING:
        raise ValueError(f"has {len(growing)} of [], [a, b] and {{a: b}}; at most {_MOST_GROWING} are allowed")
    if any(len(node["children"]) > _WIDEST for node in growing):
        raise ValueError(f"more than {_WIDEST} entries in [a, b] or {{a: b}}")
    for node in nodes:
        if node["type"] == "function_expression":
            _check_call(node["value"], len(node["children"]))


def check_plain(text: str) -> None:
    """Raises `ValueError` if the text is not a path that only names keys."""
    check_expression(text)
    if names_in(text) is None:
        raise ValueError("expected a path that only names keys, as in properties.plan")


def names_in(text: str) -> tuple[str, ...] | None:
    """The keys that a plain path names, from the outside; None for any other expression."""
    return _names(_parsed(text))


def getter(text: str) -> Getter:
    """The function of a checked expression."""
    compiled = jmespath.compile(text)
    return _plain_getter(compiled.parsed) or _by_library(compiled.search)


def along(names: Sequence[str]) -> Getter:
    """The function of a plain path. Without names, the event itself."""
    match names:
        case ():
            return lambda event: event
        case (name,):
            return lambda event: event.get(name)
        case (outer, name):

            def of_two(event: Mapping[str, Any]) -> Any:
                inner = event.get(outer)
                return inner.get(name) if type(inner) is dict else None

            return of_two

    def of_many(event: Any) -> Any:
        for step in names:
            if type(event) is not dict:
                return None
            event = event.get(step)
        return event

    return of_many


def _parsed(text: str) -> _Node:
    try:
        parsed: _Node = jmespath.compile(text).parsed
    except JMESPathError as error:
        raise ValueError(f"not JMESPath: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError("not JMESPath: nested too deeply") from None
    return parsed


def _nodes(node: _Node) -> Iterator[_Node]:
    waiting = [node]
    while waiting:
        here = waiting.pop()
        yield here
        waiting += (child for child in here["children"] if isinstance(child, dict))


def _check_call(name: str, given: int) -> None:
    known = Functions.FUNCTION_TABLE
    if name not in known:
        raise ValueError(f"unknown function `{name}`{suggestion(name, tuple(known))}")
    signature = known[name]["signature"]
    is_open = bool(signature) and "variadic" in signature[-1]
    if given < len(signature) or (given > len(signature) and not is_open):
        wanted = counted(len(signature), "argument")
        raise ValueError(f"`{name}` takes {wanted}{' or more' if is_open else ''}, not {given}")


def _names(node: _Node) -> tuple[str, ...] | None:
    match node["type"]:
        case "field":
            return (node["value"],)
        case "subexpression":
            names: tuple[str, ...] = ()
            for child in node["children"]:
                part = _names(child)
                if part is None:
                    return None
                names += part
            return names
    return None


def _plain_getter(node: _Node) -> Getter | None:
    """The function of a plain path, a literal, an index, and of alternatives of these; None for the rest."""
    names = _names(node)
    if names is not None:
        return along(names)
    match node["type"]:
        case "current":
            return lambda event: event
        case "literal":
            constant = node["value"]
            return lambda event: constant
        case "index_expression":
            return _of_index(node)
        case "or_expression":
            first, second = map(_plain_getter, node["children"])
            if first is not None and second is not None:
                return _either(first, second)
    return None


def _of_index(node: _Node) -> Getter | None:
    child, place = node["children"]
    of_child = _plain_getter(child)
    if of_child is None or place["type"] != "index":
        return None
    inner, index = of_child, place["value"]

    def item(event: Mapping[str, Any]) -> Any:
        items = inner(event)
        return items[index] if type(items) is list and -len(items) <= index < len(items) else None

    return item


def _either(first: Getter, second: Getter) -> Getter:
    def either(event: Mapping[str, Any]) -> Any:
        value = first(event)
        # What JMESPath takes for false. Zero is true.
        return second(event) if value is None or value is False or value in ("", [], {}) else value

    return either


def _by_library(search: Callable[[Any], Any]) -> Getter:
    def searched(event: Mapping[str, Any]) -> Any:
        try:
            found = search(event)
        except _FAILURES:
            raise Unfit(Reason.WRONG_TYPE) from None
        if isinstance(found, float) and not isfinite(found):
            raise Unfit(Reason.OUT_OF_RANGE)
        return found

    return searched
