"""Why a lead goes where it goes: the routing rule that applied, with its condition, and the rules before it that did
not hold.

A property test shows that the service applied the first rule that holds for the facts reported here.
"""

from collections.abc import Mapping

from scorer.domain.instant import SECOND
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Evaluation
from scorer.evaluation.routing import ERASED, MERGED
from scorer.explain.story_model import ConditionPart, RoutingPart, RoutingRulePart
from scorer.explain.wording import because, condition_part
from scorer.rules.ruleset import RoutingRule


def routing_part(evaluator: Evaluator, evaluation: Evaluation) -> RoutingPart:
    """The routing of a lead with this evaluation."""
    applied, rules = evaluation.routing, evaluator.ruleset.routing
    within = None if applied.respond_within is None else applied.respond_within / SECOND
    in_business_time = within is not None and evaluator.ruleset.calendar is not None
    rest = {"respond_within_seconds": within, "in_business_time": in_business_time}
    if applied.id in (ERASED.id, MERGED.id):
        first = {"condition": None, "because": "this is decided before all routing rules"}
        none: dict[str, object] = {"passed_over": [], "not_asked": []}
        return RoutingPart.model_validate({**_rule(applied), **rest, **first, **none})
    facts = evaluator.routing_facts(evaluation)
    place = next(index for index, rule in enumerate(rules) if rule.id == applied.id)
    parts = [_condition(rule, facts) for rule in rules[: place + 1]]
    passed_over = [
        RoutingRulePart.model_validate({**_rule(rule), "condition": part, "because": because(part)})
        for rule, part in zip(rules[:place], parts[:place], strict=True)
    ]
    return RoutingPart.model_validate(
        {
            **_rule(applied),
            **rest,
            "condition": parts[place],
            "because": because(parts[place]),
            "passed_over": passed_over,
            "not_asked": [rule.id for rule in rules[place + 1 :]],
        }
    )


def _rule(rule: RoutingRule) -> dict[str, object]:
    return {"rule": rule.id, "route": rule.route, "queue": rule.queue, "reason": rule.reason}


def _condition(rule: RoutingRule, facts: Mapping[str, object]) -> ConditionPart | None:
    return None if rule.condition is None else condition_part(rule.condition, facts)
