"""Numbers for people are rounded the way people do it: halves away from zero."""

from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

_EXACT: Final = Context(prec=400)


def rounded(value: float, digits: int = 0) -> Decimal:
    """The finite value with so many decimals; halves, of the value as it is written, go away from zero: 12.5 is 13."""
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _EXACT)


def percentage(share: float, digits: int = 0) -> Decimal:
    """The share in percent: 0.145 is 15."""
    return rounded(share, digits + 2).scaleb(2, _EXACT)
