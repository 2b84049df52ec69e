"""Why: every point with its rule and evidence, and the decision that carries them. Pure."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Literal

import msgspec
from pydantic import TypeAdapter

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import Contribution, EvidenceValue, RoutingDecision
from scorer.domain.instant import day_of, day_to_text, to_text
from scorer.domain.lead import Counts, Lead
from scorer.domain.score import Rating
from scorer.rules.ruleset import BEHAVIOUR, RoutingRule, Ruleset, Signal
from scorer.rules.signal_points import days_counted
from scorer.scoring import Scored

Cause = Literal["activity", "time", "rules_changed"]

_CONTRIBUTIONS = TypeAdapter(list[Contribution])
_encode = msgspec.json.Encoder().encode


class Said:
    """A decision as plain values, in the order of the contract. Not validated: a model costs ten times as much as its
    bytes, which are all that the stream wants (a property test holds that both say the same)."""

    __slots__ = ("content",)

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    @property
    def rating(self) -> Rating:
        """The rating."""
        rating: Rating = self.content["rating"]
        return rating

    @property
    def previous_rating(self) -> Rating | None:
        """The rating of the decision before; None for the first."""
        previous = self.content["previous"]
        return None if previous is None else previous["rating"]

    def model(self) -> RoutingDecision:
        """The decision, validated."""
        return RoutingDecision.model_validate(self.content)

    def to_json(self) -> bytes:
        """The same bytes as `model_dump_json` of the model."""
        return _encode(self.content)


def contributions(scored: Scored, lead: Lead) -> list[Contribution]:
    """Every point and why, the strongest first. The points add up to the total score."""
    return _CONTRIBUTIONS.validate_python(_contributions(scored, lead))


def _contributions(scored: Scored, lead: Lead) -> list[dict[str, Any]]:
    found = []
    facts = scored.facts
    for rated in scored.criteria:
        name = rated.criterion.name
        found += [
            _contribution(name, rule.id, rule.points, rule.reason, _evidence(rule.fields, facts))
            for rule in rated.rules
        ]
        excess = rated.points - sum(rule.points for rule in rated.rules)
        if excess:
            limit = rated.criterion.max if excess < 0 else rated.criterion.min
            reason = f"{name} gives at {'most' if excess < 0 else 'least'} {limit} points"
            found.append(_contribution(name, "cap", excess, reason, {}))
    today = day_of(scored.now)
    for signal, points in scored.signals:
        evidence = _signal_evidence(signal, lead.counted[signal.id], today)
        found.append(_contribution(BEHAVIOUR, signal.id, points, signal.reason, evidence))
    found.sort(key=lambda each: (-abs(each["points"]), each["criterion"], each["rule"]))
    return found


def decision(
    lead: Lead, ruleset: Ruleset, scored: Scored, routing: RoutingRule, cause: Cause, activity: LeadActivity | None
) -> Said:
    """The decision about a lead that was scored and routed so."""
    score, last, within = scored.score, lead.published, routing.respond_within
    points = {rated.criterion.name: rated.points for rated in scored.criteria}
    points[BEHAVIOUR] = score.engagement
    return Said(
        {
            "decision_id": _decision_id(lead.id, ruleset.revision, cause, scored.now, activity),
            "lead_id": lead.id,
            "decided_at": to_text(scored.now),
            "cause": cause,
            "reference": None
            if activity is None
            else {"source": activity.source, "id": activity.id, "type": activity.type},
            "rating": scored.rating,
            "grade": str(scored.grade),
            "route": routing.route,
            "queue": routing.queue,
            "respond_by": None if within is None else to_text(scored.now + within),
            "routing": {"rule": routing.id, "reason": routing.reason},
            "score": {"total": score.total, "fit": score.fit, "engagement": score.engagement},
            "criteria": dict(sorted(points.items())),
            "contributions": _contributions(scored, lead),
            "previous": None
            if last is None
            else {"rating": last.rating, "route": last.route, "score": last.score.total},
            "ruleset": {"name": ruleset.name, "revision": ruleset.revision},
        }
    )


def _contribution(
    criterion: str, rule: str, points: int, reason: str, evidence: Mapping[str, EvidenceValue]
) -> dict[str, Any]:
    return {"criterion": criterion, "rule": rule, "points": points, "reason": reason, "evidence": evidence}


def _decision_id(lead_id: str, revision: str, cause: Cause, now: int, activity: LeadActivity | None) -> str:
    trigger = str(now) if activity is None else activity.key
    digest = blake2b(digest_size=16)
    for part in (lead_id, revision, cause, trigger):
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(4, "big") + content)
    return digest.hexdigest()


def _evidence(names: tuple[str, ...], facts: Mapping[str, object]) -> dict[str, EvidenceValue]:
    found: dict[str, EvidenceValue] = {}
    for name in names:
        value = facts.get(name)
        if isinstance(value, (bool, int, str)):
            found[name] = value
        elif isinstance(value, float):
            found[name] = round(value, 2) if name.startswith("days_since.") else value
        elif isinstance(value, list):
            found[name] = [str(item) for item in value]
    return found


def _signal_evidence(signal: Signal, counts: Counts, today: int) -> dict[str, EvidenceValue]:
    counted = {day: count for day, count in days_counted(counts) if 0 <= today - day < len(signal.weights)}
    return {
        "count": sum(min(count, signal.daily_cap) for count in counted.values()),
        "first_day": day_to_text(min(counted)),
        "last_day": day_to_text(max(counted)),
    }
