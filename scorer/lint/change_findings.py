"""What a change of rules means for leads that are already known."""

from __future__ import annotations

from scorer.lint.reporter import Reporter
from scorer.rules.catalogue import Catalogue
from scorer.rules.field_type import FieldType
from scorer.rules.finding import Finding
from scorer.rules.loader import Source
from scorer.rules.ruleset import Ruleset


def compared(ruleset: Ruleset, source: Source, before: Ruleset) -> list[Finding]:
    """Infos about the change from the rules `before`, in file and line order. What was removed is found at its
    section."""
    reporter = Reporter(source)
    _compare_fields(ruleset.own_fields, before.own_fields, reporter)
    _compare_signals(ruleset, before, reporter)
    _compare_sources(ruleset, before, reporter)
    _compare_retention(ruleset, before, reporter)
    _compare_unfitting(ruleset, before, reporter)
    if ruleset.calendar != before.calendar:
        message = "the calendar changes; promises made from now on count by it, and those made before stay as they are"
        reporter.report(("calendar",), "changed-calendar", message, level="info")
    return sorted(reporter.findings, key=lambda finding: finding.position)


def _compare_fields(now: Catalogue, before: Catalogue, reporter: Reporter) -> None:
    for name, field in now.items():
        was = before.get(name)
        if was is None:
            message = (
                f"the field `{name}` is new; it is unknown for every lead already seen, until an activity states it "
                "again"
            )
            reporter.report(("fields", name), "new-field", message, level="info")
        elif was.type is not field.type:
            stays = (was.type, field.type) == (FieldType.INTEGER, FieldType.NUMBER)
            effect = (
                "the values of leads already seen stay known"
                if stays
                else f"for every lead already seen, a value that is not of type {field.type} is unknown, until an "
                "activity states it again"
            )
            message = f"the field `{name}` is of type {field.type} and was of type {was.type}; {effect}"
            reporter.report(("fields", name, "type"), "changed-field", message, level="info")
        elif (was.choices, was.accept_text) != (field.choices, field.accept_text):
            message = (
                f"the field `{name}` takes other values than before (`choices`, `accept_text`); this counts from now "
                "on, and what leads already have stays"
            )
            reporter.report(("fields", name), "changed-field", message, level="info")
    for name in before:
        if name not in now:
            message = (
                f"the field `{name}` is removed; leads already seen keep its last value, which no rule reads, and new "
                "values are dropped"
            )
            reporter.report(("fields",), "removed-field", message, level="info")


def _compare_signals(ruleset: Ruleset, before: Ruleset, reporter: Reporter) -> None:
    for name in ruleset.signals:
        if name not in before.signals:
            message = (
                f"the signal `{name}` is new; it counts from now on, and nothing that leads already seen did before"
            )
            reporter.report(("signals", name), "new-signal", message, level="info")
    for name in before.signals:
        if name not in ruleset.signals:
            message = (
                f"the signal `{name}` is removed; leads already seen lose its points, and keep its counts for rules "
                "that have it again"
            )
            reporter.report(("signals",), "removed-signal", message, level="info")


def _compare_retention(ruleset: Ruleset, before: Ruleset, reporter: Reporter) -> None:
    """What leads lose cannot be brought back, so a shorter retention deserves a look."""
    now, then = ruleset.retention, before.retention
    spans = (
        ("inactive", now.inactive, then.inactive),
        ("after_erasure", now.after_erasure or now.inactive, then.after_erasure or then.inactive),
    )
    for name, span, was in spans:
        if span is not None and (was is None or span < was):
            message = (
                f"`{name}` is shorter than before; when this takes effect, leads that have reached it are deleted, a "
                "few at a time; `scorer retention` counts them"
            )
            reporter.report(("retention",), "shorter-retention", message, level="info")


def _compare_unfitting(ruleset: Ruleset, before: Ruleset, reporter: Reporter) -> None:
    if ruleset.sets_unfitting_aside != before.sets_unfitting_aside:
        effect = (
            "becomes a dead letter from now on, also under a key that nobody declares"
            if ruleset.sets_unfitting_aside
            else "loses that key from now on, and the rest of it counts; earlier dead letters can be sent back"
        )
        message = f"`unfitting` changes: an activity with a key that does not fit {effect}"
        reporter.report(("unfitting",), "changed-unfitting", message, level="info")


def _compare_sources(ruleset: Ruleset, before: Ruleset, reporter: Reporter) -> None:
    now, then = ({each.name: set(each.patterns) for each in rules.allowed_sources} for rules in (ruleset, before))
    for name in sorted(now.keys() | then.keys()):
        if now.get(name) != then.get(name):
            message = (
                f"the sources allowed for `{name}` change; this counts from now on, and what leads have from earlier "
                "activities stays"
            )
            reporter.report(("allowed_sources", name), "changed-sources", message, level="info")
