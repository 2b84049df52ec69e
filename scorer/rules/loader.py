"""From rule files to a `Ruleset`: read, validate, merge, check. Pure: the caller passes the files as bytes."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from re import fullmatch
from typing import Any

from scorer.domain.activity import PAYLOADS, TYPE_PATTERN, TYPE_PREFIX
from scorer.domain.instant import DAY
from scorer.domain.score import Grades, Ratings
from scorer.domain.statements import stating_keys
from scorer.rules import calendar_text, duration, holiday_dates, zones
from scorer.rules.calendar import BusinessCalendar
from scorer.rules.catalogue import LEAD_FIELDS, Catalogue, Field, is_timed, payload_fields, suggestion
from scorer.rules.condition import Condition, Test, fields, tests
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.rules.language import (
    ActionSection,
    CalendarSection,
    CategorySection,
    CriterionSection,
    FitGrades,
    GradesSection,
    PublishSection,
    RescoreSection,
    RetentionSection,
    RoutingRuleSection,
    RuleSection,
    RulesetFile,
    SignalSection,
    fraction,
)
from scorer.rules.parse_condition import parse_condition
from scorer.rules.routing_facts import routing_catalogue, routing_facts
from scorer.rules.ruleset import (
    ACTION,
    ACTION_DAYS,
    ACTIONS_A_DAY,
    BEHAVIOUR,
    CAP,
    NO_LIFECYCLE,
    AllowedSources,
    Category,
    Criterion,
    HitPolicy,
    LifecycleRules,
    Phase,
    Publishing,
    Rescoring,
    Retention,
    RoutingRule,
    Ruleset,
    ScoringRule,
    Signal,
    Targets,
)
from scorer.rules.validation import rule_file
from scorer.rules.yaml_source import Document, Path, read

RESERVED_IDS = (CAP, "erased", "merged")
"""Rule ids that the service uses in its own explanations."""

MAX_CELLS = 1_000_000
"""Limit of comparisons times constants of one field in one table. At the limit a table takes seconds and 100 MB."""

_DEFAULT_GRADES = GradesSection(fit=FitGrades(A=45, B=30, C=15), engagement={1: 30, 2: 20, 3: 10})


RuleFiles = Mapping[str, bytes]
"""The content of a ruleset's files by path. All processes get the same content, even if the files change on disk."""


@dataclass(frozen=True, slots=True)
class Source:
    """The merged rule files as written. `position(path, of_value)` is the position of a section, a key or a value."""

    file: RulesetFile
    position: Callable[[Path, bool], Position]


def parse_ruleset(files: RuleFiles) -> Ruleset:
    """Read and check the rule files. Raises `RulesetError` with every mistake and its position."""
    return parse_with_source(files)[0]


def parse_with_source(files: RuleFiles) -> tuple[Ruleset, Source]:
    """Like `parse_ruleset`, but also returns the source of the ruleset."""
    if not files:
        raise RulesetError([Finding(Position("."), "no-files", "there is no rule file (*.yaml) here")])
    findings: list[Finding] = []
    parsed: list[tuple[Document, RulesetFile]] = []
    for name in sorted(files):
        try:
            document = read(name, files[name])
            parsed.append((document, rule_file(document)))
        except RulesetError as error:
            findings += error.findings
    if findings:
        # Checking incomplete files would only add findings that follow from these.
        raise RulesetError(findings)
    merged = _Merger(parsed).merge(findings)
    ruleset = _Checker(merged, findings).ruleset()
    if findings or ruleset is None:
        raise RulesetError(findings)
    return ruleset, merged


