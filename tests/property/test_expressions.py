"""What is compiled of JMESPath has the values that the library gives."""

from typing import Any, Final

import jmespath
from hypothesis import given
from hypothesis import strategies as st

from scorer.sources.company.converter import Unfit
from scorer.sources.mapping.expression import check_expression, getter, is_true

NO_VALUE: Final = object()
LEAVES = st.none() | st.booleans() | st.sampled_from([0, 1, 0.0, "", "a", "b", -1])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
PARTS = st.sampled_from(
    ["a", "b", "a.b", "a.b.c", "@", "a[0]", "b[-1].a", "'x'", "`0`", "`null`", "length(a)", "[a, b]"]
)
EXPRESSIONS = st.recursive(
    PARTS,
    lambda inner: (
        st.builds("({}) || ({})".format, inner, inner)
        | st.builds("({}) | ({})".format, inner, inner)
        | st.builds("({}).a".format, inner)
        | st.builds("({})[1]".format, inner)
        | st.builds("({}) && ({})".format, inner, inner)
        | st.builds("!({})".format, inner)
        | st.builds("a[?({})]".format, inner)
    ),
    max_leaves=5,
)


@given(EXPRESSIONS, st.dictionaries(st.sampled_from("abc"), VALUES))
def test_an_expression_has_the_value_of_the_library(text: str, event: dict[str, Any]) -> None:
    try:
        check_expression(text)
    except ValueError:
        return
    assert of_ours(text, event) == of_library(text, event)


def of_ours(text: str, event: dict[str, Any]) -> Any:
    try:
        return typed(getter(text)(event))
    except Unfit:
        return NO_VALUE


def of_library(text: str, event: dict[str, Any]) -> Any:
    try:
        return typed(jmespath.search(text, event))
    except jmespath.exceptions.JMESPathError:
        return NO_VALUE


def typed(value: Any) -> Any:
    """The value, with its type, because 0 equals False."""
    return type(value), value


@given(VALUES)
def test_true_is_what_the_library_takes_for_true(value: Any) -> None:
    assert is_true(value) is not jmespath.search("!a", {"a": value})
