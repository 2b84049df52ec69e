"""JMESPath: checked when a mapping is read, and compiled to functions.

Plain paths cost a look-up each, because each of them is asked for each event. The library evaluates the rest.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from scorer.domain.printable import counted
from scorer.rules.catalogue import suggestion
from scorer.sources.company.converter import Unfit

Getter = Callable[[Mapping[str, Any]], Any]
"""The value of an expression in an event, a decoded JSON object; None if it has none. Raises `Unfit` if the expression
does not fit the values that it meets, as `length` of a number."""

_MOST_NODES: Final = 200
_GROWING: Final = frozenset({"flatten", "multi_select_list", "multi_select_dict"})
"""Each of them can make more of what it reads, so many in a row would make work without bound."""
_MOST_GROWING, _WIDEST = 4, 16
_FAILURES: Final = (JMESPathError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What evaluating raises. The library checks the types of arguments, but not of all that it compares or sorts."""

_BARE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_UNQUOTED: Final = re.compile(r"[\w$@/-]([\w$@/ -]*[\w$@/-])?")
"""A key as the header of a table or a JSON object has it, such as `E-Mail` and `Geändert am`."""
_Node = Any
"""A dictionary with `type`, `children` and, of some, `value`."""
_MOST_STEPS: Final = 5_000
"""Of one evaluation: enough for a filter of a thousand items. They take a few milliseconds."""


class _TooManyStepsError(Exception):
    """An event has so much to look at that an expression takes long."""


class _Interpreter(TreeInterpreter):
    """The interpreter of the library, with an end."""

    def __init__(self) -> None:
        super().__init__()
        self._left = 0

    def value(self, node: _Node, value: Any) -> Any:
        """The value of an expression. Raises `_TooManyStepsError`, and whatever the library raises."""
        self._left = _MOST_STEPS
        return self.visit(node, value)

    def visit(self, node: _Node, *args: Any, **kwargs: Any) -> Any:
        """The value of one node."""
        self._left -= 1
        if self._left < 0:
            raise _TooManyStepsError
        return super().visit(node, *args, **kwargs)

    def visit_function_expression(self, node: _Node, value: Any) -> Any:
        """What a function gives. Raises `Unfit` for infinity and NaN, as of `to_number('nan')`: wherever they end up,
        JSON would write null for them."""
        found = super().visit_function_expression(node, value)
        if isinstance(found, float) and not isfinite(found):
            raise Unfit("out_of_range")
        return found


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
        elif node["type"] == "literal":
            _check_literal(node["value"])


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
    node = _parsed(text)
    names = _names(node)
    return _compiled(node) if names is None else along(names)


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

    return _walk(names)


def _parsed(text: str) -> _Node:
    try:
        parsed: _Node = jmespath.compile(text).parsed
    except JMESPathError as error:
        raise ValueError(f"not JMESPath: {' '.join(str(error).split())}{_quoting(text)}") from None
    except RecursionError:
        raise ValueError("not JMESPath: nested too deeply") from None
    return parsed


def _quoting(text: str) -> str:
    """What to write instead, if the text names keys and only lacks their quotes; otherwise nothing."""
    keys = text.split(".")
    if not all(map(_UNQUOTED.fullmatch, keys)):
        return ""
    path = ".".join(key if _BARE.fullmatch(key) else f'"{key}"' for key in keys)
    # YAML takes one pair of quotes away, so the path needs a second pair.
    return f"; a key with other characters than letters, digits and _ needs double quotes inside single ones: '{path}'"


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


def _check_literal(value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("a literal has NaN, or a number that is out of range") from None


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


def _compiled(node: _Node) -> Getter:
    """The function of a node, for any value. What costs more than its parts is evaluated by the library."""
    names = _names(node)
    if names is not None:
        return _walk(names)
    children = node["children"]
    match node["type"]:
        case "literal":
            constant = node["value"]
            return lambda value: constant
        case "current" | "identity":
            return lambda value: value
        case "index":
            return _item(node["value"])
        case "subexpression" | "index_expression" | "pipe":
            return _one_after_the_other([_compiled(child) for child in children])
        case "or_expression":
            return _first_true([_compiled(each) for each in _alternatives(node)])
        case "and_expression":
            return _both(*map(_compiled, children))
    return _by_library(node)


def _walk(names: Sequence[str]) -> Getter:
    """As `along`, for any value."""
    match names:
        case (name,):
            return lambda value: value.get(name) if type(value) is dict else None
        case (outer, name):

            def of_two(value: Any) -> Any:
                inner = value.get(outer) if type(value) is dict else None
                return inner.get(name) if type(inner) is dict else None

            return of_two

    def walk(value: Any) -> Any:
        for name in names:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return walk


def _one_after_the_other(steps: Sequence[Getter]) -> Getter:
    def value_of(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return value_of


def _item(index: int) -> Getter:
    def item(items: Any) -> Any:
        return items[index] if type(items) is list and -len(items) <= index < len(items) else None

    return item


def _alternatives(node: _Node) -> Iterator[_Node]:
    for child in node["children"]:
        yield from _alternatives(child) if child["type"] == "or_expression" else (child,)


def _first_true(alternatives: Sequence[Getter]) -> Getter:
    def first_true(event: Any) -> Any:
        value = None
        for get in alternatives:
            value = get(event)
            # Most values are found true or not there, and then nothing else need be asked.
            if value or (value is not None and is_true(value)):
                return value
        return value

    return first_true


def _both(condition: Getter, then: Getter) -> Getter:
    def both(value: Any) -> Any:
        found = condition(value)
        return then(value) if is_true(found) else found

    return both


def is_true(value: Any) -> bool:
    """What JMESPath takes for true: everything but null, false and what is empty. Zero is."""
    return bool(value) or (value is not False and value == 0)


def _by_library(node: _Node) -> Getter:
    interpreter = _Interpreter()

    def searched(value: Any) -> Any:
        try:
            found = interpreter.value(node, value)
        except _FAILURES:
            raise Unfit("wrong_type") from None
        except _TooManyStepsError:
            raise Unfit("too_long") from None
        return found

    return searched