class _Merger:
    """Merges the sections of several files into one `RulesetFile` and remembers the file of each entry."""

    def __init__(self, parsed: Sequence[tuple[Document, RulesetFile]]) -> None:
        self._parsed = parsed
        self._owners: dict[Path, Document] = {}

    def merge(self, findings: list[Finding]) -> Source:
        sections: dict[str, Any] = {}
        for document, file in self._parsed:
            for name in file.model_fields_set:
                value = getattr(file, name)
                if isinstance(value, dict):
                    entries = sections.setdefault(name, {})
                    for key, entry in value.items():
                        self._claim((name, key), document, findings)
                        entries.setdefault(key, entry)
                elif value is not None:
                    self._claim((name,), document, findings)
                    sections.setdefault(name, value)
        return Source(RulesetFile.model_construct(**sections), self._position)

    def _claim(self, path: Path, document: Document, findings: list[Finding]) -> None:
        first = self._owners.setdefault(path, document)
        if first is not document:
            where = first.position(path)
            message = f"`{path[-1]}` is already defined in {where.file}:{where.line}"
            findings.append(Finding(document.position(path), "duplicate-key", message))

    def _position(self, path: Path, of_value: bool) -> Position:
        document = self._owners.get(path[:2]) or self._owners.get(path[:1]) or self._parsed[0][0]
        return document.position(path, of_value=of_value)


