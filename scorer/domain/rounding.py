"""Numbers for people are rounded the way people do it: halves away from zero."""

from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

_EXACT: Final = Context(prec=400)


def rounded(value: float, digits: int = 0) -> Decimal:
    """The finite value with so many decimals; halves, of the value as it is written, go away from zero: 12.5 is 13."""
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _EXACT)


def percent(share: float | None, digits: int = 1) -> str:
    """A share for people, always with so many decimals: `62.5%`; `–` without one. It looks like none or all only if it
    is."""
    if share is None:
        return "–"
    if 0 < share < 0.0005 or 0.9995 <= share < 1:
        return "<0.1%" if share < 0.5 else ">99.9%"
    return f"{percentage(share, digits):,}%"


def percentage(share: float, digits: int = 0) -> Decimal:
    """The share in percent: 0.145 is 15."""
    return rounded(share, digits + 2).scaleb(2, _EXACT)
