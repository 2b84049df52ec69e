"""Findings about the life of a lead: phases, escalations and targets that show nothing."""

from __future__ import annotations

from scorer.domain.score import Route
from scorer.lint.reporter import Reporter
from scorer.lint.wording import one_of
from scorer.rules.language import RoutingRuleSection, RulesetFile
from scorer.rules.ruleset import Phase


def doubtful_lifecycle(file: RulesetFile, reporter: Reporter) -> None:
    """Report them. Call this after the findings about routing."""
    _empty_phases(file, reporter)
    for index, rule in enumerate(file.routing or ()):
        _unseen_escalation(rule, index, reporter)
    if file.targets is not None and any(finding.code == "no-sales" for finding in reporter.findings):
        message = "no lead is ever handed over to sales, so none of the opportunities that are needed is ever produced"
        reporter.report(("targets",), "targets-without-sales", message)


def _empty_phases(file: RulesetFile, reporter: Reporter) -> None:
    phases = None if file.lifecycle is None else file.lifecycle.phases
    if phases is None:
        return
    names = [phase.value for phase in Phase]
    filled = [name for name in names if getattr(phases, name)]
    if not filled:
        return
    empty = [name for name in names[: names.index(filled[-1])] if name not in filled]
    if empty:
        message = (
            f"no stage is in the {'phase' if len(empty) == 1 else 'phases'} {one_of(empty)}, but `{filled[-1]}` has "
            "some; ratios between phases skip what has no stage"
        )
        reporter.report(("lifecycle", "phases"), "empty-phase", message)


def _unseen_escalation(rule: RoutingRuleSection, index: int, reporter: Reporter) -> None:
    if rule.route is not Route.SALES or not rule.escalate:
        return
    if all(step.queue in (None, rule.queue) for step in rule.escalate):
        own = "no queue" if rule.queue is None else f"its own queue `{rule.queue}`"
        message = (
            f"`{rule.id}` escalates to {own} every time, so nobody else hears of a broken promise; name another "
            "`queue`, or write `escalate: []`"
        )
        reporter.report(("routing", index, "escalate"), "unseen-escalation", message)
