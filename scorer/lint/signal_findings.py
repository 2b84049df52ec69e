"""Findings about signals that never give points."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from scorer.domain.activity import PAYLOADS, TYPE_PATTERN, TYPE_PREFIX
from scorer.lint.atoms import Domain
from scorer.lint.limits import field_domain
from scorer.lint.reporter import Reporter
from scorer.lint.solver import Budget
from scorer.lint.space import Space
from scorer.lint.table_findings import place_of
from scorer.lint.tables import Fate, TableAnalysis
from scorer.lint.wording import never
from scorer.rules.catalogue import SLIP, Catalogue, payload_fields
from scorer.rules.condition import Condition, FieldType, tests
from scorer.rules.language import RulesetFile
from scorer.rules.parse_condition import parse_condition
from scorer.rules.ruleset import ACTION, Ruleset
from scorer.rules.yaml_source import Path
from scorer.sources.tick import TICK_TYPE


def unused_signals(
    ruleset: Ruleset, file: RulesetFile, reporter: Reporter, budget: Budget, suspicious: frozenset[Path]
) -> frozenset[str]:
    """Report signals that never count or give 0 points. Returns those that never count."""
    uncounted = set()
    for name, signal in ruleset.signals.items():
        path: Path = ("signals", name)
        if signal.points == 0:
            message = f"`{name}` gives 0 points, so it affects no decision"
            reporter.report((*path, "points"), "unused-signal", message)
        for problem in _problems(name, signal.activity, file.signals[name].where, path, budget, suspicious):
            if problem.is_certain:
                uncounted.add(name)
            if problem.message is not None:
                reporter.report(problem.path, "unused-signal", problem.message, of_value=problem.of_value)
    return frozenset(uncounted)


def unused_actions(
    ruleset: Ruleset, file: RulesetFile, reporter: Reporter, budget: Budget, suspicious: frozenset[Path]
) -> None:
    """Report sales actions that never count."""
    sections = {} if file.lifecycle is None else file.lifecycle.actions
    for name, section in sections.items():
        activity = ruleset.lifecycle.actions[f"{ACTION}{name}"].activity
        path: Path = ("lifecycle", "actions", name)
        for problem in _problems(name, activity, section.where, path, budget, suspicious):
            if problem.message is not None:
                reporter.report(problem.path, "unused-action", problem.message, of_value=problem.of_value)


class _Problem(NamedTuple):
    """Why something probably counts nothing. `is_certain`: it never does. `message`: None if another finding tells
    it."""

    path: Path
    message: str | None
    of_value: bool
    is_certain: bool


def _problems(
    name: str, activity: str, where: Mapping[str, Any] | None, path: Path, budget: Budget, suspicious: frozenset[Path]
) -> Iterator[_Problem]:
    """What is wrong with a signal or action, whose section is at `path`."""
    certain = _never_counted(activity)
    slip = mistyped(activity)
    problem = certain or (None if slip is None else f"counts {slip}")
    if problem is not None:
        yield _Problem((*path, "activity"), f"`{name}` {problem}", of_value=True, is_certain=certain is not None)
    if where is None:
        return
    fields = payload_fields(activity)
    at: Path = (*path, "where")
    condition = parse_condition(where, at, fields, lambda *_: None)
    domain = _domains(fields, condition)
    reachability = TableAnalysis([condition], Space([condition], domain), budget).reachability()[0]
    if reachability.fate is Fate.DEAD:
        message = None if at in suspicious else never(f"`{name}` never counts", reachability.because, domain)
        yield _Problem(place_of(where, at, reachability.because), message, of_value=False, is_certain=True)


def _domains(fields: Catalogue | None, condition: Condition) -> Callable[[str], Domain]:
    if fields is not None:
        return lambda name: field_domain(fields[name])
    # A custom activity may hold any key. A comparison treats a value of another type as unknown.
    types: dict[str, FieldType] = {test.field: test.type for test in tests(condition)}
    return lambda name: Domain(types[name])


def _never_counted(activity: str) -> str | None:
    if activity == "lead.erased":
        return "never counts: an erasure deletes all counts of its day"
    if activity == TICK_TYPE:
        return "never counts: a tick of this service brings time and is no activity of a lead"
    if not re.fullmatch(TYPE_PATTERN, activity):
        return f"never counts: `{activity}` is not an activity type; use lower-case letters, digits, `_` and dots"
    return None


def mistyped(activity: str) -> str | None:
    """What the type is if it looks like a built-in one with a slip; None if it does not. Completes a sentence."""
    if activity in PAYLOADS:
        return None
    close = get_close_matches(activity, list(PAYLOADS), n=1, cutoff=SLIP)
    if close:
        return f"`{activity}`, a custom activity type; did you mean {close[0].removeprefix(TYPE_PREFIX)}?"
    return None
