"""Annual revenue, from a number or a text with a unit. Currencies are not converted."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Final

from scorer.sources.company.quantity import THOUSANDS, Mark, Unit, Words, reader

_MILLIONS: Final = 10**6
_BILLIONS: Final = 10**9
_TEXTS: Final = "€ $ £ ¥ ₹ us a c nz hk euro euros dollar dollars pound pounds pfund franken fr"
"""Signs and names of currencies. `us` and the letters after it are of `US$`, `A$` and so on."""

_UNITS: Final[Words] = {
    **THOUSANDS,
    **dict.fromkeys(("m", "mm", "mn", "mln", "million"), Unit(_MILLIONS)),
    "millions": Unit(_MILLIONS, "."),
    **dict.fromkeys(("mio", "millionen"), Unit(_MILLIONS, ",")),
    **dict.fromkeys(("b", "bn", "billion", "billions"), Unit(_BILLIONS, ".")),
    **dict.fromkeys(("mrd", "mia", "milliarde", "milliarden"), Unit(_BILLIONS, ",")),
    **dict.fromkeys(("teur", "tchf"), Unit(10**3, ",")),
    **dict.fromkeys(("meur", "mchf"), Unit(_MILLIONS)),
}


def revenue(value: object) -> int | float | None:
    """The revenue in the currency in which it was written, of a range its lower bound; None if there is no value.

    `$10M` and `10 Mio. EUR` are both 10000000. `> 1 Mrd €` is 1000000000, `< $1M` is 0. Raises `Unfit`.
    """
    amount = _reader()(value)
    if amount is None:
        return None
    return amount.numerator if amount.denominator == 1 else float(amount)


@cache
def _reader() -> Callable[[object], Fraction | None]:
    import pycountry

    codes = (each.alpha_3.lower() for each in pycountry.currencies)
    return reader({**dict.fromkeys((*codes, *_TEXTS.split()), Mark.NOISE), **_UNITS}, least=0, step=0)
