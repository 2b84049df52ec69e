"""`assess`: what an activity makes of a lead. The one function that the service, `scorer score`, rule tests and
backtests call, so that what a person tries offline is what production does.

Pure: no clock, no I/O. A lead is judged as of its latest activity, so that a replay gives the same bytes.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import RoutingDecision
from scorer.domain.instant import day_of
from scorer.domain.lead import RETURNED, Lead, Published
from scorer.domain.score import Rating, Route
from scorer.explanation import Cause, decision
from scorer.rules.ruleset import BEHAVIOUR, RoutingRule, Ruleset
from scorer.scoring import Scored, fit, score, signal_points

ERASED = RoutingRule("erased", None, Route.DISCARD, None, None, "The person asked to be forgotten")
MERGED = RoutingRule("merged", None, Route.DISCARD, None, None, "Merged into another lead")


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
    after = after.remember(fit(after, ruleset))
    if after.was_returned_by(activity):
        after = replace(after, seen=_matched(score(after, ruleset, after.clock)))
    return reassess(after, ruleset, after.clock, "activity", activity)


def reassess(lead: Lead, ruleset: Ruleset, now: int, cause: Cause, activity: LeadActivity | None = None) -> Assessment:
    """Judge the lead as of `now` (microseconds since the epoch), and publish what the ruleset's policy says."""
    evaluation = evaluate(lead, ruleset, now)
    if not _worth_publishing(lead.published, evaluation, ruleset):
        return Assessment(lead, evaluation)
    scored, routing = evaluation
    published = Published(scored.rating, scored.grade, routing.route, routing.queue, scored.score, scored.now)
    said = decision(lead, ruleset, scored, routing, cause, activity)
    return Assessment(lead.publish(published), evaluation, said)


def evaluate(lead: Lead, ruleset: Ruleset, now: int) -> Evaluation:
    """Score, rate, grade and route the lead as of `now` (microseconds since the epoch)."""
    scored = score(lead, ruleset, now)
    return Evaluation(scored, _route(lead, ruleset, scored))


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
    facts.update(ruleset.unfired_signals)
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
