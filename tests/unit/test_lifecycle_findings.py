"""Findings of `scorer check` about the life of a lead: categories, phases, actions, escalations and targets."""

from __future__ import annotations

import pytest

from scorer.rules.finding import RulesetError
from scorer.rules.loader import parse_with_source
from tests.unit.test_analysis import HEAD, ROUTING, SCORING, SOUND, findings


def found(text: str) -> list[tuple[int, str, str]]:
    """Line, code and message of each finding."""
    return [(finding.position.line, finding.code, finding.message) for finding in findings(text)]


def errors(text: str) -> list[tuple[int, str]]:
    with pytest.raises(RulesetError) as caught:
        parse_with_source({"r.yaml": text.encode()})
    return [(finding.position.line, finding.code) for finding in caught.value.findings]


def life(section: str) -> str:
    """A ruleset with `lifecycle` in line 10."""
    return f"{SOUND}lifecycle:\n{section}\n"


FULL = """\
  phases: {acquisition: [open], contact: [call], offer: [offer], negotiation: [talks], close: [signed]}
  categories:
    - {id: active, when: {lifecycle.stage: {in: [offer, talks]}}}
    - {id: customers, when: {lifecycle.status: won}}
    - {id: warm, when: {rating: {in: [hot, warm]}}}
    - {id: cold}
  actions:
    meeting: {activity: meeting_held, where: {minutes_sent: true}}
    contract: {activity: lead.contract_signed}
"""


def test_a_sound_lifecycle_has_no_findings() -> None:
    targets = "targets: {revenue: 100000, average_deal: 4000, closing_rate: 1/3}\n"
    assert found(life(FULL) + targets) == []


@pytest.mark.parametrize(
    ("categories", "line", "code", "message"),
    [
        (
            "[{id: a, when: {lifecycle.value: {lt: 0}}}, {id: b}]",
            9,
            "never-fires",
            "`a` can never apply: `lifecycle.value: {lt: 0}` never holds; `lifecycle.value` is at least 0",
        ),
        (
            "[{id: a, when: {rating: hot, score.total: {lt: 2}}}, {id: b}]",
            9,
            "never-fires",
            "`a` can never apply: `rating: hot` and `score.total: {lt: 2}` exclude each other",
        ),
        (
            "[{id: a, when: {lifecycle.status: {in: [won, lost]}}}, {id: b, when: {lifecycle.status: won}}, {id: c}]",
            9,
            "shadowed",
            "`b` can never apply: the earlier category `a` holds whenever it does",
        ),
        (
            "[{id: a, when: {profile.country: Germany}}, {id: b}]",
            9,
            "suspicious-constant",
            "`Germany` is not a country code (ISO 3166-1 alpha-2); did you mean DE?",
        ),
    ],
)
def test_a_category_that_never_holds(categories: str, line: int, code: str, message: str) -> None:
    assert found(life(f"  categories: {categories}")) == [(line, code, message)]


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ("  categories: [{id: a, when: {rating: hot}}]", "no-final-category"),
        ("  categories: [{id: a, when: {days_in.status: {gte: 7}}}, {id: b}]", "timed-category"),
        ("  categories: [{id: a, when: {days_since.last_activity: {gte: 7}}}, {id: b}]", "timed-category"),
        ("  categories: [{id: a}, {id: b}]", "unreachable-rule"),
        ("  categories: [{id: a, when: {rating: hot}}, {id: a}]", "duplicate-id"),
        ("  phases: {contact: [open, open]}", "duplicate-key"),
        ("  phases: {contact: [open], offer: [open]}", "duplicate-key"),
        ("  actions: {a: {activity: meeting_hold}}", "unknown-activity"),
    ],
)
def test_mistakes_in_a_lifecycle_are_errors_with_their_line(section: str, code: str) -> None:
    assert errors(life(section)) == [(9, code)]


@pytest.mark.parametrize(
    ("phases", "named"),
    [
        ("{contact: [open], offer: [offer]}", "the phase `acquisition`, but `offer` has some"),
        ("{acquisition: [open], close: [signed]}", "the phases `contact`, `offer` and `negotiation`, but `close` has"),
    ],
)
def test_a_phase_without_stages_before_one_that_has_some(phases: str, named: str) -> None:
    ((line, code, message),) = found(life(f"  phases: {phases}"))
    assert (line, code) == (9, "empty-phase")
    assert named in message


