"""`allowed_sources`: who may send what. Service, offline run, backtest, explain and rule tests refuse the same."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from scorer.backtest.replay import REPLAY, ReplayShard
from scorer.backtest.run import backtest
from scorer.domain.activity import PAYLOADS, LeadActivity
from scorer.domain.instant import DAY, to_text
from scorer.domain.lead import Lead
from scorer.domain.statements import statements, stating_keys
from scorer.evaluation.evaluator import Evaluator
from scorer.explain.timeline import history
from scorer.lint import analyse, compared
from scorer.offline.activity_files import block_of
from scorer.offline.decisions import DecisionShard
from scorer.rules.catalogue import LEAD_FIELDS
from scorer.rules.finding import RulesetError
from scorer.rules.loader import parse_with_source
from scorer.ruletests.run import Result, run_tests
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import load_settings
from scorer.sources.rejected import Rejected
from scorer.state.codec import encode_lead
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.shadow import Shadow
from tests.factory import MONDAY, SMALL_RULES, activity, evaluator, ruleset, ruleset_folder
from tests.unit.test_backtest import tallied
from tests.unit.test_explain import explain
from tests.unit.test_metrics import value

NOW = MONDAY + 100 * DAY
SECTION = """
allowed_sources:
  erased: [//crm.example/*, /privacy-desk]
  opportunity_won: [//crm.example/*]
  profile.is_competitor: [//crm.example/*]
  bant.budget_status: [//crm.example/*, //web.example/forms]
  installed_base: [//erp.example/*]
  lead.booth_visited: [/booth]
"""
LINE = SMALL_RULES.count("\n") + 3
"""The line of the first entry of the section."""
STRICT_RULES = SMALL_RULES + SECTION
OPEN, STRICT = evaluator(), evaluator(STRICT_RULES)

GIVEN: Sequence[tuple[str, Mapping[str, object], str, bool]] = [
    ("erased", {}, "//crm.example/contacts", True),
    ("erased", {}, "//crm.example/", True),
    ("erased", {}, "/privacy-desk", True),
    ("erased", {}, "/privacy-desk/1", False),
    ("erased", {}, "//crm.example", False),
    ("erased", {}, "//CRM.example/contacts", False),
    ("erased", {}, "x//crm.example/contacts", False),
    ("profile_updated", {"country": "DE"}, "//web.example/forms", True),
    ("profile_updated", {"is_competitor": True}, "//crm.example/a", True),
    ("profile_updated", {"is_competitor": True}, "//web.example/forms", False),
    ("profile_updated", {"is_competitor": False, "country": "DE"}, "//web.example/forms", False),
    ("profile_updated", {"is_competitor": None}, "//web.example/forms", False),
    ("profile_updated", {"custom": {"installed_base": 3}}, "//crm.example/a", False),
    ("profile_updated", {"custom": {"installed_base": 3}}, "//erp.example/a", True),
    ("profile_updated", {"custom": {"installed_base": 3}, "is_competitor": True}, "//erp.example/a", False),
    ("profile_updated", {"custom": {"installed_base": 3}, "is_competitor": True}, "//crm.example/a", False),
    ("profile_updated", {"custom": {}}, "/any", True),
    ("qualification_updated", {"custom": {"installed_base": None}}, "//crm.example/a", False),
    ("qualification_updated", {"bant": {"budget_status": "approved"}}, "//web.example/forms", True),
    ("qualification_updated", {"bant": {"budget_status": "approved"}}, "//web.example/forms2", False),
    ("qualification_updated", {"bant": {"authority": "user"}}, "//web.example/forms2", True),
    ("qualification_updated", {"bant": None}, "//web.example/forms2", True),
    ("booth_visited", {"minutes": 9}, "/booth", True),
    ("booth_visited", {"minutes": 9}, "/b", False),
    ("page_viewed", {"url": "/pricing"}, "/any", True),
    ("merged", {"into": "b"}, "/any", True),
]


def kafka_record(offset: int, event: LeadActivity) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord("in", 0, offset, 1000, 0, event.lead_id.encode(), line(event), None, 1, len(line(event)), ())


def line(event: LeadActivity) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "time": to_text(event.time),
            "subject": event.lead_id,
            "data": event.data,
        }
    ).encode()


def given_events() -> list[LeadActivity]:
    """All of `GIVEN`, by three leads in turn."""
    return [
        activity(kind, data, day=number, source=source, lead=f"lead-{number % 3}")
        for number, (kind, data, source, _) in enumerate(GIVEN)
    ]


@pytest.mark.parametrize(("kind", "data", "source", "accepted"), GIVEN)
def test_who_may_send_what(kind: str, data: Mapping[str, object], source: str, accepted: bool) -> None:
    event = activity(kind, data, source=source)
    assert OPEN.assess(Lead("lead-1"), event).lead
    if accepted:
        assert STRICT.assess(Lead("lead-1"), event).lead == OPEN.assess(Lead("lead-1"), event).lead
        return
    with pytest.raises(Rejected) as caught:
        STRICT.assess(Lead("lead-1"), event)
    assert caught.value.reason == "source_not_allowed"


@pytest.mark.parametrize(
    ("kind", "data", "detail"),
    [
        ("erased", {}, "the source (a string of 3 characters) may not send erased; "),
        ("profile_updated", {"is_competitor": True}, "the source (a string of 3 characters) may not state "),
        ("booth_visited", {"minutes": 1}, "the source (a string of 3 characters) may not send lead.booth_visited; "),
    ],
)
def test_the_detail_names_the_entry_and_repeats_nothing_that_was_sent(
    kind: str, data: Mapping[str, object], detail: str
) -> None:
    with pytest.raises(Rejected) as caught:
        STRICT.assess(Lead("lead-1"), activity(kind, data, source="zqx"))
    assert caught.value.detail.startswith(detail)
    assert "allowed_sources" in caught.value.detail
    assert "zqx" not in caught.value.detail


def test_stating_keys_are_where_the_facts_come_from() -> None:
    def stated(kind: str, path: Sequence[str], content: object) -> list[str]:
        data = content
        for key in reversed(path):
            data = {key: data}
        assert isinstance(data, dict)
        return [name for name, _ in statements(LeadActivity("1", "/s", kind, 0, "a", data))]

    sent = {name: stating_keys(name) for name in LEAD_FIELDS}
    for name, places in [*sent.items(), ("installed_base", stating_keys("installed_base"))]:
        for kind, path in places:
            assert stated(kind, path, 1) == [name]
    of_payloads = {
        name
        for kind, model in PAYLOADS.items()
        for name in LEAD_FIELDS
        if kind == f"lead.{name.partition('.')[0]}_updated" and name.partition(".")[2] in model.model_fields
    }
    assert of_payloads < {name for name, places in sent.items() if places}
    assert {name.partition(".")[0] for name, places in sent.items() if not places} == {
        *("consent", "lifecycle", "days_since", "days_in")
    }


def test_the_service_refuses_what_the_offline_run_refuses() -> None:
    settings = load_settings(None, rules=Path())
    store, shard = LeadStore(), DecisionShard(STRICT, NOW)
    events = given_events()
    outbox, figures = BatchProcessor(settings, STRICT.assess, lambda: NOW).process(
        [kafka_record(number, event) for number, event in enumerate(events)], store
    )
    store.commit()
    block = block_of("f", 1, [line(event) for event in events], 0)
    offline = shard.handle("score", block.places, block.lines)
    letters = [dict(message.headers) for message in outbox.messages if message.topic == settings.dead_letter_topic]
    refused = [number for number, (*_, accepted) in enumerate(GIVEN) if not accepted]
    assert [int(letter["dlq-offset"]) for letter in letters] == refused
    assert [(letter["dlq-reason"].decode(), letter["dlq-detail"].decode()) for letter in letters] == [
        (rejection.reason, rejection.detail) for rejection in offline.rejected
    ]
    assert figures.dead_letters == {"source_not_allowed": len(refused)}
    assert figures.activities.total() == len(GIVEN) - len(refused)
    decisions = [message.value for message in outbox.messages if message.topic == settings.routing_topic]
    assert sorted(each + b"\n" for each in decisions if each) == sorted(offline.decisions)
    for lead in store.leads():
        alone = Lead(lead.id)
        for event, (*_, accepted) in zip(events, GIVEN, strict=True):
            if accepted and event.lead_id == lead.id:
                alone = STRICT.assess(alone, event).lead
        assert encode_lead(lead) == encode_lead(alone)


def test_a_lead_of_which_everything_is_refused_has_no_state() -> None:
    store = LeadStore()
    processor = BatchProcessor(load_settings(None, rules=Path()), STRICT.assess, lambda: NOW)
    outbox, _ = processor.process([kafka_record(0, activity("erased", source="/web"))], store)
    store.commit()
    assert (len(store), len(outbox.messages)) == (0, 1)


def test_the_metric_is_there_before_the_first_one() -> None:
    assert value(Metrics(), "scorer_dead_letters_total", reason="source_not_allowed") == 0


def test_the_live_rules_say_what_a_candidate_judges() -> None:
    settings = load_settings(None, rules=Path(), shadow_rules=Path())
    shadow = Shadow(settings)
    shadow.use(STRICT)
    records = [kafka_record(0, activity("erased", source="/web")), kafka_record(1, activity("trial_started", day=2))]
    _, figures = BatchProcessor(settings, OPEN.assess, lambda: NOW, shadow).process(records, LeadStore())
    assert (figures.shadow.total(), figures.shadow_failures, figures.dead_letters.total()) == (2, 0, 0)
    shadow.use(OPEN)
    _, figures = BatchProcessor(settings, STRICT.assess, lambda: NOW, shadow).process(records, LeadStore())
    assert (figures.shadow.total(), figures.dead_letters) == (1, {"source_not_allowed": 1})


def test_the_revision_changes_with_the_lists_and_their_order_of_keys_does_not_matter() -> None:
    reordered = SMALL_RULES + "allowed_sources:\n" + "\n".join(reversed(SECTION.strip().splitlines()[1:])) + "\n"
    assert ruleset(reordered).revision == STRICT.ruleset.revision != OPEN.ruleset.revision


def mistakes(section: str) -> list[str]:
    with pytest.raises(RulesetError) as caught:
        ruleset(f"{SMALL_RULES}\nallowed_sources:\n{section}\n")
    return [
        f"{each.position.line - LINE}:{each.position.column} [{each.code}] {each.message}"
        for each in caught.value.findings
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("  erasd: [/a]", "0:3 [unknown-activity] unknown activity type or field `erasd`; did you mean erased?"),
        (
            "  is_competitor: [/a]",
            "0:3 [unknown-activity] unknown activity type or field `is_competitor`; did you mean "
            "profile.is_competitor?",
        ),
        (
            "  lead.Erased: [/a]",
            "0:3 [unknown-activity] `lead.Erased` is not an activity type; use lower-case letters, digits, `_` and "
            "dots",
        ),
        ("  erased: []", "0:11 [wrong-type] `erased` must not be empty"),
        ("  erased: /a", '0:11 [wrong-type] `erased` must be a list, as in [a, b], not "/a"'),
        ("  erased:", "0:3 [wrong-type] `erased` must be a list, as in [a, b]"),
        ("  erased: [/ok, 7]", "0:17 [wrong-type] `erased` must be a valid string, not 7"),
        ("  erased: [/ok, /a*b]", "0:17 [bad-value] `/a*b`: a `*` can only be the last character"),
        ("  erased: [/**]", "0:12 [bad-value] `/**`: a `*` can only be the last character"),
        ('  erased: ["/a\\n"]', "0:12 [bad-value] no source contains a control character, so this never matches"),
        (
            "  consent.email: [/a]",
            "0:3 [bad-key] `consent.email` is not sent as such; name the activity types from which it follows",
        ),
        (
            "  erased: [/a]\n  lead.erased: [/b]",
            "1:3 [duplicate-key] `lead.erased` is the same as `erased`; merge the two lists",
        ),
        (
            "  erased: [*]",
            "0:13 [not-yaml] not valid YAML: while scanning an alias, expected alphabetic or numeric character, but "
            "found ']'; put quotes around text that begins with *",
        ),
    ],
)
def test_mistakes_have_their_place(section: str, message: str) -> None:
    assert mistakes(section) == [message]


def test_a_source_that_is_too_long_can_never_be_sent() -> None:
    (message,) = mistakes(f"  erased: [{'a' * 1025}]")
    assert message.startswith("0:12 [wrong-type] `erased` must have at most 1024 characters")


def test_a_name_that_is_both_a_type_and_a_field_is_refused() -> None:
    text = SMALL_RULES.replace("fields: {", "fields: {erased: {type: boolean}, ")
    with pytest.raises(RulesetError, match=r"`erased` is both an activity type and a field; write lead.erased, or"):
        ruleset(text + "allowed_sources: {erased: [/a]}\n")
    assert ruleset(text + "allowed_sources: {lead.erased: [/a]}\n").allowed_sources[0].keys == ()


def test_entries_may_be_in_several_files() -> None:
    parts = {"a.yaml": SMALL_RULES + "allowed_sources: {erased: [/a]}\n", "b.yaml": "allowed_sources: {merged: [/b]}\n"}
    rules, _ = parse_with_source({name: text.encode() for name, text in parts.items()})
    assert [entry.name for entry in rules.allowed_sources] == ["erased", "merged"]
    with pytest.raises(RulesetError, match=r"b.yaml:1:19: error: `erased` is already defined in a.yaml:"):
        parse_with_source(
            {**{name: text.encode() for name, text in parts.items()}, "b.yaml": b"allowed_sources: {erased: [/b]}\n"}
        )


def doubts(section: str) -> list[str]:
    rules, source = parse_with_source({"r.yaml": f"{SMALL_RULES}\nallowed_sources:\n{section}\n".encode()})
    found = [each for each in analyse(rules, source) if each.position.line >= LINE - 1 and each.level == "warning"]
    return [f"{each.position.line - LINE}:{each.position.column} [{each.code}] {each.message}" for each in found]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("  erased: [//crm.example/*, /desk]", []),
        ("  erased: [//crm.example/*, //crm.example]", []),
        ("  erased: [/crm*, 'urn:crm:*', //crm.example/a*]", []),
        (
            '  erased: ["*", /desk]',
            [
                "0:12 [useless-source] `*` is every source, so anybody may send `erased`, as without the entry",
                "0:17 [useless-source] `/desk` has no effect: `*` covers it",
            ],
        ),
        (
            "  merged: [/a/b/*, /a/*, /a/c]",
            [
                "0:12 [useless-source] `/a/b/*` has no effect: `/a/*` covers it",
                "0:26 [useless-source] `/a/c` has no effect: `/a/*` covers it",
            ],
        ),
        ("  merged: [/a, /b, /a]", ["0:20 [useless-source] `/a` has no effect: `/a` covers it"]),
        (
            "  merged: [//crm.example*]",
            [
                "0:12 [wide-source] `//crm.example*` also matches other hosts, such as `//crm.example.example`; meant "
                "`//crm.example/*`?"
            ],
        ),
        (
            "  lead.page_view: [/a]",
            [
                "0:3 [mistyped-type] this entry is about `lead.page_view`, a custom activity type; did you mean "
                "page_viewed?"
            ],
        ),
    ],
)
def test_entries_that_restrict_less_than_they_seem_to(section: str, expected: list[str]) -> None:
    assert doubts(section) == expected


def test_a_change_of_the_lists_is_named() -> None:
    after = STRICT_RULES.replace("[/booth]", "[/stand]")
    rules, source = parse_with_source({"r.yaml": after.encode()})
    (found,) = compared(rules, source, STRICT.ruleset)
    assert (found.code, found.level, found.position.line) == ("changed-sources", "info", LINE + 5)
    rules, source = parse_with_source({"r.yaml": SMALL_RULES.encode()})
    assert len(compared(rules, source, STRICT.ruleset)) == 6


def rule_test(activities: str, expect: str, judge: Evaluator = STRICT) -> Result:
    text = f"tests:\n  - name: x\n    activities:\n{activities}    expect: {expect}\n"
    (result,) = run_tests({"a_test.yaml": text.encode()}, judge).results
    return result


TRIAL = "      - {type: trial_started}\n"


def test_rule_tests_need_no_source_and_can_try_one() -> None:
    everything = "\n".join(
        f"      - {{type: {name}, after: {day}d, data: {json.dumps(data)}}}"
        for day, (name, data) in enumerate(
            [
                ("erased", {}),
                ("lead.booth_visited", {"minutes": 6}),
                ("profile_updated", {"is_competitor": True}),
                ("profile_updated", {"custom": {"installed_base": 3}}),
            ],
            1,
        )
    )
    found = rule_test(everything + "\n", "{contributions: {base: 5}, routing: competitor}")
    assert (found.outcome, found.details) == ("pass", ())
    refused = TRIAL + "      - {type: erased, source: //web.example/forms}\n"
    assert rule_test(refused, "{contributions: {trial: 15}, published: false}").outcome == "pass"
    allowed = TRIAL + "      - {type: erased, after: 1d, source: //crm.example/a}\n"
    assert rule_test(allowed, "{routing: erased, published: true}").outcome == "pass"
    found = rule_test(refused, "{routing: erased}")
    assert found.outcome == "fail"
    assert "a_test.yaml:5:9: refused: //web.example/forms may not send this (`allowed_sources`)" in found.details


def test_rule_tests_in_which_nothing_is_accepted_are_in_error() -> None:
    found = rule_test("      - {type: erased, source: /web}\n", "{rating: cold}")
    assert found.outcome == "error"
    assert found.details == (
        "a_test.yaml:4:9: error: every activity is refused (`allowed_sources`), so there is no lead",
    )
    both = "{is_competitor: true, custom: {installed_base: 3}}"
    found = rule_test(f"{TRIAL}      - {{type: profile_updated, data: {both}}}\n", "{rating: cold}")
    assert found.outcome == "error"
    assert "no source may send all of this" in found.details[0]


def test_an_explanation_leaves_out_what_is_refused(tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", STRICT_RULES)
    events = [activity("trial_started", id="1"), activity("erased", day=1, id="2", source="/web")]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(map(line, [*events, activity("erased", id="3", lead="b", source="/web")])))
    done = explain("lead-1", "--input", str(path), "--rules", str(rules), "--format", "json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["score"]["total"] == 15
    assert done.stderr.decode().splitlines() == [
        f"{path}:2: source_not_allowed: the source (a string of 4 characters) may not send erased; expected one that "
        "the rules list for it under allowed_sources",
        "1 of 3 activities rejected",
    ]
    found = history("lead-1", events, STRICT)
    assert (found.refused, found.lead) == (1, OPEN.assess(Lead("lead-1"), events[0]).lead)


def test_a_backtest_judges_each_side_by_its_own_lists() -> None:
    hot = {"bant": {"budget_status": "approved", "authority": "decision_maker"}}
    events = [
        activity("trial_started", lead="a"),
        activity("qualification_updated", hot, lead="a", day=1, source="//web.example/other"),
        activity("opportunity_won", lead="a", day=2, source="/forged"),
        activity("trial_started", lead="a", day=3),
        activity("booth_visited", {"minutes": 9}, lead="b", source="/forged"),
    ]
    lines = [line(event) for event in events]

    def found(new: Evaluator, old: Evaluator) -> tuple[list[int], int, int, str]:
        tally = tallied(lines, [new, old])
        result = backtest(tally, [new.ruleset, old.ruleset], ["f"], len(lines), {})
        counts = [next(iter(side.scores)) for side in tally.sides]
        return counts, tally.outcomes.total(), tally.one_sided, " ".join(result.headline)

    # The new rules do not believe the forged end, so the lead is judged at its latest activity.
    scores, ends, one_sided, headline = found(STRICT, OPEN)
    assert (scores, ends, one_sided) == ([30, 60], 0, 1)
    assert "1 lead left out: only one ruleset accepts the sources of any activity about it" in headline
    scores, ends, one_sided, _ = found(OPEN, STRICT)
    assert (scores, ends, one_sided) == ([45, 15], 1, 1)


def test_backtests_count_what_the_new_rules_refuse() -> None:
    shard = ReplayShard([STRICT, OPEN], NOW)
    block = block_of("f", 1, [line(event) for event in given_events()], 0)
    rejected = shard.handle(REPLAY, block.places, block.lines)
    assert [each.reason for each in rejected] == ["source_not_allowed"] * sum(not ok for *_, ok in GIVEN)
    assert shard.finish().activities.total() == sum(ok for *_, ok in GIVEN)
