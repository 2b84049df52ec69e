"""What a lead keeps is bounded: the custom facts that the live rules or the rules beside them declare."""

import asyncio
import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, permutations
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import Hit
from scorer.domain.facts import Facts
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.runtime.metrics import MAX_CUSTOM_TYPES, BatchFigures
from scorer.runtime.settings import load_settings
from scorer.service.compose import Service, build
from scorer.sources.rejected import Rejected
from scorer.state.codec import decode_lead, encode_lead
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.jobs.rescore import Sweep
from scorer.stream.outbox import Outbox
from tests.factory import MONDAY, SMALL_RULES, activity, evaluator, ruleset_folder
from tests.unit.test_metrics import value as sample

RULES = evaluator()
WITH_PLAN = SMALL_RULES.replace("fields: {", "fields: {plan: {type: string}, ")
PLAN_FIELD = {"plan": evaluator(WITH_PLAN).ruleset.own_fields["plan"]}
TEXT_RULES = SMALL_RULES.replace("{type: integer}", "{type: integer, accept_text: true}")
PLAN = WITH_PLAN.replace(
    "rules:\n      - {id: large", "rules:\n      - {id: big-plan, when: {plan: big}, points: 3}\n      - {id: large"
)


def told(data: dict[str, object], day: float = 0, kind: str = "profile_updated") -> LeadActivity:
    """An activity that states custom facts."""
    return activity(kind, {"custom": data}, day=day)


def judged(rules: Evaluator, *events: LeadActivity) -> Lead:
    """The lead after these activities."""
    lead = Lead("lead-1")
    for event in events:
        lead = rules.assess(lead, event).lead
    return lead


def unpublished(lead: Lead) -> Lead:
    """The lead without what was published about it, which depends on the order of its events."""
    facts = {name: fact for name, fact in lead.facts.items() if name != "lifecycle.status"}
    return replace(lead, published=None, lifecycle=None, facts=facts, notes=None)


@pytest.mark.parametrize("kind", ["profile_updated", "qualification_updated"])
def test_only_declared_custom_facts_are_kept(kind: str) -> None:
    event = told({"installed_base": 3, "plan": "big", "note": None}, kind=kind)
    assert set(judged(RULES, event).facts) == {"installed_base", "lifecycle.status"}


def test_a_field_that_no_rule_uses_yet_is_kept() -> None:
    assert judged(evaluator(WITH_PLAN), told({"plan": "big"})).value("plan") == "big"


def test_the_names_of_other_rules_are_kept_too() -> None:
    beside = Evaluator(RULES.ruleset, RULES._engine, keeps=PLAN_FIELD)
    for rules in (beside, RULES.keeping(PLAN_FIELD, ())):
        assert judged(rules, told({"installed_base": 3, "plan": "big", "x": 1})).facts.keys() == {
            "installed_base",
            "plan",
            "lifecycle.status",
        }
    assert "plan" not in judged(RULES, told({"plan": "big"})).facts, "the other evaluator stays as it was"
    assert set(judged(beside.keeping({}, ()), told({"plan": "big"})).facts) == {"lifecycle.status"}


def test_an_activity_that_tells_nothing_kept_still_is_the_latest_activity() -> None:
    before = judged(RULES, told({"installed_base": 3}))
    after = RULES.assess(before, told({"x": 1}, day=2)).lead
    assert after.clock > before.clock
    assert after.facts is before.facts


def test_facts_of_earlier_rules_are_found_again_unless_contradicted() -> None:
    known = judged(evaluator(WITH_PLAN), told({"plan": "big"}, day=1))
    for event, kept in (
        (told({"installed_base": 3}, day=2), True),
        (told({"plan": "big"}, day=2), True),
        (told({"plan": "small"}, day=0), True),
        (told({"plan": "small"}, day=2), False),
        (told({"plan": None}, day=2), False),
    ):
        assert ("plan" in RULES.assess(known, event).lead.facts) is kept, event


