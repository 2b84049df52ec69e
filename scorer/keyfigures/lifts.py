"""What won leads had and lost leads lacked: per rule, with a confidence interval."""

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import Final, NamedTuple

from scorer.backtest.outcomes import Z_95, RuleOutcomes, ratio, side_outcomes
from scorer.backtest.run import FEW
from scorer.backtest.tally import Tally
from scorer.figures.report_model import OutcomeFigures, RuleLift
from scorer.rules.ruleset import Ruleset

_HALF: Final = 0.5
"""What is added to each count if one of them is 0, as is usual for ratios of counts."""


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def lift_interval(won: int, lost: int, all_won: int, all_lost: int) -> Interval | None:
    """The 95 % interval of the lift of a rule that applied to `won` and `lost` leads, of which there are `all_won` and
    `all_lost`. None if the rule applied to none, or if all have the same outcome.

    The delta method on the logarithm of (won / applied) / (all won / all), where the four counts are a multinomial
    sample: variance = 1/won - 1/applied - 1/all won - 1/all + 2 won / (applied x all won).
    """
    if won + lost == 0 or all_won == 0 or all_lost == 0:
        return None
    others_won, others_lost = all_won - won, all_lost - lost
    add = _HALF if 0 in (won, lost, others_won, others_lost) else 0.0
    with_won, with_rule = won + add, won + lost + 2 * add
    total_won, total = all_won + 2 * add, all_won + all_lost + 4 * add
    middle = log(with_won / with_rule) - log(total_won / total)
    variance = 1 / with_won - 1 / with_rule - 1 / total_won - 1 / total + 2 * with_won / (with_rule * total_won)
    spread = Z_95 * sqrt(max(0.0, variance))
    lift = won / (won + lost) / (all_won / (all_won + all_lost))
    # The corrected middle may lie apart from the lift itself, which must be inside.
    return Interval(min(lift, exp(middle - spread)), max(lift, exp(middle + spread)))


def outcome_figures(tally: Tally, ruleset: Ruleset) -> OutcomeFigures | None:
    """The outcomes of the leads and the rules that told them apart; None without outcomes."""
    if not tally.outcomes.total():
        return None
    counted = tally.sides[0].outcome_sales
    won, lost = (counted[outcome, True] + counted[outcome, False] for outcome in ("won", "lost"))
    rules = [_lift(rule, won, lost) for rule in side_outcomes(tally.sides[0], ruleset).rules if rule.won or rule.lost]
    return OutcomeFigures(
        won=won, lost=lost, unjudged=tally.unjudged, win_rate=ratio(won, won + lost), rules=_clearest(rules)
    )


def _lift(rule: RuleOutcomes, won: int, lost: int) -> RuleLift:
    applied = rule.won + rule.lost
    interval = lift_interval(rule.won, rule.lost, won, lost)
    return RuleLift(
        criterion=rule.criterion,
        rule=rule.rule,
        reason=rule.reason,
        points=rule.points,
        won=rule.won,
        lost=rule.lost,
        won_share=rule.won_share,
        lost_share=rule.lost_share,
        rate=rule.rate,
        lift=rule.lift,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        few=applied < FEW or min(won, lost) < FEW,
    )


def _clearest(rules: Sequence[RuleLift]) -> list[RuleLift]:
    """Those whose interval is the farthest from 1 come first; those with few leads come last."""
    return sorted(rules, key=lambda rule: (rule.few, -_distance(rule), rule.rule))


def _distance(rule: RuleLift) -> float:
    """By how much the interval misses 1, and then how far the shares are apart."""
    low, high = rule.low or 0.0, rule.high
    missed = 0.0
    if high is not None:
        missed = max(low - 1, 1 - high, 0.0)
    return missed + abs((rule.won_share or 0.0) - (rule.lost_share or 0.0)) / 1000
