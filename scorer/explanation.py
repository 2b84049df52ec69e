"""Why: every point with its rule and evidence, and the decision that carries them. Pure."""

from hashlib import blake2b
from typing import Literal

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import (
    Contribution,
    EvidenceValue,
    Previous,
    Reference,
    Routing,
    RoutingDecision,
    RulesetReference,
    ScoreView,
)
from scorer.domain.instant import day_of, day_to_text, to_text
from scorer.domain.lead import Counts, Lead
from scorer.rules.ruleset import BEHAVIOUR, RoutingRule, Ruleset, Signal
from scorer.rules.signal_points import days_counted
from scorer.scoring import Scored

Cause = Literal["activity", "time", "rules_changed"]


def contributions(scored: Scored, lead: Lead) -> list[Contribution]:
    """Every point and why, the strongest first. The points add up to the total score."""
    found = [
        Contribution(criterion, rule, points, text, _evidence(fields, scored))
        for criterion, rule, points, text, fields in scored.judged.reasons
    ]
    today = day_of(scored.now)
    for signal, points in scored.signals:
        evidence = _signal_evidence(signal, lead.counted[signal.id], today)
        found.append(Contribution(BEHAVIOUR, signal.id, points, signal.reason, evidence))
    found.sort(key=_strongest_first)
    return found


def _strongest_first(contribution: Contribution) -> tuple[int, str, str]:
    return -abs(contribution.points), contribution.criterion, contribution.rule


def decision(
    lead: Lead, ruleset: Ruleset, scored: Scored, routing: RoutingRule, cause: Cause, activity: LeadActivity | None
) -> RoutingDecision:
    """The decision about a lead that was scored and routed so."""
    score, last, within = scored.score, lead.published, routing.respond_within
    return RoutingDecision(
        decision_id=_decision_id(lead.id, ruleset.revision, cause, scored.now, activity),
        lead_id=lead.id,
        decided_at=to_text(scored.now),
        cause=cause,
        reference=None if activity is None else Reference(activity.source, activity.id, activity.type),
        rating=scored.rating,
        grade=str(scored.grade),
        route=routing.route,
        queue=routing.queue,
        respond_by=None if within is None else to_text(scored.now + within),
        routing=Routing(routing.id, routing.reason),
        score=ScoreView(score.total, score.fit, score.engagement),
        criteria={**scored.judged.by_criterion, BEHAVIOUR: score.engagement},
        contributions=contributions(scored, lead),
        previous=None if last is None else Previous(last.rating, last.route, last.score.total),
        ruleset=RulesetReference(ruleset.name, ruleset.revision),
    )


def _decision_id(lead_id: str, revision: str, cause: Cause, now: int, activity: LeadActivity | None) -> str:
    trigger = str(now) if activity is None else activity.key
    digest = blake2b(digest_size=16)
    for part in (lead_id, revision, cause, trigger):
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(4, "big") + content)
    return digest.hexdigest()


def _evidence(names: tuple[str, ...], scored: Scored) -> dict[str, EvidenceValue]:
    found: dict[str, EvidenceValue] = {}
    for name in names:
        value = scored.value(name)
        if isinstance(value, (bool, int, str)):
            found[name] = value
        elif isinstance(value, float):
            found[name] = round(value, 2) if name.startswith("days_since.") else value
        elif isinstance(value, list):
            found[name] = [str(item) for item in value]
    return found


def _signal_evidence(signal: Signal, counts: Counts, today: int) -> dict[str, EvidenceValue]:
    cap, window = signal.daily_cap, len(signal.weights)
    days = [each for each in days_counted(counts) if 0 <= today - each[0] < window]
    total = 0
    for _, count in days:
        total += count if count < cap else cap
    return {"count": total, "first_day": day_to_text(days[0][0]), "last_day": day_to_text(days[-1][0])}