class _Checker:
    def __init__(self, merged: Source, findings: list[Finding]) -> None:
        self._file = merged.file
        self._position = merged.position
        self._findings = findings
        self._ids: dict[str, Path] = {}

    def ruleset(self) -> Ruleset | None:
        file = self._file
        own_fields = self._own_fields()
        lead_fields = {**LEAD_FIELDS, **own_fields}
        signals = [self._signal(name, section) for name, section in file.signals.items()]
        computed = routing_catalogue(routing_facts(file.scoring, file.signals))
        criteria = [self._criterion(name, c, lead_fields, computed) for name, c in file.scoring.items()]
        calendar = self._calendar()
        routing = self._routing({**lead_fields, **computed}, calendar)
        allowed = list(self._allowed_sources(own_fields))
        lifecycle = self._lifecycle({**lead_fields, **computed})
        targets = self._targets(calendar)
        for section in ("ruleset", "ratings"):
            if getattr(file, section) is None:
                self._report((), "missing-section", f"the section `{section}` is missing")
        if self._findings or file.ruleset is None or file.ratings is None:
            return None
        grades = file.grades or _DEFAULT_GRADES
        publish = file.publish or PublishSection()
        rescore = file.rescore or RescoreSection()
        return Ruleset(
            name=file.ruleset,
            revision=revision(file),
            signals={signal.id: signal for signal in signals},
            criteria=tuple(criteria),
            ratings=Ratings(file.ratings.warm, file.ratings.hot, file.ratings.hysteresis),
            grades=Grades(
                (grades.fit.A, grades.fit.B, grades.fit.C),
                (grades.engagement[1], grades.engagement[2], grades.engagement[3]),
            ),
            publishing=Publishing(publish.on == "activity", publish.score_step),
            routing=tuple(routing),
            own_fields=own_fields,
            tolerance=duration.parse(file.tolerance),
            retention=_retention(file.retention),
            rescoring=Rescoring(rescore.mode == "changed_only", rescore.per_second),
            allowed_sources=tuple(allowed),
            lifecycle=lifecycle,
            targets=targets,
            calendar=calendar,
            sets_unfitting_aside=file.unfitting == "dead_letter",
        )

    def _calendar(self) -> BusinessCalendar | None:
        section = self._file.calendar
        if section is None:
            return None
        for text in section.open:
            if text in section.closed:
                message = f"{text} is in `closed` too; keep one of them"
                self._report(("calendar", "open", text), "bad-value", message)
        calendar = BusinessCalendar(
            zone=section.zone,
            weekdays=frozenset(map(calendar_text.number_of, section.days)),
            hours=calendar_text.hours(section.hours),
            holidays=section.holidays,
            closed=frozenset(map(calendar_text.day_number, section.closed)),
            open={calendar_text.day_number(text): calendar_text.hours(each) for text, each in section.open.items()},
        )
        year = calendar_text.closed_year(calendar)
        if year is not None:
            message = f"the calendar has no opening hour in {year}, so a promise could never be kept or broken"
            self._report(("calendar",), "no-open-hours", message)
        return calendar

    def _span(self, text: str, calendar: BusinessCalendar | None, path: Path) -> int:
        """A duration of a promise, in microseconds."""
        try:
            return duration.parse(text) if calendar is None else calendar_text.business_span(text, calendar)
        except ValueError as error:
            self._report(path, "bad-value", str(error), of_value=True)
            return duration.parse(text)

    def _escalation(
        self, section: RoutingRuleSection, calendar: BusinessCalendar | None, path: Path
    ) -> tuple[tuple[int, str | None], ...] | None:
        if section.escalate is None:
            return None
        steps = list[tuple[int, str | None]]()
        for index, step in enumerate(section.escalate):
            at: Path = (*path, "escalate", index, "after")
            span = self._span(step.after, calendar, at)
            if steps and span <= steps[-1][0]:
                message = f"`{step.after}` is not later than the step before; write the steps in order of time"
                self._report(at, "bad-value", message, of_value=True)
            steps.append((span, step.queue))
        return tuple(steps)

    def _own_fields(self) -> Catalogue:
        custom_fields = {}
        for name, section in self._file.fields.items():
            if name in ("all", "any", "not", "rating"):
                self._report(("fields", name), "reserved-name", f"`{name}` has another meaning in conditions")
            custom_fields[name] = Field(
                name, section.type, section.description, tuple(section.choices), accept_text=section.accept_text
            )
        return custom_fields

    def _signal(self, name: str, section: SignalSection) -> Signal:
        path: Path = ("signals", name)
        self._claim_id(name, path)
        activity = self._activity_type(section.activity, (*path, "activity"))
        condition = None
        if section.where is not None and activity is not None:
            condition = parse_condition(section.where, (*path, "where"), payload_fields(activity), self._report)
        half_life = None if section.half_life is None else duration.parse(section.half_life) / DAY
        window = max(1, duration.parse(section.window) // DAY)
        return Signal(
            id=name,
            activity=activity or section.activity,
            where=condition,
            points=section.points,
            daily_cap=section.daily_cap,
            max_points=section.max_points,
            weights=tuple(1.0 if half_life is None else 0.5 ** (age / half_life) for age in range(window)),
            reason=section.reason or _words(name),
        )

    def _lifecycle(self, catalogue: Catalogue) -> LifecycleRules:
        section = self._file.lifecycle
        if section is None:
            return NO_LIFECYCLE
        phases: dict[str, Phase] = {}
        for phase in Phase:
            stages = [] if section.phases is None else getattr(section.phases, phase.value)
            for index, stage in enumerate(stages):
                if phases.setdefault(stage, phase) is not phase or stages.index(stage) != index:
                    message = f"the stage `{stage}` is already in the phase {phases[stage].value}"
                    path: Path = ("lifecycle", "phases", phase.value, index)
                    self._report(path, "duplicate-key", message, of_value=True)
        return LifecycleRules(
            phases=phases,
            categories=tuple(self._categories(section.categories, catalogue)),
            actions={f"{ACTION}{name}": self._action(name, action) for name, action in section.actions.items()},
            is_written=True,
        )

    def _categories(self, sections: Sequence[CategorySection], catalogue: Catalogue) -> Iterator[Category]:
        known: set[str] = set()
        for index, section in enumerate(sections):
            path: Path = ("lifecycle", "categories", index)
            if section.id in known:
                self._report((*path, "id"), "duplicate-id", f"the id `{section.id}` is already used", of_value=True)
            known.add(section.id)
            if section.id in ("none", "other"):
                message = f"the id `{section.id}` is reserved for leads without a category, or with one of other rules"
                self._report((*path, "id"), "reserved-name", message, of_value=True)
            condition = self._when(section, path, catalogue, {})
            is_last = index == len(sections) - 1
            if is_last and condition is not None:
                message = "the last category must have no `when`, so that every lead belongs to one"
                self._report((*path, "when"), "no-final-category", message)
            if not is_last and section.when is None:
                message = f"`{section.id}` has no `when`, so no lead ever belongs to the categories after it"
                self._report(path, "unreachable-rule", message)
            for name in () if condition is None else fields(condition):
                if is_timed(name):
                    message = f"`{name}` changes with time alone; a category follows from decisions and activities"
                    self._report((*path, "when"), "timed-category", message)
            yield Category(section.id, condition)

    def _action(self, name: str, section: ActionSection) -> Signal:
        path: Path = ("lifecycle", "actions", name)
        activity = self._activity_type(section.activity, (*path, "activity"))
        condition = None
        if section.where is not None and activity is not None:
            condition = parse_condition(section.where, (*path, "where"), payload_fields(activity), self._report)
        weights = (1.0,) * ACTION_DAYS
        return Signal(
            f"{ACTION}{name}", activity or section.activity, condition, 0, ACTIONS_A_DAY, None, weights, _words(name)
        )

    def _targets(self, calendar: BusinessCalendar | None) -> Targets | None:
        section = self._file.targets
        if section is None:
            return None
        zone = section.zone or ("UTC" if calendar is None else calendar.zone)
        revenue, deal, rate = map(fraction, (section.revenue, section.average_deal, section.closing_rate))
        return Targets(revenue, deal, rate, section.period, zone)

    def _activity_type(self, name: str, path: Path) -> str | None:
        if name.startswith(TYPE_PREFIX):
            return name
        full = TYPE_PREFIX + name
        if full in PAYLOADS:
            return full
        hint = suggestion(name, tuple(built_in.removeprefix(TYPE_PREFIX) for built_in in PAYLOADS))
        hint += f"; write a custom activity type in full, as in {TYPE_PREFIX}{name.lower().rpartition('.')[2]}"
        self._report(path, "unknown-activity", f"unknown activity type `{name}`{hint}", of_value=True)
        return None

    def _allowed_sources(self, own_fields: Catalogue) -> Iterator[AllowedSources]:
        first: dict[tuple[str, tuple[str, ...]], str] = {}
        for name, patterns in self._file.allowed_sources.items():
            path: Path = ("allowed_sources", name)
            for place in self._restricted(name, path, own_fields):
                known = first.setdefault(place, name)
                if known != name:
                    message = f"`{name}` is the same as `{known}`; merge the two lists"
                    self._report(path, "duplicate-key", message)
                yield AllowedSources(name, *place, tuple(patterns))

    def _restricted(self, name: str, path: Path, own_fields: Catalogue) -> Sequence[tuple[str, tuple[str, ...]]]:
        """The activity type and the path in its data for each part of the name; empty after a mistake."""
        built_in = TYPE_PREFIX + name in PAYLOADS
        if built_in and name in own_fields:
            message = f"`{name}` is both an activity type and a field; write {TYPE_PREFIX}{name}, or rename the field"
            self._report(path, "bad-key", message)
        elif built_in:
            return [(TYPE_PREFIX + name, ())]
        elif name.startswith(TYPE_PREFIX):
            if fullmatch(TYPE_PATTERN, name) is not None:
                return [(name, ())]
            message = f"`{name}` is not an activity type; use lower-case letters, digits, `_` and dots"
            self._report(path, "unknown-activity", message)
        elif name in own_fields or (name in LEAD_FIELDS and stating_keys(name)):
            return stating_keys(name)
        elif name in LEAD_FIELDS:
            message = f"`{name}` is not sent as such; name the activity types from which it follows"
            self._report(path, "bad-key", message)
        else:
            types = (known.removeprefix(TYPE_PREFIX) for known in PAYLOADS)
            hint = suggestion(name, (*types, *LEAD_FIELDS, *own_fields))
            self._report(path, "unknown-activity", f"unknown activity type or field `{name}`{hint}")
        return []

    def _criterion(self, name: str, section: CriterionSection, catalogue: Catalogue, computed: Catalogue) -> Criterion:
        path: Path = ("scoring", name)
        if name == BEHAVIOUR:
            self._report(path, "reserved-name", f"`{BEHAVIOUR}` is reserved for the points of the signals")
        rules = []
        for index, rule in enumerate(section.rules):
            at: Path = (*path, "rules", index)
            self._claim_id(rule.id, (*at, "id"))
            condition = self._when(rule, at, catalogue, computed)
            if condition is None and section.hit_policy == "first" and index < len(section.rules) - 1:
                message = f"`{rule.id}` has no `when`, so the rules after it can never apply"
                self._report(at, "unreachable-rule", message)
            names = () if condition is None else fields(condition)
            rules.append(ScoringRule(rule.id, condition, rule.points, rule.reason or _words(rule.id), names))
        self._check_size([rule.condition for rule in rules], path)
        return Criterion(
            name=name,
            group=section.group,
            hit_policy=HitPolicy(section.hit_policy),
            min=section.min,
            max=section.max,
            met_at=section.met_at,
            rules=tuple(rules),
        )

    def _routing(self, catalogue: Catalogue, calendar: BusinessCalendar | None) -> list[RoutingRule]:
        sections = self._file.routing
        if not sections:
            at: Path = () if sections is None else ("routing",)
            self._report(at, "missing-section", "the section `routing` is missing; it says where leads go")
            return []
        rules = []
        for index, section in enumerate(sections):
            path: Path = ("routing", index)
            self._claim_id(section.id, (*path, "id"))
            condition = self._when(section, path, catalogue, {})
            last = index == len(sections) - 1
            if last and condition is not None:
                message = "the last routing rule must have no `when`, so that every lead goes somewhere"
                self._report((*path, "when"), "no-final-route", message)
            if not last and condition is None:
                message = f"`{section.id}` has no `when`, so the rules after it can never apply"
                self._report(path, "unreachable-rule", message)
            text, reason = section.respond_within, section.reason or _words(section.id)
            within = None if text is None else self._span(text, calendar, (*path, "respond_within"))
            steps = self._escalation(section, calendar, path)
            rules.append(RoutingRule(section.id, condition, section.route, section.queue, within, reason, steps))
        self._check_size([rule.condition for rule in rules], ("routing",))
        return rules

    def _check_size(self, conditions: Sequence[Condition | None], path: Path) -> None:
        """Compiling a table evaluates each comparison of a field for each constant of that field."""
        comparisons: dict[str, set[Test]] = {}
        for condition in conditions:
            for test in tests(condition) if condition else ():
                comparisons.setdefault(test.field, set()).add(test)
        for name, asked in comparisons.items():
            constants = {constant for test in asked for constant in _operands(test)}
            if len(asked) * len(constants) > MAX_CELLS:
                message = (
                    f"`{path[-1]}` has {len(asked):,} comparisons of `{name}` with {len(constants):,} different "
                    f"constants; at most {MAX_CELLS:,} comparisons times constants are allowed, so write fewer rules "
                    "with longer lists, or several criteria"
                )
                self._report(path, "too-large", message)
                return

    def _when(
        self,
        section: RuleSection | RoutingRuleSection | CategorySection,
        path: Path,
        catalogue: Catalogue,
        later: Catalogue,
    ) -> Condition | None:
        if section.when is None:
            return None

        def report(where: Path, code: str, message: str) -> None:
            name = where[-1]
            if code == "unknown-field" and name in later:
                message = f"`{name}` is computed from the score; only `routing` can use it"
            self._report(where, code, message)

        return parse_condition(section.when, (*path, "when"), catalogue, report)

    def _claim_id(self, name: str, path: Path) -> None:
        if name in RESERVED_IDS:
            self._report(path, "reserved-name", f"the id `{name}` is reserved for the service", of_value=True)
        first = self._ids.setdefault(name, path)
        if first is not path:
            where = self._position(first, False)
            message = f"the id `{name}` is already used in {where.file}:{where.line}"
            self._report(path, "duplicate-id", message, of_value=True)

    def _report(self, path: Path, code: str, message: str, *, of_value: bool = False) -> None:
        self._findings.append(Finding(self._position(path, of_value), code, message))


def revision(file: RulesetFile) -> str:
    """SHA-256 of the ruleset as canonical JSON: sorted keys, without values that equal their default. With a calendar
    it contains the versions of the zones and holidays, because they decide what the rules mean."""
    content = file.model_dump(mode="json", exclude_defaults=True)
    if file.calendar is not None:
        content["calendar"]["data"] = _data_versions(file.calendar)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _data_versions(section: CalendarSection) -> dict[str, str]:
    versions = {"tzdata": zones.VERSION}
    return versions if section.holidays is None else {**versions, "holidays": holiday_dates.version()}


def _retention(section: RetentionSection | None) -> Retention:
    if section is None:
        return Retention()
    inactive, after_erasure = (
        None if text is None else duration.parse(text) for text in (section.inactive, section.after_erasure)
    )
    return Retention(inactive, after_erasure)


def _operands(test: Test) -> tuple[object, ...]:
    return test.operand if isinstance(test.operand, tuple) else (test.operand,)


def _words(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").strip().capitalize()
