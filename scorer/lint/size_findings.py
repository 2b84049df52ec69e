"""Findings about rulesets under which a lead's state or a decision can become too large to be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scorer.evaluation.largest_decision import largest_decision
from scorer.evaluation.largest_state import LargestState, largest_state
from scorer.lint.reporter import Reporter
from scorer.lint.wording import one_of
from scorer.rules.finding import Finding
from scorer.rules.loader import Source
from scorer.rules.ruleset import Ruleset
from scorer.rules.yaml_source import Path

_SETTING: Final = "SCORER_MAX_RECORD_BYTES"
_RAISE: Final = f"raise {_SETTING} and run `scorer topics ensure`, which says what topics need more"


def too_large(ruleset: Ruleset, source: Source, limit: int, beside: Ruleset | None = None) -> list[Finding]:
    """Errors about the ruleset if a state or a decision can have more than `limit` bytes. `beside`: the other ruleset
    of the service, live or shadow, because the state keeps the fields and signals of both."""
    reporter = Reporter(source)
    state, others = largest_state([ruleset]), ""
    if state.total <= limit and beside is not None:
        state, others = largest_state([ruleset, beside]), ", together with the rules that judge beside it,"
    if state.total > limit:
        _report_state(ruleset, state, others, limit, reporter)
    decision, others = largest_decision(ruleset), ""
    if decision.total <= limit and beside is not None:
        decision, others = (
            largest_decision(ruleset, beside),
            ", with the types of fields in the rules that judge beside it,",
        )
    if decision.total > limit:
        criteria = sorted(decision.criteria, key=decision.criteria.__getitem__, reverse=True)
        if criteria and decision.criteria[criteria[0]] >= decision.signals:
            most, part = f"criterion `{criteria[0]}` takes {decision.criteria[criteria[0]]:,}", ("scoring", criteria[0])
            advice = "write fewer rules, or rules that use fewer fields"
        else:
            most, part = f"signals take {decision.signals:,}", ("signals", next(iter(ruleset.signals)))
            advice = "write fewer signals"
        message = (
            f"a decision{others} can take {decision.total:,} bytes; the limit is {limit:,} ({_SETTING}): {most}, so "
            f"{advice}, or {_RAISE}"
        )
        reporter.report(part, "decision-too-large", message, level="error")
    return sorted(reporter.findings, key=lambda finding: finding.position)


def _report_state(ruleset: Ruleset, state: LargestState, others: str, limit: int, reporter: Reporter) -> None:
    """Name the part that takes most, and what the author of the rules can do about it."""
    signals, fields = sum(state.signals.values()), sum(state.fields.values())
    at: Path = ()
    if state.facts > limit:
        most, advice = f"the facts that every lead can have take {state.facts:,} alone", ""
    elif signals >= fields:
        verb = "takes" if len(state.signals) == 1 else "take"
        most = f"counts of {one_of(_largest_first(state.signals))} {verb} {signals:,}"
        advice = "lower `daily_cap`, write fewer signals, or "
        at = _place("signals", state.signals, ruleset.signals)
    else:
        verb = "takes" if len(state.fields) == 1 else "take"
        most = f"{one_of(_largest_first(state.fields))} {verb} {fields:,}"
        advice = "declare fewer `fields`, or "
        at = _place("fields", state.fields, ruleset.own_fields)
    message = (
        f"a lead's state{others} can take {state.total:,} bytes; the limit is {limit:,} ({_SETTING}): {most}, so "
        f"{advice}{_RAISE}"
    )
    reporter.report(at, "state-too-large", message, level="error")


def _place(section: str, sizes: Mapping[str, int], own: Mapping[str, object]) -> Path:
    """The largest entry that is written in these rules and not only in those beside them."""
    names = [name for name in _largest_first(sizes) if name in own]
    return (section, names[0]) if names else ()


def _largest_first(sizes: Mapping[str, int]) -> list[str]:
    return sorted(sizes, key=lambda name: (-sizes[name], name))
