"""Why a lead goes where it goes: the routing rule that applied, with its condition, and those before it that did not.

The facts are put together anew here from what was scored, by the definitions in docs/rule-language.md; a property test
holds that the first rule which holds on them is the one that the service applied.
"""

from collections import Counter

from scorer.domain.instant import SECOND, day_of
from scorer.domain.lead import RETURNED, Lead
from scorer.evaluation.assessment import ERASED, MERGED, Evaluation
from scorer.evaluation.scoring import Scored
from scorer.evaluation.signal_points import signal_points
from scorer.explain.story_model import ConditionPart, RoutingPart, RoutingRulePart
from scorer.explain.wording import because, condition_part
from scorer.rules.ruleset import RoutingRule, Ruleset


def routing_part(lead: Lead, ruleset: Ruleset, evaluation: Evaluation) -> RoutingPart:
    """The routing of a lead that was evaluated so."""
    applied = evaluation.routing
    within = None if applied.respond_within is None else applied.respond_within / SECOND
    rest = {"respond_within_seconds": within}
    if applied.id in (ERASED.id, MERGED.id):
        first = {"condition": None, "because": "this comes before all routing rules"}
        none: dict[str, object] = {"passed_over": [], "not_asked": []}
        return RoutingPart.model_validate({**_rule(applied), **rest, **first, **none})
    facts = routing_facts(lead, ruleset, evaluation.scored)
    place = next(index for index, rule in enumerate(ruleset.routing) if rule.id == applied.id)
    parts = [_condition(rule, facts) for rule in ruleset.routing[: place + 1]]
    passed_over = [
        RoutingRulePart.model_validate({**_rule(rule), "condition": part, "because": because(part)})
        for rule, part in zip(ruleset.routing[:place], parts[:place], strict=True)
    ]
    return RoutingPart.model_validate(
        {
            **_rule(applied),
            **rest,
            "condition": parts[place],
            "because": because(parts[place]),
            "passed_over": passed_over,
            "not_asked": [rule.id for rule in ruleset.routing[place + 1 :]],
        }
    )


def routing_facts(lead: Lead, ruleset: Ruleset, scored: Scored) -> dict[str, object]:
    """What routing rules can ask for: the lead's facts and what was computed from them."""
    score = scored.score
    met = Counter({each.criterion.group: 0 for each in scored.criteria if each.criterion.group is not None})
    for rated in scored.criteria:
        if rated.criterion.group is not None:
            met[rated.criterion.group] += rated.points >= rated.criterion.met_at
    return {
        **scored.facts,
        "rating": scored.rating.value,
        "score.total": score.total,
        "score.fit": score.fit,
        "score.engagement": score.engagement,
        "score.since_return": _since_return(lead, scored),
        "grade.fit": scored.grade.fit,
        "grade.engagement": scored.grade.engagement,
        "criteria.behaviour": score.engagement,
        **{f"criteria.{each.criterion.name}": each.points for each in scored.criteria},
        **{f"signals.{name}": 0 for name in ruleset.signals},
        **{f"signals.{signal.id}": points for signal, points in scored.signals},
        **{f"groups.{group}.met": count for group, count in met.items()},
    }


def _since_return(lead: Lead, scored: Scored) -> int | None:
    returned = lead.facts.get(RETURNED)
    if returned is None:
        return None
    today, day = day_of(scored.now), day_of(returned.stamp.time)
    rules = (rule.points for rated in scored.criteria for rule in rated.rules if rule.id not in lead.seen)
    return sum(rules) + sum(signal_points(signal, lead.counted[signal.id], today, day) for signal, _ in scored.signals)


def _rule(rule: RoutingRule) -> dict[str, object]:
    return {"rule": rule.id, "route": rule.route, "queue": rule.queue, "reason": rule.reason}


def _condition(rule: RoutingRule, facts: dict[str, object]) -> ConditionPart | None:
    return None if rule.condition is None else condition_part(rule.condition, facts)
