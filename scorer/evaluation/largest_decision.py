"""The largest decision that a ruleset can publish, in bytes of JSON.

The bound follows from the rules and from the contract of activities alone: reasons and names are known, evidence is
bounded, and attributes of activities have at most so many characters.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from scorer.domain.decision import (
    LATEST_VERSION,
    Contribution,
    EvidenceValue,
    Previous,
    Reference,
    Routing,
    RoutingDecision,
    RulesetReference,
    ScoreView,
)
from scorer.domain.lifecycle import MOST_LEVELS, STATUSES
from scorer.domain.score import Rating, Route
from scorer.evaluation.criteria import limit_text
from scorer.evaluation.largest_value import NUMBER, LargestValue, built_in_values, own_values
from scorer.evaluation.routing import ERASED, MERGED
from scorer.rules.catalogue import is_timed
from scorer.rules.ruleset import BEHAVIOUR, CAP, Criterion, HitPolicy, RoutingRule, Ruleset, ScoringRule, Signal

_WIDEST: Final = "\U0010ffff"
"""A character with as many bytes as any in the JSON of an attribute, which has no control characters."""
_INSTANT: Final = "0001-01-01T00:00:00.000001Z"
_DAY: Final = "0001-01-01"
_QUEUE: Final = "q" * 64
_LARGEST: Final = -(2**63)

_encode: Final = msgspec.json.Encoder().encode


class LargestDecision(NamedTuple):
    """The parts of the largest decision, in bytes: the contributions of each criterion and of the signals, and the
    rest."""

    criteria: Mapping[str, int]
    signals: int
    rest: int

    @property
    def total(self) -> int:
        """The whole decision."""
        return sum(self.criteria.values()) + self.signals + self.rest


def largest_decision(ruleset: Ruleset, beside: Ruleset | None = None) -> LargestDecision:
    """The largest decision of a ruleset. `beside`: the other ruleset of the service, whose types of own fields let a
    lead keep other values, which are evidence too."""
    own = own_values(judging.own_fields for judging in (ruleset, beside) if judging is not None)
    return LargestDecision(
        criteria={criterion.name: _criterion(criterion, own) for criterion in ruleset.criteria},
        signals=sum(map(_signal, ruleset.signals.values())),
        rest=max(len(_without_contributions(ruleset, rule)) for rule in (*ruleset.routing, ERASED, MERGED)),
    )


def _criterion(criterion: Criterion, own: Mapping[str, LargestValue]) -> int:
    """Where the first rule that holds counts, the largest one; else all, and what a limit takes or adds."""
    rules = [_rule(criterion, rule, own) for rule in criterion.rules]
    if criterion.hit_policy is HitPolicy.FIRST:
        return max(rules)
    limits = [limit for limit in (criterion.min, criterion.max) if limit is not None]
    most = sum(abs(rule.points) for rule in criterion.rules) + max(map(abs, limits), default=0)
    caps = [
        _size(Contribution(criterion.name, CAP, -most, limit_text(criterion.name, limit, is_maximum=is_maximum), {}))
        for limit in limits
        for is_maximum in (True, False)
    ]
    return sum(rules) + max(caps, default=0)


def _rule(criterion: Criterion, rule: ScoringRule, own: Mapping[str, LargestValue]) -> int:
    evidence = sum(_size(field) + 1 + _evidence(field, own) for field in rule.fields)
    return _size(Contribution(criterion.name, rule.id, rule.points, rule.reason, {})) + evidence


def _evidence(field: str, own: Mapping[str, LargestValue]) -> int:
    if field in own:
        return own[field].evidence
    return (NUMBER if is_timed(field) else built_in_values()[field]).evidence


def _signal(signal: Signal) -> int:
    count = signal.daily_cap * len(signal.weights)
    most = count * signal.points
    if signal.max_points is not None:
        most = max(-signal.max_points, min(signal.max_points, most))
    evidence: dict[str, EvidenceValue] = {"count": count, "first_day": _DAY, "last_day": _DAY}
    return _size(Contribution(BEHAVIOUR, signal.id, most, signal.reason, evidence))


def _without_contributions(ruleset: Ruleset, rule: RoutingRule) -> bytes:
    reference = Reference(_WIDEST * 1024, _WIDEST * 256, "t" * 128)
    points = {criterion.name: _most_points(criterion) for criterion in ruleset.criteria}
    return RoutingDecision(
        decision_id="0" * 32,
        lead_id=_WIDEST * 256,
        decided_at=_INSTANT,
        cause="rules_changed",
        reference=reference,
        rating=Rating.COLD,
        grade="A1",
        route=rule.route,
        # The open promise of a hand-over, also by earlier rules, brings a queue and an instant of its own.
        queue=_QUEUE if rule.route is Route.SALES else rule.queue,
        respond_by=_INSTANT if rule.route is Route.SALES or rule.respond_within is not None else None,
        routing=Routing(rule.id, rule.reason),
        score=ScoreView(_LARGEST, _LARGEST, _LARGEST),
        criteria={**points, BEHAVIOUR: _LARGEST},
        contributions=[],
        previous=Previous(Rating.COLD, Route.DISCARD, _LARGEST),
        ruleset=RulesetReference(ruleset.name, ruleset.revision),
        status=max(STATUSES, key=len) if ruleset.lifecycle.is_written else None,
        escalated=MOST_LEVELS if rule.route is Route.SALES else 0,
        schema_version=LATEST_VERSION,
    ).to_json()


def _most_points(criterion: Criterion) -> int:
    """A number with as many digits and signs as the points of the criterion can have."""
    limits = [abs(limit) for limit in (criterion.min, criterion.max) if limit is not None]
    return -max(sum(abs(rule.points) for rule in criterion.rules), *limits, 0)


def _size(value: object) -> int:
    """The bytes of a value in JSON, and of the comma after it."""
    return len(_encode(value)) + 1