@pytest.mark.parametrize("phases", ["{}", "{acquisition: [open]}", "{acquisition: [open], contact: [call]}"])
def test_phases_may_end_early(phases: str) -> None:
    assert found(life(f"  phases: {phases}")) == []


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("{activity: lead.metting_held}", "counts `lead.metting_held`, a custom activity type; did you mean meeting_"),
        ("{activity: erased}", "never counts: an erasure deletes all counts of its day"),
        (
            "{activity: lead.tick}",
            "never counts: a tick of this service brings time and is no activity of a lead",
        ),
        ("{activity: call_logged, where: {minutes: {lt: 0}}}", "never counts: `minutes: {lt: 0}` never holds"),
    ],
)
def test_an_action_that_never_counts(action: str, message: str) -> None:
    ((line, code, text),) = found(life(f"  actions: {{talk: {action}}}"))
    assert (line, code) == (9, "unused-action")
    assert text.startswith(f"`talk` {message}")


def test_a_stage_of_a_condition_that_is_in_no_phase() -> None:
    phases = "  phases: {acquisition: [open, signed]}\n"
    categories = "  categories: [{id: a, when: {lifecycle.stage: singed}}, {id: b}]"
    message = "`lifecycle.stage` is compared with `singed`, a stage that is in no phase; did you mean signed?"
    assert found(life(phases + categories)) == [(10, "suspicious-constant", message)]
    assert found(life(categories)) == []
    actions = "  actions: {a: {activity: stage_changed, where: {stage: singed, previous: open}}}"
    message = "`stage` is compared with `singed`, a stage that is in no phase; did you mean signed?"
    assert found(life(phases + actions)) == [(10, "suspicious-constant", message)]


@pytest.mark.parametrize("rate", ["true", "[1]", "~", "{a: 1}"])
def test_a_closing_rate_of_a_wrong_type_is_one_clear_finding(rate: str) -> None:
    targets = f"targets: {{revenue: 100000, average_deal: 4000, closing_rate: {rate}}}\n"
    with pytest.raises(RulesetError) as caught:
        parse_with_source({"r.yaml": f"{SOUND}{targets}".encode()})
    (finding,) = caught.value.findings
    assert finding.code == "bad-value"
    assert finding.message == "a closing rate is a number above 0 and at most 1, or a fraction such as 1/3"


def escalating(steps: str, queue: str = "queue: inside") -> str:
    old = "when: {rating: hot}, route: sales}"
    new = f"when: {{rating: hot}}, route: sales, {queue}, respond_within: 1h, escalate: {steps}}}"
    return SOUND.replace(old, new)


@pytest.mark.parametrize(
    ("steps", "queue", "own"),
    [
        ("[{after: 1h}]", "queue: inside", "its own queue `inside`"),
        ("[{after: 1h, queue: inside}, {after: 2h}]", "queue: inside", "its own queue `inside`"),
        ("[{after: 1h}]", "reason: Hot", "no queue"),
    ],
)
def test_an_escalation_that_nobody_else_sees(steps: str, queue: str, own: str) -> None:
    ((line, code, message),) = found(escalating(steps, queue))
    assert (line, code) == (6, "unseen-escalation")
    assert message.startswith(f"`to-sales` escalates to {own} every time")


@pytest.mark.parametrize("steps", ["[]", "[{after: 1h, queue: lead}]", "[{after: 1h}, {after: 2h, queue: lead}]"])
def test_an_escalation_that_somebody_sees(steps: str) -> None:
    assert found(escalating(steps)) == []


def test_targets_of_a_ruleset_that_hands_no_lead_over() -> None:
    targets = "targets: {revenue: 100000, average_deal: 4000, closing_rate: 0.5}\n"
    nobody = HEAD + SCORING + ROUTING.replace("route: sales", "route: nurture, queue: q")
    codes = [code for _, code, _ in found(nobody + targets)]
    assert codes == ["no-sales", "targets-without-sales"]
    never = HEAD + SCORING + ROUTING.replace("{rating: hot}", "{score.total: {gt: 99}}")
    assert [code for _, code, _ in found(never + targets)][-1] == "targets-without-sales"
    assert found(SOUND + targets) == []
