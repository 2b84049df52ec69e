"""Scores compared with the outcomes of deals: conversion, lift, AUC, precision and recall. Exact, from counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from scorer.backtest.tally import DealOutcome, SideTally
from scorer.domain.score import Rating
from scorer.rules.ruleset import BEHAVIOUR, Ruleset

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Auc:
    """The probability that a won lead scores higher than a lost one; ties count half. `low` and `high` are the bounds
    of the 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Conversion:
    """Leads with this rating when they were evaluated. `rate` = won / leads; `lift` = rate / rate of all leads."""

    rating: Rating
    leads: int
    won: int
    rate: float | None
    lift: float | None


@dataclass(frozen=True, slots=True)
class Sales:
    """How well hand-overs to sales predicted the outcome. `precision` is the share of handed-over leads that were won.
    `recall` is the share of won leads that were handed over before. None if there are no such leads."""

    handed_over: int
    won: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class RuleOutcomes:
    """The number of won and lost leads for which a rule held. `won_share` and `lost_share` are shares of all won and
    all lost leads. `rate` is the conversion of the leads for which the rule held; `lift` = that rate / rate of all."""

    criterion: str
    rule: str
    reason: str
    points: int
    won: int
    lost: int
    won_share: float | None
    lost_share: float | None
    rate: float | None
    lift: float | None


@dataclass(frozen=True, slots=True)
class SideOutcomes:
    """How well one ruleset predicted the outcomes."""

    auc: Auc | None
    conversion: Sequence[Conversion]
    sales: Sales
    rules: Sequence[RuleOutcomes]


def side_outcomes(tally: SideTally, ruleset: Ruleset) -> SideOutcomes:
    """How well a ruleset predicted the outcomes of the leads."""
    by_score = {outcome: _of(tally.outcome_scores, outcome) for outcome in ("won", "lost")}
    won, lost = (by_score[outcome].total() for outcome in ("won", "lost"))
    base = ratio(won, won + lost)
    return SideOutcomes(
        auc=auc(by_score["won"], by_score["lost"]),
        conversion=[_conversion(rating, tally.outcome_ratings, base) for rating in reversed(Rating)],
        sales=sales(tally.outcome_sales),
        rules=[
            _rule(criterion, rule, reason, given, tally, won, lost) for criterion, rule, reason, given in rules(ruleset)
        ],
    )


def auc(won: Mapping[int, int], lost: Mapping[int, int]) -> Auc | None:
    """The area under the ROC curve, from leads by score. Exact with ties: the Mann-Whitney U over all pairs.

    None if there are no won or no lost leads. The bounds follow Hanley and McNeil (Radiology 143, 1982, 29-36). They
    are rough for few leads or an area close to 1.
    """
    positives, negatives = sum(won.values()), sum(lost.values())
    if not positives or not negatives:
        return None
    twice = below = 0
    for value in sorted(won.keys() | lost.keys()):
        here = lost.get(value, 0)
        twice += won.get(value, 0) * (2 * below + here)
        below += here
    area = twice / (2 * positives * negatives)
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    spread = (positives - 1) * (q1 - area * area) + (negatives - 1) * (q2 - area * area)
    error = sqrt(max(0.0, (area * (1 - area) + spread) / (positives * negatives)))
    return Auc(area, max(0.0, area - Z_95 * error), min(1.0, area + Z_95 * error))


def sales(counted: Mapping[tuple[DealOutcome, bool], int]) -> Sales:
    """Precision and recall, from numbers of leads by (outcome, handed over)."""
    won, lost = counted.get(("won", True), 0), counted.get(("lost", True), 0)
    missed = counted.get(("won", False), 0)
    return Sales(won + lost, won, ratio(won, won + lost), ratio(won, won + missed))


def rules(ruleset: Ruleset) -> list[tuple[str, str, str, int]]:
    """(criterion, rule, reason, points) of every scoring rule and signal. The points of a signal are for one event."""
    scoring_rules = [
        (criterion.name, rule.id, rule.reason, rule.points)
        for criterion in ruleset.criteria
        for rule in criterion.rules
    ]
    signals = [(BEHAVIOUR, signal.id, signal.reason, signal.points) for signal in ruleset.signals.values()]
    return scoring_rules + signals


def ratio(part: int, whole: int) -> float | None:
    """part / whole, or None if `whole` is 0."""
    return part / whole if whole else None


def _conversion(rating: Rating, counted: Mapping[tuple[DealOutcome, Rating], int], base: float | None) -> Conversion:
    won = counted.get(("won", rating), 0)
    leads = won + counted.get(("lost", rating), 0)
    rate = ratio(won, leads)
    return Conversion(rating, leads, won, rate, _lift(rate, base))


def _rule(criterion: str, rule: str, reason: str, points: int, tally: SideTally, won: int, lost: int) -> RuleOutcomes:
    here, there = tally.fired[criterion, rule, "won"], tally.fired[criterion, rule, "lost"]
    rate = ratio(here, here + there)
    lift = _lift(rate, ratio(won, won + lost))
    return RuleOutcomes(criterion, rule, reason, points, here, there, ratio(here, won), ratio(there, lost), rate, lift)


def _lift(rate: float | None, base: float | None) -> float | None:
    return None if rate is None or not base else rate / base


def _of(counted: Mapping[tuple[DealOutcome, int], int], outcome: str) -> Counter[int]:
    return Counter({score: count for (which, score), count in counted.items() if which == outcome})
