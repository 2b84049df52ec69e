"""Findings about rulesets under which a lead's state or a decision can become too large to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from scorer.evaluation.largest_decision import LargestDecision, largest_decision
from scorer.evaluation.largest_state import LargestState, largest_state
from scorer.evaluation.largest_value import text_size
from scorer.lint.reporter import Reporter
from scorer.lint.wording import one_of
from scorer.rules.finding import Finding
from scorer.rules.loader import Source
from scorer.rules.ruleset import Ruleset
from scorer.rules.yaml_source import Path

_SETTING: Final = "SCORER_MAX_RECORD_BYTES"
_RAISE: Final = f"raise {_SETTING} and run `scorer topics ensure`, which says what topics need more"
_NAMED: Final = 3
"""How many parts a message names at most."""


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
        _report_decision(ruleset, decision, others, limit, reporter)
    return sorted(reporter.findings, key=lambda finding: finding.position)


class _Part(NamedTuple):
    """A part of what is too large: its bytes, its words, what the author of the rules can do about it ("": nothing),
    and where."""

    size: int
    words: str
    advice: str = ""
    at: Path = ()


def _report_state(ruleset: Ruleset, state: LargestState, others: str, limit: int, reporter: Reporter) -> None:
    parts = [
        _Part(state.facts, f"the facts that every lead can have take {state.facts:,}"),
        _Part(state.rest, f"the rest takes {state.rest:,}"),
    ]
    if state.signals:
        names, size = _largest_first(state.signals, ruleset.signals), sum(state.signals.values())
        words = f"counts of {one_of(names)} {'takes' if len(names) == 1 else 'take'} {size:,}"
        advice = "lower `daily_cap`, write fewer signals"
        parts.append(_Part(size, words, advice, _place("signals", names, ruleset.signals)))
    if state.fields:
        names, size = _largest_first(state.fields, ruleset.own_fields), sum(state.fields.values())
        words = f"{one_of(names)} {'takes' if len(names) == 1 else 'take'} {size:,}"
        parts.append(_Part(size, words, "declare fewer `fields`", _place("fields", names, ruleset.own_fields)))
    _report(f"a lead's state{others}", "state-too-large", state.total, parts, limit, reporter)


def _report_decision(ruleset: Ruleset, decision: LargestDecision, others: str, limit: int, reporter: Reporter) -> None:
    parts = [_Part(decision.rest, f"the rest takes {decision.rest:,}")]
    for name, size in decision.criteria.items():
        advice = "write fewer rules, or rules that use fewer fields"
        parts.append(_Part(size, f"criterion `{name}` takes {size:,}", advice, ("scoring", name)))
    if ruleset.signals:
        size, at = decision.signals, ("signals", next(iter(ruleset.signals)))
        parts.append(_Part(size, f"signals take {size:,}", "write fewer signals", at))
    _report(f"a decision{others}", "decision-too-large", decision.total, parts, limit, reporter)


def _report(what: str, code: str, total: int, parts: Sequence[_Part], limit: int, reporter: Reporter) -> None:
    """Name the largest parts, the largest first, and what the author of the rules can do about the largest one that
    the rules decide."""
    ranked = sorted(parts, key=lambda part: -part.size)
    fixed = [part for part in ranked if not part.advice]
    if sum(part.size for part in fixed) > limit:
        named, changeable = f"{_listed(fixed, total)} alone", _Part(0, "")
    else:
        changeable = next(part for part in ranked if part.advice)
        shown = ranked[:_NAMED]
        named = _listed(shown if changeable in shown else [*shown[:-1], changeable], total)
    advice = f"{changeable.advice}, or " if changeable.advice else ""
    message = f"{what} can take {total:,} bytes; the limit is {limit:,} ({_SETTING}): {named}, so {advice}{_RAISE}"
    reporter.report(changeable.at, code, message, level="error")


def _listed(parts: Sequence[_Part], total: int) -> str:
    """The parts in words, without those that hardly count."""
    shown = [part.words for number, part in enumerate(parts) if number == 0 or part.size * 100 >= total]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


def _place(section: str, names: Sequence[str], own: Mapping[str, object]) -> Path:
    """The first of these entries that is written in these rules and not only in those beside them."""
    return next(((section, name) for name in names if name in own), ())


def _largest_first(sizes: Mapping[str, int], own: Mapping[str, object]) -> list[str]:
    """The names by their sizes; equal ones in the order in which the rules write them."""
    written = {name: place for place, name in enumerate((*own, *sorted(sizes.keys() - own.keys())))}
    # A name itself takes a few bytes, which say nothing about the entry.
    return sorted(sizes, key=lambda name: (text_size(len(name)) - sizes[name], written[name]))
