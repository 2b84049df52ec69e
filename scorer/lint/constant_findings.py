"""Findings about single constants."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from scorer.domain.lifecycle import STAGE, STAGE_NAME
from scorer.lint.atoms import Domain
from scorer.lint.limits import field_domain, lead_domain
from scorer.lint.reporter import Reporter
from scorer.lint.suspicious import WHOLE, differing_case, suspicion
from scorer.lint.written import Constant, constants
from scorer.rules.catalogue import LEAD_FIELDS, payload_fields, suggestion
from scorer.rules.language import RulesetFile
from scorer.rules.ruleset import ACTION, Phase, Ruleset
from scorer.rules.yaml_source import Path

DomainOf = Callable[[str], Domain | None]


def suspicious_constants(ruleset: Ruleset, file: RulesetFile, reporter: Reporter) -> frozenset[Path]:
    """Report suspicious constants. Returns the paths of the conditions that hold one."""

    def of_lead(name: str) -> Domain | None:
        known = name in ruleset.own_fields or name in LEAD_FIELDS
        return lead_domain(name, ruleset.own_fields) if known else None

    of_leads = list(_lead_constants(file))
    suspicious = {_of_condition(path) for path in _suspicious(of_leads, of_lead, reporter)}
    _stages_without_phase((STAGE_NAME,), of_leads, ruleset.lifecycle.phases, reporter)
    for activity, where, path in _counting(ruleset, file):
        if where is not None:
            if activity == STAGE:
                _stages_without_phase(("stage", "previous"), constants(where, path), ruleset.lifecycle.phases, reporter)
            fields = payload_fields(activity) or {}
            domains = {field: field_domain(definition) for field, definition in fields.items()}
            suspects = _suspicious(constants(where, path), domains.get, reporter)
            suspicious |= {_of_condition(suspect) for suspect in suspects}
    return frozenset(suspicious)


def _stages_without_phase(
    fields: Collection[str], written: Iterable[Constant], phases: Mapping[str, Phase], reporter: Reporter
) -> None:
    for constant in written:
        if constant.field in fields and constant.op in WHOLE and phases and constant.value not in phases:
            hint = suggestion(str(constant.value), phases)
            message = f"`{constant.field}` is compared with `{constant.value}`, a stage that is in no phase{hint}"
            reporter.report(constant.path, "suspicious-constant", message, of_value=True)


def _counting(ruleset: Ruleset, file: RulesetFile) -> Iterator[tuple[str, Mapping[str, Any] | None, Path]]:
    """What signals and actions count: the type of activity, the condition on its data, and the path of that."""
    for name, signal in ruleset.signals.items():
        yield signal.activity, file.signals[name].where, ("signals", name, "where")
    for name, action in ({} if file.lifecycle is None else file.lifecycle.actions).items():
        activity = ruleset.lifecycle.actions[f"{ACTION}{name}"].activity
        yield activity, action.where, ("lifecycle", "actions", name, "where")


def _lead_constants(file: RulesetFile) -> Iterator[Constant]:
    for name, criterion in file.scoring.items():
        for index, rule in enumerate(criterion.rules):
            yield from _of(rule.when, ("scoring", name, "rules", index, "when"))
    for index, route in enumerate(file.routing or ()):
        yield from _of(route.when, ("routing", index, "when"))
    for index, category in enumerate(() if file.lifecycle is None else file.lifecycle.categories):
        yield from _of(category.when, ("lifecycle", "categories", index, "when"))


def _of(raw: Mapping[str, Any] | None, path: Path) -> Iterator[Constant]:
    return iter(()) if raw is None else constants(raw, path)


def _suspicious(written: Iterable[Constant], domain_of: DomainOf, reporter: Reporter) -> Iterator[Path]:
    sound = []
    for constant in list(written):
        domain = domain_of(constant.field)
        problem = None if domain is None else suspicion(constant, domain)
        if problem is None:
            sound.append(constant)
        else:
            reporter.report(constant.path, "suspicious-constant", problem, of_value=True)
            yield constant.path
    for constant, first in differing_case(sound):
        where = reporter.line_of(first.path, of_value=True)
        message = (
            f"`{constant.field}` is compared with `{constant.value}` here and with `{first.value}` in {where}; "
            "text comparisons are case-sensitive"
        )
        reporter.report(constant.path, "suspicious-constant", message, of_value=True)


def _of_condition(path: Path) -> Path:
    end = max(path.index(key) for key in ("when", "where") if key in path)
    return path[: end + 1]
