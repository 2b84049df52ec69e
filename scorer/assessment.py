"""`assess`: what an activity makes of a lead. The one function that the service, `scorer score`, rule tests and
backtests call, so that what a person tries offline is what production does.

Pure: no clock, no I/O. A lead is judged as of its latest activity, so that a replay gives the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import copysign, floor, fsum
from typing import Literal, NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import (
    Contribution,
    EvidenceValue,
    Previous,
    Reference,
    RoutingDecision,
    RulesetReference,
    ScoreView,
)
from scorer.domain.decision import Routing as RoutingView
from scorer.domain.instant import day_of, day_to_text, to_text
from scorer.domain.lead import MILESTONES, RETURNED, Days, Lead, Published, days_between
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.rules.ruleset import BEHAVIOUR, Criterion, RoutingRule, Ruleset, ScoringRule, Signal

Cause = Literal["activity", "time", "rules_changed"]

ERASED = RoutingRule("erased", None, Route.DISCARD, None, None, "The person asked to be forgotten")
MERGED = RoutingRule("merged", None, Route.DISCARD, None, None, "Merged into another lead")


class Rated(NamedTuple):
    """A criterion with the rules that matched and its points, limits applied."""

    criterion: Criterion
    rules: tuple[ScoringRule, ...]
    points: int


class Scored(NamedTuple):
    """What the scoring makes of a lead as of an instant (`now`, microseconds since the epoch)."""

    now: int
    facts: Mapping[str, object]
    criteria: tuple[Rated, ...]
    signals: tuple[tuple[Signal, int], ...]
    score: Score
    rating: Rating
    grade: Grade


class Evaluation(NamedTuple):
    """What the rules make of a lead: its score, and the routing rule that applies."""

    scored: Scored
    routing: RoutingRule


@dataclass(frozen=True, slots=True)
class Assessment:
    """The lead after an activity and what there is to say about it.

    `lead` is the very state before where nothing changed; then there is no `evaluation`. `decision` is None where there
    is nothing to publish.
    """

    lead: Lead
    evaluation: Evaluation | None = None
    decision: RoutingDecision | None = None

    @property
    def hits(self) -> tuple[tuple[str, str], ...]:
        """(criterion, rule) of every rule and signal that gave points or matched."""
        if self.evaluation is None:
            return ()
        scored = self.evaluation.scored
        rules = [(rated.criterion.name, rule.id) for rated in scored.criteria for rule in rated.rules]
        return (*rules, *((BEHAVIOUR, signal.id) for signal, _ in scored.signals))

    @property
    def transition(self) -> tuple[Rating, Rating] | None:
        """(from, to) where the published rating changed."""
        decision = self.decision
        if decision is None or decision.previous is None or decision.previous.rating is decision.rating:
            return None
        return decision.previous.rating, decision.rating


def assess(lead: Lead, activity: LeadActivity, ruleset: Ruleset) -> Assessment:
    """Apply the activity to the lead and judge it."""
    after = lead.apply(activity, ruleset.hits(activity))
    if after is lead:
        return Assessment(lead)
    if after.was_returned_by(activity):
        after = replace(after, seen=_matched(score(after, ruleset, after.clock)))
    return reassess(after, ruleset, after.clock, "activity", activity)


def reassess(lead: Lead, ruleset: Ruleset, now: int, cause: Cause, activity: LeadActivity | None = None) -> Assessment:
    """Judge the lead as of `now` (microseconds since the epoch), and publish what the ruleset's policy says."""
    evaluation = evaluate(lead, ruleset, now)
    if not _worth_publishing(lead.published, evaluation, ruleset):
        return Assessment(lead, evaluation)
    decision = _decision(lead, ruleset, evaluation, cause, activity)
    scored, routing = evaluation
    published = Published(scored.rating, scored.grade, routing.route, routing.queue, scored.score, scored.now)
    return Assessment(lead.publish(published), evaluation, decision)


def evaluate(lead: Lead, ruleset: Ruleset, now: int) -> Evaluation:
    """Score, rate, grade and route the lead as of `now` (microseconds since the epoch)."""
    scored = score(lead, ruleset, now)
    return Evaluation(scored, _route(lead, ruleset, scored))


