"""`scorer check --against` says what a change of rules means for leads already seen, and it means that."""

import pytest

from scorer.domain.activity import LeadActivity
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.lint import compared
from scorer.rules.loader import parse_with_source
from tests.factory import SMALL_RULES, evaluator, ruleset

FIELDS = "fields: {installed_base: {type: integer}}"
CALENDAR = "calendar: {zone: %s, days: mon-fri, hours: 09:00-18:00}\n"
TRIAL = "  trial: {activity: trial_started, points: 15, window: 90d}\n"


def changes(after: str, before: str = SMALL_RULES) -> list[str]:
    """`line [code] message` of each finding."""
    rules, source = parse_with_source({"r.yaml": after.encode()})
    return [f"{each.position.line} [{each.code}] {each.message}" for each in compared(rules, source, ruleset(before))]


def seen(text: str) -> Lead:
    """A lead with a machine and a trial, judged by these rules."""
    judge = evaluator(text)
    lead = Lead("lead-1")
    for number, (kind, data) in enumerate(
        [("lead.profile_updated", {"custom": {"installed_base": 3}}), ("lead.trial_started", {})]
    ):
        lead = judge.assess(lead, LeadActivity(str(number), "/s", kind, 20_000 * DAY + number, "lead-1", data)).lead
    return lead


def points(text: str, lead: Lead) -> tuple[int, int]:
    """The points of the criterion that reads the field, and of the signal."""
    evaluation = evaluator(text).evaluate(lead, lead.clock)
    by_name = {result.criterion.name: result.points for result in evaluation.criteria}
    return by_name["company"], evaluation.signal_points.get("trial", 0)


def test_equal_rules_and_other_points_mean_nothing() -> None:
    assert changes(SMALL_RULES) == []
    assert changes(SMALL_RULES.replace("points: 15", "points: 16")) == []


@pytest.mark.parametrize(
    ("type_", "effect", "kept"),
    [
        ("number", "the values of leads already seen stay known", 5),
        (
            "string",
            "for every lead already seen, a value that is not of type string is unknown, until an activity states it "
            "again",
            0,
        ),
    ],
)
def test_a_changed_type(type_: str, effect: str, kept: int) -> None:
    after = SMALL_RULES.replace("{type: integer}", f"{{type: {type_}}}").replace(
        "{installed_base: {gt: 0}}", "{installed_base: {gt: 0}}" if type_ == "number" else '{installed_base: "3"}'
    )
    assert changes(after) == [
        f"6 [changed-field] the field `installed_base` is of type {type_} and was of type integer; {effect}"
    ]
    assert points(after, seen(SMALL_RULES))[0] == kept


def test_a_removed_and_a_new_field() -> None:
    after = SMALL_RULES.replace(FIELDS, "fields: {machines: {type: integer}}").replace("installed_base", "machines")
    assert changes(after) == [
        "6 [removed-field] the field `installed_base` is removed; leads already seen keep its last value, which no "
        "rule reads, and new values are dropped",
        "6 [new-field] the field `machines` is new; it is unknown for every lead already seen, until an activity "
        "states it again",
    ]
    lead = seen(SMALL_RULES)
    assert points(after, lead)[0] == 0
    assert lead.value("installed_base") == 3


def test_which_values_are_taken_from_now_on() -> None:
    strict = SMALL_RULES + "unfitting: dead_letter\n"
    (finding,) = changes(strict)
    assert finding.endswith(
        "[changed-unfitting] `unfitting` changes: an activity with a key that does not fit becomes a dead letter from "
        "now on, also under a key that nobody declares"
    )
    (finding,) = changes(SMALL_RULES, strict)
    assert "loses that key from now on, and the rest of it counts" in finding
    assert changes(SMALL_RULES + "unfitting: count\n") == []
    (finding,) = changes(SMALL_RULES.replace("{type: integer}", "{type: integer, accept_text: true}"))
    assert "[changed-field] the field `installed_base` takes other values than before" in finding


def test_a_new_signal_counts_from_now_on() -> None:
    before = SMALL_RULES.replace(TRIAL, "")
    (finding,) = changes(SMALL_RULES, before)
    assert finding.endswith(
        "[new-signal] the signal `trial` is new; it counts from now on, and nothing that leads already seen did before"
    )
    assert points(SMALL_RULES, seen(before)) == (5, 0)
    assert points(SMALL_RULES, seen(SMALL_RULES)) == (5, 15)


def test_a_removed_signal_gives_no_points_and_keeps_its_counts() -> None:
    after = SMALL_RULES.replace(TRIAL, "")
    (finding,) = changes(after)
    assert finding.endswith(
        "[removed-signal] the signal `trial` is removed; leads already seen lose its points, and keep its counts for "
        "rules that have it again"
    )
    lead = seen(SMALL_RULES)
    assert points(after, lead) == (5, 0)
    judged = evaluator(after).assess(lead, LeadActivity("9", "/s", "lead.trial_started", 20_001 * DAY, "lead-1", {}))
    assert points(SMALL_RULES, judged.lead) == (5, 15)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("", "{inactive: 2y}", ["inactive", "after_erasure"]),
        ("{inactive: 2y}", "{inactive: 1y}", ["inactive", "after_erasure"]),
        ("{inactive: 2y}", "{inactive: 2y, after_erasure: 90d}", ["after_erasure"]),
        ("{inactive: 1y, after_erasure: 30d}", "{inactive: 2y, after_erasure: 90d}", []),
        ("{inactive: 1y}", "", []),
    ],
)
def test_a_shorter_retention(before: str, after: str, named: list[str]) -> None:
    def text(retention: str) -> str:
        return f"{SMALL_RULES}retention: {retention}\n" if retention else SMALL_RULES

    found = changes(text(after), text(before))
    assert [each.split("`")[1] for each in found] == named


@pytest.mark.parametrize(("before", "after"), [("", "Europe/Berlin"), ("Europe/Berlin", "UTC"), ("UTC", "")])
def test_another_calendar_counts_for_new_promises(before: str, after: str) -> None:
    now, then = (SMALL_RULES + (CALENDAR % zone if zone else "") for zone in (after, before))
    message = "the calendar changes; promises made from now on count by it, and those made before stay as they are"
    (found,) = changes(now, then)
    assert found.endswith(f"[changed-calendar] {message}")
    assert changes(now, now) == []