def test_facts_of_earlier_rules_do_not_depend_on_the_order_of_activities() -> None:
    known = judged(evaluator(WITH_PLAN), told({"plan": "big", "installed_base": 1}, day=2))
    events = [
        told({"plan": "small", "installed_base": 5}, day=4),
        told({"plan": "big"}, day=5),
        told({"plan": "old"}, day=1),
        activity("profile_updated", {"country": "DE"}, day=3.5),
    ]
    for erased in (1.5, 3, 4.5, None):
        story = [*events, *([] if erased is None else [activity("erased", day=erased)])]
        ends = set()
        for order in permutations(story):
            lead = known
            for event in order:
                lead = lead.apply(event, (), RULES.kept_facts)
            ends.add(encode_lead(lead))
        assert len(ends) == 1


MISTYPED: list[object] = ["three", True, 1.5, ["x" * 256] * 64, "x" * 2048]


@pytest.mark.parametrize("value", MISTYPED)
def test_a_value_of_another_type_leaves_the_known_one_in_any_order(value: object) -> None:
    events = [
        told({"installed_base": 3}, day=1),
        told({"installed_base": value}, day=2),
        told({"installed_base": value}, day=0),
        activity("profile_updated", {"country": "DE"}, day=3),
    ]
    ends = {encode_lead(unpublished(judged(RULES, *order))) for order in permutations(events)}
    silent = [
        LeadActivity(event.id, event.source, event.type, event.time, "lead-1", {"custom": {}}) for event in events[1:3]
    ]
    assert ends == {encode_lead(unpublished(judged(RULES, events[0], *silent, events[3])))}
    assert [(drop.field, drop.reason) for drop in RULES.unfitting(events[1])] == [("installed_base", "wrong_type")]
    again = RULES.assess(judged(RULES, *events), told({"installed_base": 7}, day=4)).lead
    assert again.value("installed_base") == 7


def test_an_empty_text_withdraws_what_is_no_text() -> None:
    known = judged(RULES, told({"installed_base": 3}, day=1))
    empty = told({"installed_base": ""}, day=2)
    assert RULES.assess(known, empty).lead.value("installed_base") is None
    assert [(drop.field, drop.reason) for drop in RULES.unfitting(empty)] == [("installed_base", "empty")]


def test_a_value_outside_the_choices_is_dropped() -> None:
    rules = evaluator(WITH_PLAN.replace("plan: {type: string}", "plan: {type: string, choices: [big, small]}"))
    known = judged(rules, told({"plan": "big"}, day=1))
    for value, kept, reason in (
        ("small", "small", None),
        ("huge", "big", "not_a_choice"),
        (["big"], "big", "wrong_type"),
        ("", None, "empty"),
        (None, None, None),
    ):
        event = told({"plan": value}, day=2)
        assert rules.assess(known, event).lead.value("plan") == kept, value
        assert [drop.reason for drop in rules.unfitting(event)] == ([] if reason is None else [reason])


@pytest.mark.parametrize(
    ("text", "number"),
    [("40", 40), ("-3", -3), ("4e1", 40.0), ("40.0", 40.0), ("0", 0), ("9223372036854775807", 2**63 - 1)],
)
def test_a_number_may_come_as_text_if_the_rules_say_so(text: str, number: float) -> None:
    rules = evaluator(TEXT_RULES)
    event = told({"installed_base": text})
    lead = judged(rules, event)
    assert (lead.value("installed_base"), type(lead.value("installed_base"))) == (number, type(number))
    assert list(rules.unfitting(event)) == []
    assert judged(RULES, event).value("installed_base") is None


@pytest.mark.parametrize(
    "text",
    ["40 ", "+40", "040", "1,000", "1_000", "40.5", "4O", "٤٠", "1e999", "NaN", "9223372036854775808", ".5", "0x1"],
)
def test_no_other_text_is_a_whole_number(text: str) -> None:
    rules = evaluator(TEXT_RULES)
    event = told({"installed_base": text})
    assert judged(rules, event).value("installed_base") is None
    assert [drop.reason for drop in rules.unfitting(event)] == ["wrong_type"]