def score(lead: Lead, ruleset: Ruleset, now: int) -> Scored:
    """Score, rate and grade the lead as of `now` (microseconds since the epoch)."""
    facts = _facts(lead, now)
    match = ruleset.engine.match
    criteria = []
    fit = 0
    for criterion in ruleset.criteria:
        matched = match(criterion.table, criterion.table.encode(facts))
        rules = tuple(criterion.rules[index] for index in matched)
        points = _limited(sum(rule.points for rule in rules), criterion.min, criterion.max)
        criteria.append(Rated(criterion, rules, points))
        fit += points
    today = day_of(now)
    signals = []
    engagement = 0
    for signal in ruleset.signals:
        days = lead.signals.get(signal.id)
        points = signal_points(signal, days, today) if days else 0
        if points:
            signals.append((signal, points))
            engagement += points
    total = Score(fit, engagement)
    rating = ruleset.ratings.rate(total.total, None if lead.published is None else lead.published.rating)
    return Scored(now, facts, tuple(criteria), tuple(signals), total, rating, ruleset.grades.grade(total))


def signal_points(signal: Signal, days: Days, today: int, after_day: int | None = None) -> int:
    """Whole points of a signal as of UTC day `today`; with `after_day` only of what was counted after that day.

    Each day gives min(count, daily_cap) x points x 0.5 ** (age in days / half_life); the sum, limited to max_points,
    is rounded half away from zero.
    """
    oldest = today - signal.window
    terms = []
    for day, counted in days.items():
        if not oldest < day <= today or (after_day is not None and day <= after_day):
            continue
        term: float = min(len(counted), signal.daily_cap) * signal.points
        terms.append(term if signal.half_life is None else term * 0.5 ** ((today - day) / signal.half_life))
    # fsum: the result must not depend on the order in which the days were first seen.
    total = fsum(terms)
    if signal.max_points is not None:
        total = max(-signal.max_points, min(signal.max_points, total))
    return int(copysign(floor(abs(total) + 0.5), total))


def contributions(scored: Scored, lead: Lead) -> list[Contribution]:
    """Every point and why, the strongest first. The points add up to the total score."""
    found = []
    for rated in scored.criteria:
        name = rated.criterion.name
        for rule in rated.rules:
            evidence = _evidence(rule.fields, scored.facts)
            found.append(
                Contribution(criterion=name, rule=rule.id, points=rule.points, reason=rule.reason, evidence=evidence)
            )
        excess = rated.points - sum(rule.points for rule in rated.rules)
        if excess:
            limit = rated.criterion.max if excess < 0 else rated.criterion.min
            reason = f"{name} gives at {'most' if excess < 0 else 'least'} {limit} points"
            found.append(Contribution(criterion=name, rule="cap", points=excess, reason=reason, evidence={}))
    today = day_of(scored.now)
    for signal, points in scored.signals:
        evidence = _signal_evidence(signal, lead.signals[signal.id], today)
        found.append(
            Contribution(criterion=BEHAVIOUR, rule=signal.id, points=points, reason=signal.reason, evidence=evidence)
        )
    return sorted(found, key=lambda each: (-abs(each.points), each.criterion, each.rule))


def _facts(lead: Lead, now: int) -> dict[str, object]:
    facts = {name: fact.value for name, fact in lead.facts.items()}
    facts["days_since.last_activity"] = days_between(lead.clock, now)
    for name in MILESTONES:
        happened = lead.facts.get(f"at.{name}")
        if happened is not None:
            facts[f"days_since.{name}"] = days_between(happened.stamp.time, now)
    return facts


def _route(lead: Lead, ruleset: Ruleset, scored: Scored) -> RoutingRule:
    if lead.is_erased:
        return ERASED
    if lead.value("lifecycle.merged_into") is not None:
        return MERGED
    facts = _routing_facts(lead, ruleset, scored)
    matched = ruleset.engine.match(ruleset.routing_table, ruleset.routing_table.encode(facts))
    return ruleset.routing[matched[0]]


