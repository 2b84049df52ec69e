"""What a better closing rate is worth. Exact: fractions, as the rules write them."""

from fractions import Fraction
from typing import Final, NamedTuple

from scorer.rules.ruleset import Period, Targets

BETTER: Final = Fraction(11, 10)
"""A closing rate that is 10 % better."""

IN_A_YEAR: Final = {Period.WEEK: 52, Period.MONTH: 12, Period.QUARTER: 4, Period.YEAR: 1}


class Worth(NamedTuple):
    """Deals and revenue of a year at a closing rate, and at a better one."""

    opportunities: Fraction
    average_deal: Fraction
    rate: Fraction
    better_rate: Fraction

    @property
    def deals(self) -> Fraction:
        """The deals at the closing rate."""
        return self.opportunities * self.rate

    @property
    def better_deals(self) -> Fraction:
        """The deals at the better one."""
        return self.opportunities * self.better_rate

    @property
    def revenue(self) -> Fraction:
        """The revenue at the closing rate."""
        return self.deals * self.average_deal

    @property
    def better_revenue(self) -> Fraction:
        """The revenue at the better one."""
        return self.better_deals * self.average_deal


def worth(opportunities: Fraction, average_deal: Fraction, rate: Fraction) -> Worth:
    """What a closing rate that is 10 % better is worth with the same opportunities. No rate is above 1."""
    return Worth(opportunities, average_deal, rate, min(Fraction(1), rate * BETTER))


def worth_of(targets: Targets) -> Worth:
    """The same for a year of the targets."""
    return worth(targets.needed * IN_A_YEAR[targets.period], targets.average_deal, targets.closing_rate)
