"""JMESPath, checked when a mapping is read."""

from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

_MOST_NODES: Final = 200
_MOST_GROWING: Final = 4
"""Each of them can make a list longer than the lists that it reads, so many in a row would grow without bound."""
_GROWING: Final = frozenset({"flatten", "multi_select_list", "multi_select_dict"})


def check_expression(text: str) -> None:
    """Raises `ValueError` if the text is not JMESPath, or more than a mapping can use."""
    _parsed(text)


def check_plain(text: str) -> None:
    """Raises `ValueError` if the text is not a path that only names keys."""
    if names_of(_parsed(text)) is None:
        raise ValueError("expected a path that only names keys, as in properties.plan")


def names_of(node: Any) -> tuple[str, ...] | None:
    """The keys that a plain path names, from the outside; None for any other expression."""
    match node["type"]:
        case "field":
            return (node["value"],)
        case "subexpression":
            parts = [names_of(child) for child in node["children"]]
            return None if None in parts else tuple(name for part in parts if part is not None for name in part)
    return None


def _parsed(text: str) -> Any:
    try:
        parsed = jmespath.compile(text).parsed
    except JMESPathError as error:
        raise ValueError(f"not JMESPath: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError("not JMESPath: nested too deeply") from None
    return parsed