def _routing_facts(lead: Lead, ruleset: Ruleset, scored: Scored) -> dict[str, object]:
    facts = dict(scored.facts)
    facts["rating"] = scored.rating.value
    facts["score.total"] = scored.score.total
    facts["score.fit"] = scored.score.fit
    facts["score.engagement"] = facts["criteria.behaviour"] = scored.score.engagement
    facts["grade.fit"], facts["grade.engagement"] = scored.grade
    met: dict[str, int] = {}
    for criterion, _, points in scored.criteria:
        facts[f"criteria.{criterion.name}"] = points
        if criterion.group is not None:
            met[criterion.group] = met.get(criterion.group, 0) + (points >= criterion.met_at)
    for group, count in met.items():
        facts[f"groups.{group}.met"] = count
    for signal in ruleset.signals:
        facts[f"signals.{signal.id}"] = 0
    for signal, points in scored.signals:
        facts[f"signals.{signal.id}"] = points
    if "score.since_return" in ruleset.routing_fields:
        facts["score.since_return"] = _since_return(lead, scored)
    return facts


def _since_return(lead: Lead, scored: Scored) -> int | None:
    """Points that rest on evidence sales did not have when it returned the lead; None if it never did.

    Rules count that did not hold then, so that an answer sent again is nothing new; signals count from the day after
    the return (counts are kept by the day).
    """
    returned = lead.facts.get(RETURNED)
    if returned is None:
        return None
    rules = (rule.points for rated in scored.criteria for rule in rated.rules if rule.id not in lead.seen)
    today, day = day_of(scored.now), day_of(returned.stamp.time)
    behaviour = (signal_points(signal, lead.signals[signal.id], today, day) for signal, _ in scored.signals)
    return sum(rules) + sum(behaviour)


def _matched(scored: Scored) -> tuple[str, ...]:
    return tuple(sorted(rule.id for rated in scored.criteria for rule in rated.rules))


def _worth_publishing(last: Published | None, evaluation: Evaluation, ruleset: Ruleset) -> bool:
    if last is None or ruleset.publishing.always:
        return True
    scored, routing = evaluation
    if (last.rating, last.route, last.queue) != (scored.rating, routing.route, routing.queue):
        return True
    if last.grade != scored.grade:
        return True
    return abs(scored.score.total - last.score.total) >= ruleset.publishing.score_step


def _decision(
    lead: Lead, ruleset: Ruleset, evaluation: Evaluation, cause: Cause, activity: LeadActivity | None
) -> RoutingDecision:
    scored, routing = evaluation
    score, last = scored.score, lead.published
    within = routing.respond_within
    points = {rated.criterion.name: rated.points for rated in scored.criteria}
    points[BEHAVIOUR] = score.engagement
    return RoutingDecision(
        decision_id=_decision_id(lead.id, ruleset.revision, cause, scored.now, activity),
        lead_id=lead.id,
        decided_at=to_text(scored.now),
        cause=cause,
        reference=None if activity is None else Reference(source=activity.source, id=activity.id, type=activity.type),
        rating=scored.rating,
        grade=str(scored.grade),
        route=routing.route,
        queue=routing.queue,
        respond_by=None if within is None else to_text(scored.now + within),
        routing=RoutingView(rule=routing.id, reason=routing.reason),
        score=ScoreView(total=score.total, fit=score.fit, engagement=score.engagement),
        criteria=dict(sorted(points.items())),
        contributions=contributions(scored, lead),
        previous=None if last is None else Previous(rating=last.rating, route=last.route, score=last.score.total),
        ruleset=RulesetReference(name=ruleset.name, revision=ruleset.revision),
    )


def _decision_id(lead_id: str, revision: str, cause: Cause, now: int, activity: LeadActivity | None) -> str:
    trigger = str(now) if activity is None else activity.key
    digest = blake2b(digest_size=16)
    for part in (lead_id, revision, cause, trigger):
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(4, "big") + content)
    return digest.hexdigest()


def _limited(points: int, low: int | None, high: int | None) -> int:
    if high is not None and points > high:
        return high
    return low if low is not None and points < low else points


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


def _signal_evidence(signal: Signal, days: Days, today: int) -> dict[str, EvidenceValue]:
    counted = {day: len(hashes) for day, hashes in days.items() if today - signal.window < day <= today}
    return {
        "count": sum(min(count, signal.daily_cap) for count in counted.values()),
        "first_day": day_to_text(min(counted)),
        "last_day": day_to_text(max(counted)),
    }