def test_the_rules_may_set_the_whole_activity_aside() -> None:
    rules = evaluator(SMALL_RULES + "unfitting: dead_letter\n")
    known = judged(rules, told({"installed_base": 3}))
    for event, words in (
        (told({"installed_base": "3"}, day=1), "installed_base (a string of 1 character) is of another type;"),
        (
            told({"instaled_base": 3}, day=1),
            "installed_base (a number) is probably meant by a key that nobody declares;",
        ),
        (told({"shoe": 3, "installed_base": True}, day=1), "a key (a number) is not declared (and 1 more);"),
    ):
        with pytest.raises(Rejected) as refused:
            rules.assess(known, event)
        assert refused.value.reason == "unfitting"
        assert refused.value.detail.startswith(words)
        assert "unfitting: dead_letter" in refused.value.detail
    assert rules.assess(known, told({"installed_base": 4}, day=1)).lead.value("installed_base") == 4


def test_a_value_of_the_right_type_is_stored_as_it_was_sent() -> None:
    fields = "a: {type: string}, b: {type: number}, c: {type: boolean}, d: {type: strings}, "
    rules = evaluator(SMALL_RULES.replace("fields: {", f"fields: {{{fields}"))
    sent = {"a": "", "b": 1, "c": False, "d": [], "installed_base": 2.0}
    lead = judged(rules, told(sent))
    assert {name: lead.value(name) for name in sent} == sent
    assert type(lead.value("installed_base")) is float
    assert type(lead.value("d")) is list


def test_what_other_rules_declare_changes_nothing_for_the_rules_themselves() -> None:
    other = evaluator(WITH_PLAN.replace("plan: {type: string}", "plan: {type: strings}"))
    alone = evaluator(PLAN)
    both = alone.keeping(other.ruleset.own_fields, ())
    for value in (["a"], "big", 3, True):
        events = [told({"plan": "big"}), told({"plan": value}, day=1)]
        lead, typed = judged(both, *events), judged(alone, *events)
        assert lead.value("plan") == typed.value("plan") == "big"
        assert both.evaluate(lead, lead.clock).score == alone.evaluate(typed, typed.clock).score


def test_trimming_removes_what_no_rules_name() -> None:
    lead = judged(evaluator(PLAN), told({"plan": "big", "installed_base": 3}), activity("trial_started"))
    lead = lead.apply(activity("page_viewed", {"url": "/"}, day=1), [Hit("old", 2), Hit("older", 2)])
    stored = decode_lead("lead-1", encode_lead(lead))
    for rules, facts, signals in (
        (RULES, {"installed_base"}, {"trial"}),
        (RULES.keeping(PLAN_FIELD, {"old"}), {"installed_base", "plan"}, {"old", "trial"}),
    ):
        trimmed = rules.trimmed(stored)
        assert {name for name in trimmed.facts if "." not in name} == facts
        assert set(trimmed.counted) == signals
        assert {name: fact for name, fact in stored.facts.items() if "." in name}.items() <= trimmed.facts.items()
        assert (trimmed.clock, trimmed.published) == (stored.clock, stored.published)
        assert rules.trimmed(trimmed) is trimmed
        one, other = rules.evaluate(stored, stored.clock), rules.evaluate(trimmed, trimmed.clock)
        assert (one.score, one.routing, one.points) == (other.score, other.routing, other.points)
        # The state carries the codes of these rules.
        assert encode_lead(rules.annotated(decode_lead("lead-1", encode_lead(trimmed)))) == encode_lead(trimmed)


def test_trimming_keeps_the_lead_if_there_is_nothing_to_remove() -> None:
    lead = judged(RULES, told({"installed_base": 3}), activity("trial_started"))
    assert RULES.trimmed(lead) is lead
    assert RULES.trimmed(Lead("lead-1")).facts == Facts({})


