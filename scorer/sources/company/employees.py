"""Number of employees, from a number, a text or a range."""

from typing import Final

from scorer.sources.company.converter import Unfit
from scorer.sources.company.quantity import THOUSANDS, Mark, Unit, reader

_PEOPLE: Final = (
    "employees employee people persons person staff workers headcount fte ftes mitarbeiter mitarbeitern mitarbeitende "
    "mitarbeitenden mitarbeiterinnen ma beschäftigte beschäftigten angestellte angestellten personen leute vzä innen "
    ": * / _"
)
"""What is counted. The signs and `innen` are of `Mitarbeiter:innen`."""

_amount: Final = reader(
    {
        **THOUSANDS,
        "million": Unit(10**6),
        "mio": Unit(10**6, ","),
        **dict.fromkeys(_PEOPLE.split(), Mark.NOISE),
    },
    least=1,
    step=1,
)


def employees(value: object) -> int | None:
    """The number of employees, of a range its lower bound; None if there is no value.

    `51-200` is 51, `1,000+` is 1000, `> 5000` is 5001, `<10` is 1. Raises `Unfit` if it is no whole number.
    """
    amount = _amount(value)
    if amount is None:
        return None
    if amount.denominator != 1:
        raise Unfit("malformed")
    return amount.numerator
