"""Words for findings about rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from scorer.lint.atoms import Domain
from scorer.lint.written import as_written
from scorer.rules.condition import Condition, Test
from scorer.rules.condition import fields as fields_of

_LONG = 100
_LARGEST = 2**53
"""A limit above this is a limit of storage, not of the field."""


def never(what: str, because: Sequence[Condition], domain: Callable[[str], Domain]) -> str:
    """Why a condition can never hold: the parts that exclude each other, or the single impossible part."""
    shown = [short(part) for part in because]
    if len(because) != 1:
        named = f"{', '.join(f'`{text}`' for text in shown[:-1])} and `{shown[-1]}`" if shown else "its parts"
        return f"{what}: {named} exclude each other"
    (part,) = because
    names = fields_of(part)
    limits = f"; {limits_of(names[0], domain(names[0]))}" if isinstance(part, Test) and len(names) == 1 else ""
    return f"{what}: `{shown[0]}` never holds{limits.rstrip('; ')}"


def limits_of(name: str, domain: Domain) -> str:
    """The limits of the field in words; empty if it has none."""
    if domain.choices and domain.closed:
        return f"`{name}` is always {', '.join(map(str, domain.choices))} here".replace(", ", " or ")
    low, high = domain.low, domain.high if domain.high < _LARGEST else inf
    if low == high:
        return f"`{name}` is always {low} here"
    if low > -inf and high < inf:
        return f"`{name}` is between {low} and {high}"
    if low > -inf:
        return f"`{name}` is at least {low}"
    return f"`{name}` is at most {high}" if high < inf else ""


def one_of(names: Sequence[str]) -> str:
    """`a`, `b` and `c`; at most five names are shown."""
    shown = [f"`{name}`" for name in names[:5]]
    if len(names) > 5:
        return f"{', '.join(shown)} and {len(names) - 5} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def short(condition: Condition) -> str:
    """The condition as written, shortened if it is long."""
    text = as_written(condition)
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"