def records(undeclared: bool) -> "Iterator[ConsumerRecord[bytes, bytes]]":
    """8,000 activities of 100 leads, with or without 8 names that no other activity has."""
    for number in range(8_000):
        lead = f"lead-{number % 100}"
        others = {f"n{number}_{extra}": "x" * 400 for extra in range(8)} if undeclared else {}
        event = {
            "specversion": "1.0",
            "id": f"e{number}",
            "source": "/crm",
            "type": "lead.profile_updated",
            "time": f"2026-01-{1 + number // 400:02}T{number // 20 % 20:02}:00:00Z",
            "subject": lead,
            "data": {"employees": number, "custom": {"installed_base": number, **others}},
        }
        value = json.dumps(event).encode()
        yield ConsumerRecord("in", 0, number, 1000, 0, lead.encode(), value, None, 1, len(value), ())


def processed(undeclared: bool) -> tuple[dict[bytes | None, bytes | None], int]:
    """The states in the changelog, and how much memory in use grows after the first 400 activities, in bytes."""
    settings = load_settings(None, rules=Path(__file__).parent)
    rules, store = evaluator(), LeadStore()
    processor = BatchProcessor(settings, rules.assess, lambda: MONDAY + 100 * DAY)
    states: dict[bytes | None, bytes | None] = {}
    known = 0
    stream = records(undeclared)
    while batch := list(islice(stream, 400)):
        outbox, figures = processor.process(batch, store)
        assert not figures.dead_letters
        store.commit()
        states |= {message.key: message.value for message in outbox.messages if message.topic == settings.state_topic}
        known = known or tracemalloc.get_traced_memory()[0]
    return states, tracemalloc.get_traced_memory()[0] - known


def test_undeclared_facts_leave_nothing_behind() -> None:
    plain, _ = processed(undeclared=False)
    tracemalloc.start()
    try:
        sent, grown = processed(undeclared=True)
    finally:
        tracemalloc.stop()
    assert sent == plain
    assert grown < 2_000_000, "25 MB were sent"


class Rules:
    """A service with rules and shadow rules on disk, without a broker."""

    def __init__(self, folder: Path, shadow: str) -> None:
        self.live = ruleset_folder(folder / "live")
        self.shadow = ruleset_folder(folder / "shadow", shadow)
        settings = load_settings(None, rules=self.live, shadow_rules=self.shadow, engine="compiled")
        self.service: Service = build(settings)

    def reload(self, which: int) -> str:
        """Reload the live rules (0) or the shadow (1); how it ended."""
        return asyncio.run(self.service.reloaders[which].reload()).outcome

    def kept(self) -> set[str]:
        """The custom facts that a lead keeps of these four."""
        event = told({"installed_base": 3, "plan": "big", "size": 1, "x": 1})
        return {name for name in judged(self.service.rules.evaluator, event).facts if "." not in name}


def test_a_service_keeps_what_the_shadow_declares_from_its_start(tmp_path: Path) -> None:
    rules = Rules(tmp_path, PLAN)
    assert rules.kept() == {"installed_base", "plan"}
    assert rules.reload(1) == "loaded"
    assert rules.kept() == {"installed_base", "plan"}


def test_a_reload_of_either_rules_keeps_the_names_of_both(tmp_path: Path) -> None:
    rules = Rules(tmp_path, "nonsense: 1\n")
    assert rules.kept() == {"installed_base"}
    assert rules.reload(1) == "refused"
    ruleset_folder(rules.shadow, PLAN)
    assert rules.reload(1) == "loaded"
    assert rules.kept() == {"installed_base", "plan"}
    ruleset_folder(rules.live, SMALL_RULES.replace("fields: {", "fields: {size: {type: integer}, "))
    assert rules.reload(0) == "loaded"
    assert rules.kept() == {"installed_base", "plan", "size"}
    ruleset_folder(rules.shadow, "nonsense: 1\n")
    assert rules.reload(1) == "refused"
    assert rules.kept() == {"installed_base", "plan", "size"}, "the shadow before the mistake is still in effect"
    ruleset_folder(rules.shadow, SMALL_RULES.replace("warm: 20", "warm: 21"))
    assert rules.reload(1) == "loaded"
    assert rules.kept() == {"installed_base", "size"}


