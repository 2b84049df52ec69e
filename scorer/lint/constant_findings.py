"""Findings about single constants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from scorer.lint.atoms import Domain
from scorer.lint.limits import field_domain, lead_domain
from scorer.lint.reporter import Reporter
from scorer.lint.suspicious import differing_case, doubt
from scorer.lint.written import Constant, constants
from scorer.rules.catalogue import LEAD_FIELDS, payload_fields
from scorer.rules.language import RulesetFile
from scorer.rules.ruleset import Ruleset
from scorer.rules.yaml_source import Path

DomainOf = Callable[[str], Domain | None]


def doubtful_constants(ruleset: Ruleset, file: RulesetFile, reporter: Reporter) -> frozenset[Path]:
    """Report what is doubtful; returns the paths of the conditions with such constants."""

    def of_lead(name: str) -> Domain | None:
        known = name in ruleset.own_fields or name in LEAD_FIELDS
        return lead_domain(name, ruleset.own_fields) if known else None

    doubted = {_of_condition(path) for path in _doubted(list(_lead_constants(file)), of_lead, reporter)}
    for name, signal in ruleset.signals.items():
        where = file.signals[name].where
        if where is not None:
            fields = payload_fields(signal.activity) or {}
            domains = {name: field_domain(field) for name, field in fields.items()}
            path: Path = ("signals", name, "where")
            doubted |= {_of_condition(each) for each in _doubted(constants(where, path), domains.get, reporter)}
    return frozenset(doubted)


def _lead_constants(file: RulesetFile) -> Iterator[Constant]:
    for name, criterion in file.scoring.items():
        for index, rule in enumerate(criterion.rules):
            yield from _of(rule.when, ("scoring", name, "rules", index, "when"))
    for index, route in enumerate(file.routing or ()):
        yield from _of(route.when, ("routing", index, "when"))


def _of(raw: Mapping[str, Any] | None, path: Path) -> Iterator[Constant]:
    return iter(()) if raw is None else constants(raw, path)


def _doubted(found: Iterable[Constant], domain_of: DomainOf, reporter: Reporter) -> Iterator[Path]:
    found = list(found)
    sound = []
    for constant in found:
        domain = domain_of(constant.field)
        problem = None if domain is None else doubt(constant, domain)
        if problem is None:
            sound.append(constant)
        else:
            reporter.report(constant.path, "suspicious-constant", problem, of_value=True)
            yield constant.path
    for constant, first in differing_case(sound):
        where = reporter.line_of(first.path, of_value=True)
        message = (
            f"`{constant.field}` is compared with `{constant.value}` here and with `{first.value}` in {where}; "
            "upper and lower case are different text"
        )
        reporter.report(constant.path, "suspicious-constant", message, of_value=True)


def _of_condition(path: Path) -> Path:
    end = max(path.index(key) for key in ("when", "where") if key in path)
    return path[: end + 1]
