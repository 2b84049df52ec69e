"""HTML pages from templates. Every value is escaped, and a page's own policy forbids it to fetch or run anything.

Templates are part of this package and extend `base.html.j2`. Texts from outside (lead ids, reasons, values) belong in
`<bdi>`, because right-to-left text must not disturb the text around it.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from scorer.domain.rounding import percentage
from scorer.domain.score import Rating, Route

_MINUS = "\N{MINUS SIGN}"


def render(template: str, context: Mapping[str, Any]) -> str:
    """The page as text that can always be written as UTF-8: a lone surrogate, which JSON can hold, becomes U+FFFD.
    Raises `jinja2.UndefinedError` for a name that the context lacks."""
    text = _environment().get_template(template).render(context)
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if "\ud800" <= character <= "\udfff" else character for character in text
    )


def number(value: float, digits: int = 0) -> str:
    """The value with thousands separators and a typographic minus sign."""
    # Adding zero removes the sign of a negative zero.
    return f"{round(value, digits) + 0:,.{digits}f}".replace("-", _MINUS)


def signed(value: float, digits: int = 0) -> str:
    """Like `number`, with a plus sign for positive values."""
    return f"+{number(value, digits)}" if value > 0 else number(value, digits)


def percent(share: float, digits: int = 0) -> str:
    """A share from 0 to 1 as a percentage: `12%`."""
    return f"{percentage(share, digits):,}%".replace("-", _MINUS)


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 lead`, `2 leads`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def dated(text: str) -> Markup:
    """The text, marked up so that lines do not break within dates."""
    pieces = re.split(r"(\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2})?)", text)
    marked = [
        Markup('<span class="date">{}</span>').format(piece) if i % 2 else escape(piece)
        for i, piece in enumerate(pieces)
    ]
    return Markup("").join(marked)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("scorer.report"),
        # Independent of the file name: a template with another suffix must still be escaped.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, signed=signed, percent=percent, plural=plural, dated=dated)
    environment.globals.update(RATINGS=tuple(map(str, Rating)), ROUTES=tuple(map(str, Route)))
    return environment
