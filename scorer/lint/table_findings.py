"""Findings about the rules of criteria and of routing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scorer.domain.score import Route
from scorer.lint.atoms import Domain
from scorer.lint.limits import Range, Reach, computed_domains, lead_domain, silent_after
from scorer.lint.reporter import Reporter
from scorer.lint.solver import Budget
from scorer.lint.space import Scoring, Space
from scorer.lint.tables import SAMPLES, Fate, Reachability, TableAnalysis
from scorer.lint.wording import never, one_of
from scorer.lint.written import constants, example
from scorer.rules.catalogue import LAST_ACTIVITY
from scorer.rules.condition import Condition, Test
from scorer.rules.language import CriterionSection, RulesetFile
from scorer.rules.ruleset import Criterion, HitPolicy, Ruleset
from scorer.rules.yaml_source import Path

_ENDS = (Fate.DEAD, Fate.SHADOWED)


@dataclass(frozen=True, slots=True)
class _Line:
    """A rule of any table. `result`: what a lead gets from the rule, apart from the rule's name."""

    id: str
    condition: Condition | None
    raw: Mapping[str, Any] | None
    path: Path
    result: object


@dataclass(frozen=True, slots=True)
class TableFindings:
    """Checks tables. `suspicious`: paths of conditions with a suspicious constant, whose effects are not reported."""

    ruleset: Ruleset
    file: RulesetFile
    reporter: Reporter
    budget: Budget
    suspicious: frozenset[Path]

    def criterion(self, criterion: Criterion, section: CriterionSection) -> Range:
        """Report on a criterion. Returns the points that it can give."""
        path: Path = ("scoring", criterion.name)
        lines = [
            _Line(r.id, r.condition, s.when, (*path, "rules", i), (r.points, s.reason))
            for i, (r, s) in enumerate(zip(criterion.rules, section.rules, strict=True))
        ]

        def domain(name: str) -> Domain:
            return lead_domain(name, self.ruleset.own_fields)

        first = criterion.hit_policy is HitPolicy.FIRST
        space = Space((line.condition for line in lines), domain)
        table = TableAnalysis([line.condition for line in lines], space, self.budget, first=first)
        reachabilities = table.reachability()
        self._fates(lines, reachabilities, domain, path)
        if first:
            self._gap(table, criterion, path)
            self._redundant(table, lines, reachabilities)
            pairs = zip(criterion.rules, reachabilities, strict=True)
            alive = [rule.points for rule, reachability in pairs if reachability.fate not in _ENDS]
            return _range([*alive, 0] if table.uncovered() or not alive else alive)
        self._double(table, lines, reachabilities)
        low, high = table.extremes([rule.points for rule in criterion.rules])
        self._caps(criterion, path, low, high)
        return _clipped(criterion, low), _clipped(criterion, high)

    def met(self, criterion: Criterion, section: CriterionSection, points: Range) -> None:
        """Report a criterion that never counts towards its group."""
        if criterion.group is None or points[1] >= criterion.met_at:
            return
        written = "met_at" in section.model_fields_set
        path: Path = ("scoring", criterion.name, "met_at") if written else ("scoring", criterion.name)
        message = (
            f"`{criterion.name}` is never met: it gives at most {points[1]} points, but counts towards "
            f"`groups.{criterion.group}.met` only from {criterion.met_at}"
        )
        self.reporter.report(path, "met-unreachable", message)

    def routing(self, reach: Reach) -> None:
        """Report on the routing rules."""
        computed = computed_domains(self.ruleset, reach)
        sections = self.file.routing or []
        lines = [
            _Line(r.id, r.condition, s.when, ("routing", i), (s.route, s.queue, r.respond_within, r.escalate, s.reason))
            for i, (r, s) in enumerate(zip(self.ruleset.routing, sections, strict=True))
        ]

        timed = any(LAST_ACTIVITY in rule.fields for rule in self.ruleset.routing)
        silent: Mapping[str, int] = silent_after(self.ruleset) if timed else {}

        def domain(name: str) -> Domain:
            known = computed[name] if name in computed else lead_domain(name, self.ruleset.own_fields)
            if name == LAST_ACTIVITY:
                return replace(known, cuts=tuple(sorted(set(silent.values()))))
            return replace(known, cuts=(*known.cuts, 0)) if name in silent else known

        scoring = Scoring(self.ruleset.ratings, self.ruleset.grades, reach.total)
        space = Space((line.condition for line in lines), domain, scoring, silent)
        table = TableAnalysis([line.condition for line in lines], space, self.budget)
        reachabilities = table.reachability()
        self._fates(lines, reachabilities, domain, ("routing",))
        self._redundant(table, lines, reachabilities)
        to_sales = [i for i, rule in enumerate(self.ruleset.routing) if rule.route is Route.SALES]
        if all(reachabilities[i].fate in _ENDS for i in to_sales):
            why = "no rule with `route: sales` can ever apply" if to_sales else "no rule has `route: sales`"
            self.reporter.report(("routing",), "no-sales", f"no lead is ever handed over to sales: {why}")

    def categories(self, reach: Reach) -> None:
        """Report on the categories of the base."""
        categories = self.ruleset.lifecycle.categories
        if not categories or self.file.lifecycle is None:
            return
        computed = computed_domains(self.ruleset, reach)
        path: Path = ("lifecycle", "categories")
        lines = [
            _Line(category.id, category.condition, section.when, (*path, index), category.id)
            for index, (category, section) in enumerate(zip(categories, self.file.lifecycle.categories, strict=True))
        ]

        def domain(name: str) -> Domain:
            return computed[name] if name in computed else lead_domain(name, self.ruleset.own_fields)

        scoring = Scoring(self.ruleset.ratings, self.ruleset.grades, reach.total)
        conditions = [line.condition for line in lines]
        table = TableAnalysis(conditions, Space(conditions, domain, scoring, {}), self.budget)
        self._fates(lines, table.reachability(), domain, path, noun=("category", "categories"))

    def _fates(
        self,
        lines: Sequence[_Line],
        reachabilities: Sequence[Reachability],
        domain: Callable[[str], Domain],
        path: Path,
        noun: tuple[str, str] = ("rule", "rules"),
    ) -> None:
        undecided = []
        for line, reachability in zip(lines, reachabilities, strict=True):
            if reachability.fate is Fate.UNDECIDED:
                undecided.append(line.id)
            if (*line.path, "when") in self.suspicious:
                continue
            if reachability.fate is Fate.DEAD:
                message = never(f"`{line.id}` can never apply", reachability.because, domain)
                place = place_of(line.raw, (*line.path, "when"), reachability.because)
                self.reporter.report(place, "never-fires", message)
            elif reachability.fate is Fate.SHADOWED:
                names = one_of([lines[i].id for i in reachability.by])
                if len(reachability.by) == 1:
                    cause = f"the earlier {noun[0]} {names} holds whenever it does"
                else:
                    cause = f"the earlier {noun[1]} {names} together cover it"
                message = f"`{line.id}` can never apply: {cause}"
                self.reporter.report((*line.path, "id"), "shadowed", message, of_value=True)
        if undecided:
            message = (
                f"`{path[-1]}` is too large to analyse for every lead; these {noun[1]} applied to none of up "
                f"to {SAMPLES:,} random leads: {one_of(undecided)}"
            )
            self.reporter.report(path, "undecided", message, level="info")

    def _gap(self, table: TableAnalysis, criterion: Criterion, path: Path) -> None:
        # A single rule marks some leads; that the others get 0 points is intended.
        if len(criterion.rules) < 2:
            return
        facts = table.gap()
        if facts is not None:
            message = f"a lead with {example(facts)} gets 0 points: no rule of `{criterion.name}` holds for it"
            self.reporter.report(path, "gap", message, level="info")

    def _redundant(self, table: TableAnalysis, lines: Sequence[_Line], reachabilities: Sequence[Reachability]) -> None:
        for i, (line, reachability) in enumerate(zip(lines, reachabilities, strict=True)):
            alike = [j for j in range(i + 1, len(lines)) if lines[j].result == line.result]
            if alike and reachability.fate not in _ENDS and table.removable(i, alike):
                message = f"`{line.id}` changes only the rule's name: without it, {_others(lines, alike)}"
                self.reporter.report((*line.path, "id"), "redundant", message, level="info", of_value=True)

    def _double(self, table: TableAnalysis, lines: Sequence[_Line], reachabilities: Sequence[Reachability]) -> None:
        for j, line in enumerate(lines):
            if reachabilities[j].fate in _ENDS:
                continue
            alive = (i for i in range(j) if reachabilities[i].fate not in _ENDS)
            twin = next((i for i in alive if table.same(i, j)), None)
            if twin is not None:
                where = self.reporter.line_of((*lines[twin].path, "id"), of_value=True)
                message = f"`{line.id}` holds for the same leads as `{lines[twin].id}` ({where}), and both give points"
                self.reporter.report((*line.path, "id"), "double", message, of_value=True)

    def _caps(self, criterion: Criterion, path: Path, low: int, high: int) -> None:
        if criterion.max is not None and high < criterion.max:
            message = f"`max: {criterion.max}` is never reached: the rules give at most {high} points together"
            self.reporter.report((*path, "max"), "cap-unreachable", message)
        if criterion.min is not None and low > criterion.min:
            message = f"`min: {criterion.min}` is never reached: the rules give at least {low} points together"
            self.reporter.report((*path, "min"), "cap-unreachable", message)


def place_of(raw: Mapping[str, Any] | None, path: Path, because: Sequence[Condition]) -> Path:
    """The path of the first comparison of the reason, or of the condition itself if that is not clear."""
    wanted = {(part.field, part.op) for part in because if isinstance(part, Test)}
    matching = (constant.path for constant in constants(raw or {}, path) if (constant.field, constant.op) in wanted)
    place = next(matching, path)
    # For a list, point to the comparison, not to its first value.
    return place[:-1] if isinstance(place[-1], int) else place


def _others(lines: Sequence[_Line], alike: Sequence[int]) -> str:
    return f"{one_of([lines[j].id for j in alike])} would apply with the same result"


def _range(points: Sequence[int]) -> Range:
    return min(points), max(points)


def _clipped(criterion: Criterion, points: int) -> int:
    high = points if criterion.max is None else min(points, criterion.max)
    return high if criterion.min is None else max(high, criterion.min)
