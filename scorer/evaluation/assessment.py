"""`assess`: what an activity makes of a lead. The one function that the service, `scorer score`, rule tests and
backtests call, so that what a person tries offline is what production does.

Pure: no clock, no I/O. A lead is judged as of its latest activity, so that a replay gives the same bytes.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import RoutingDecision
from scorer.domain.lead import Lead, Published
from scorer.domain.score import Rating, Route
from scorer.evaluation.contributions import Cause, decision
from scorer.evaluation.scoring import Scored, fit, score
from scorer.rules.ruleset import RoutingRule, Ruleset

ERASED = RoutingRule("erased", None, Route.DISCARD, None, None, "The person asked to be forgotten")
MERGED = RoutingRule("merged", None, Route.DISCARD, None, None, "Merged into another lead")


class Evaluation(NamedTuple):
    """What the rules make of a lead: its score, and the routing rule that applies."""

    scored: Scored
    routing: RoutingRule


@dataclass(slots=True)
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
        return () if self.evaluation is None else tuple(self.evaluation.scored.hits)

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
    if after.memo is None or after.memo.facts is not after.facts:
        after.memo = fit(after, ruleset)
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
    after = lead.publish(published)
    if after.facts is not lead.facts:  # handed over
        after.memo = fit(after, ruleset)
    return Assessment(after, evaluation, said)


def evaluate(lead: Lead, ruleset: Ruleset, now: int) -> Evaluation:
    """Score, rate, grade and route the lead as of `now` (microseconds since the epoch)."""
    scored = score(lead, ruleset, now)
    if lead.erased_at is not None and lead.is_erased:
        return Evaluation(scored, ERASED)
    return Evaluation(scored, MERGED if scored.judged.merged else scored.routing)


def _matched(scored: Scored) -> tuple[str, ...]:
    return tuple(sorted(rule.id for rated in scored.criteria for rule in rated.rules))


def _worth_publishing(last: Published | None, evaluation: Evaluation, ruleset: Ruleset) -> bool:
    if last is None or ruleset.publishing.always:
        return True
    scored, routing = evaluation
    score, rating, grade, _ = scored.standing
    if last.rating is not rating or last.route is not routing.route or last.queue != routing.queue:
        return True
    if last.grade != grade:
        return True
    (fit, engagement), before = score, last.score
    return abs(fit + engagement - before.fit - before.engagement) >= ruleset.publishing.score_step