def test_facts_that_are_dropped_show_in_a_metric(tmp_path: Path) -> None:
    rules = Rules(tmp_path, PLAN)
    service = rules.service
    custom = [
        {"instaled_base": 3, "plan": "big"},
        {"instaled_base": 4, "x": None, "installed_base": "many"},
        {"installed_base": None},
        {},
    ]
    sent = [
        {"specversion": "1.0", "id": str(number), "source": "/crm", "type": "lead.profile_updated", "subject": "l"}
        | {"time": "2026-01-01T00:00:00Z", "data": {"custom": facts}}
        for number, facts in enumerate(custom)
    ]
    # In an activity type of one's own, this is no statement of facts.
    sent.append({**sent[0], "id": "own", "type": "lead.chat"})
    values = [json.dumps(event).encode() for event in sent]
    records = [
        ConsumerRecord("in", 0, number, 1000, 0, b"l", value, None, 1, len(value), ())
        for number, value in enumerate(values)
    ]
    _, figures = service.partitions._context.processor.process(records, LeadStore())
    service.metrics.committed(figures, 0.0)
    shown = service.metrics.render().decode().splitlines()
    for field, reason in (("installed_base", "misspelt"), ("other", "undeclared"), ("installed_base", "wrong_type")):
        assert f'scorer_unfitting_activities_total{{field="{field}",reason="{reason}"}} 1.0' in shown
    # No name that was made up becomes a label.
    assert "instaled_base" not in "".join(shown)


def test_a_reload_of_the_shadow_starts_no_re_scoring(tmp_path: Path) -> None:
    rules = Rules(tmp_path, SMALL_RULES)
    service, store = rules.service, LeadStore()
    store.restore("lead-1", encode_lead(judged(service.rules.evaluator, activity("trial_started"))))
    sweep, *_ = service.partitions._context.jobs(store, 0)
    assert isinstance(sweep, Sweep)
    while sweep.patience() is not None:
        if sweep.ready():
            sweep.stage(Outbox(1), BatchFigures(), busy=False)
            store.commit()
            sweep.committed()
    before, loaded_at = service.rules.evaluator, service.rules.loaded_at
    ruleset_folder(rules.shadow, PLAN)
    assert rules.reload(1) == "loaded"
    assert service.rules.evaluator is not before
    assert service.ruleset is before.ruleset
    assert service.rules.loaded_at == loaded_at
    assert sweep.patience() is None
    assert sweep.remaining == 0


def test_the_types_that_the_rules_name_have_their_own_label(tmp_path: Path) -> None:
    """From the start, and after a reload, whatever types others have made up before."""
    rules = Rules(tmp_path, PLAN)
    metrics = rules.service.metrics

    def count(*types: str) -> None:
        metrics.committed(BatchFigures(activities=Counter(types)), 0.0)

    count(*(f"lead.made_up_{number}" for number in range(MAX_CUSTOM_TYPES)))
    count("lead.booth_visited", "lead.chat_started")
    assert sample(metrics, "scorer_activities_total", type="lead.booth_visited") == 1
    assert sample(metrics, "scorer_activities_total", type="other") == 1
    ruleset_folder(rules.live, SMALL_RULES.replace("lead.booth_visited", "lead.chat_started"))
    assert rules.reload(0) == "loaded"
    count("lead.booth_visited", "lead.chat_started")
    assert sample(metrics, "scorer_activities_total", type="lead.booth_visited") == 2
    assert sample(metrics, "scorer_activities_total", type="lead.chat_started") == 1
