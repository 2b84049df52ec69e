"""HTML pages from templates. Every value is escaped, and a page forbids itself to fetch or run anything.

`render` takes a template of this package. Templates extend `base.html.j2`; texts that come from outside (lead ids,
reasons, values) belong in `<bdi>`, so that writing from right to left stays in its place.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from scorer.domain.score import Rating, Route

_MINUS = "\N{MINUS SIGN}"


def render(template: str, context: Mapping[str, Any]) -> str:
    """The page. A name that the context lacks is an error (`jinja2.UndefinedError`). The text can always be written
    as UTF-8: half a surrogate pair, which JSON can carry, becomes U+FFFD."""
    text = _environment().get_template(template).render(context)
    return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= each <= "\udfff" else each for each in text)


def number(value: float, digits: int = 0) -> str:
    """With thousands separators and a proper minus: `-1,234.5`."""
    # Adding zero takes the sign from what is rounded to zero.
    return f"{round(value, digits) + 0:,.{digits}f}".replace("-", _MINUS)


def signed(value: float, digits: int = 0) -> str:
    """As `number`, with a plus where it is above zero."""
    return f"+{number(value, digits)}" if value > 0 else number(value, digits)


def percent(share: float, digits: int = 0) -> str:
    """A share of 1 as `12%`."""
    return f"{number(100 * share, digits)}%"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 lead`, `2 leads`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def dated(text: str) -> Markup:
    """The text with its dates kept in one piece where lines break."""
    pieces = re.split(r"(\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2})?)", text)
    marked = [
        Markup('<span class="date">{}</span>').format(each) if i % 2 else escape(each) for i, each in enumerate(pieces)
    ]
    return Markup("").join(marked)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("scorer.report"),
        # Not by file name: a template that is named otherwise must not lose its escaping.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, signed=signed, percent=percent, plural=plural, dated=dated)
    environment.globals.update(RATINGS=tuple(map(str, Rating)), ROUTES=tuple(map(str, Route)))
    return environment
