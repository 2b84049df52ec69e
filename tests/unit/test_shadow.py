"""A candidate beside the live rules: it sees the same leads, shows what it would decide, and changes nothing."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from structlog.testing import capture_logs

from scorer.domain.activity import LeadActivity
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.topic_admin import Topic
from scorer.runtime.metrics import BatchFigures, Metrics
from scorer.runtime.settings import Settings, load_settings
from scorer.state.store import LeadStore
from scorer.stream import shadow as module
from scorer.stream.batch import BatchProcessor
from scorer.stream.outbox import Outbox
from scorer.stream.shadow import SAMPLES_A_SECOND, Shadow
from tests.factory import SMALL_RULES, activity, evaluator, ruleset
from tests.integration.activities import NOW, stream
from tests.unit.test_metrics import value

LIVE = evaluator()
STRICT = evaluator(
    SMALL_RULES.replace("warm: 20, hot: 40", "warm: 30, hot: 60").replace("queue: inside-sales", "queue: b")
)
EXPENSIVE = evaluator(SMALL_RULES.replace("points: 20, reason", "points: 45, reason"))
COOLING = """
ruleset: cooling
ratings: {warm: 10, hot: 20}
publish: {score_step: 5}
signals: {trial: {activity: trial_started, points: 24, half_life: 30d}}
scoring: {company: {rules: [{id: large, when: {profile.employees: {gte: 250}}, points: 3}]}}
routing: [{id: rest, route: nurture}]
"""
TOPIC = "lead.routing.shadow"


@pytest.fixture
def settings() -> Settings:
    """Settings with a shadow."""
    return load_settings(None, rules=Path(__file__).parent, shadow_rules=Path(__file__).parent)


class Clock:
    """Seconds that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def shadow_of(settings: Settings, candidate: Evaluator | None, clock: Clock | None = None) -> Shadow:
    shadow = Shadow(settings, clock or Clock())
    if candidate is not None:
        shadow.use(candidate)
    return shadow


def records() -> "list[ConsumerRecord[bytes, bytes]]":
    """A mix of activities as Kafka records."""
    return [
        ConsumerRecord("in", 0, number, 1000, 0, sent.key, sent.value, None, 1, 1, sent.headers)
        for number, sent in enumerate(stream(500, leads=40, seed=11))
    ]


def judge(lead: Lead, done: LeadActivity, *_: object) -> Assessment:
    return LIVE.assess(lead, done)


def process(settings: Settings, shadow: Shadow | None) -> tuple[list[Any], dict[str, Lead], Metrics]:
    """All messages, the final states and the metrics."""
    store, metrics = LeadStore(), Metrics()
    processor = BatchProcessor(settings, judge, lambda: NOW, shadow)
    messages = []
    todo = records()
    for start in range(0, len(todo), 50):
        outbox, figures = processor.process(todo[start : start + 50], store)
        store.commit()
        metrics.committed(figures, 0.0)
        messages += outbox.messages
    return messages, {lead.id: lead for lead in store.leads()}, metrics


def feed(shadow: Shadow, history: Sequence[LeadActivity]) -> tuple[Lead, list[dict[str, Any]], BatchFigures]:
    """The live rules and the shadow judge a history of one lead: the lead, the samples, the figures."""
    lead, outbox, figures = Lead("lead-1"), Outbox(0), BatchFigures()
    for event in history:
        after = LIVE.assess(lead, event)
        shadow.compare(event, after, outbox, figures)
        lead = after.lead
    return lead, [json.loads(message.value or b"") for message in outbox.messages], figures


def test_decisions_and_states_are_the_same_with_and_without_a_shadow(settings: Settings) -> None:
    plain, states, _ = process(settings, None)
    beside, states_beside, metrics = process(settings, shadow_of(settings, STRICT))
    assert [message for message in beside if message.topic != TOPIC] == plain
    assert states_beside == states
    assert any(message.topic == TOPIC for message in beside)
    assert value(metrics, "scorer_shadow_failures_total") == 0


def test_a_candidate_like_the_live_rules_always_agrees(settings: Settings) -> None:
    beside, _, metrics = process(settings, shadow_of(settings, evaluator()))
    assert not any(message.topic == TOPIC for message in beside)
    text = metrics.render().decode()
    differences = ("rating", "grade", "route", "queue", "score")
    assert {value(metrics, "scorer_shadow_divergences_total", what=what) for what in differences} == {0}
    assert 'live_rating="hot",live_route="sales",shadow_rating="hot",shadow_route="sales"' in text


def test_the_matrix_counts_each_judgement_once(settings: Settings) -> None:
    shadow = shadow_of(settings, STRICT)
    counts: Counter[tuple[str, str]] = Counter()
    leads: dict[str, Lead] = {}
    outbox, figures = Outbox(0), BatchFigures()
    for number in range(60):
        lead_id = f"lead-{number % 7}"
        kinds: list[tuple[str, dict[str, object]]] = [
            ("qualification_updated", {"bant": {"budget_status": "approved", "authority": "decision_maker"}}),
            ("page_viewed", {"url": "/pricing"}),
            ("profile_updated", {"employees": 300}),
            ("trial_started", {}),
        ]
        kind, data = kinds[number % 4]
        event = activity(kind, data, day=number / 5, lead=lead_id)
        before = leads.get(lead_id, Lead(lead_id))
        after = LIVE.assess(before, event)
        shadow.compare(event, after, outbox, figures)
        leads[lead_id] = after.lead
        # The candidate judges the lead as it was before the live rules published anything.
        unpublished = before.apply(event, LIVE.hits(event))
        wanted = STRICT.evaluate(unpublished, unpublished.clock)
        assert after.evaluation is not None
        counts[after.evaluation.rating.value, wanted.rating.value] += 1
        for review in after.reviewed:
            counts[review.rating.value, STRICT.evaluate(review.lead, review.now).rating.value] += 1
    matrix: Counter[tuple[str, str]] = Counter()
    for (live, other, _, _), count in figures.shadow.items():
        matrix[live, other] += count
    assert matrix == counts
    assert matrix["hot", "warm"] > 0
    assert figures.divergences["rating"] == sum(count for (one, other), count in counts.items() if one != other)


def test_the_candidate_does_not_see_a_hand_over_by_the_live_rules(settings: Settings) -> None:
    """Its rule needs leads that were handed over, and the live rules have decided that only now."""
    had = "  - {id: had, when: {lifecycle.status: handed_over}, route: nurture}\n"
    curious = evaluator(SMALL_RULES.replace("routing:\n", f"routing:\n{had}"))
    hot = activity("qualification_updated", {"bant": {"budget_status": "approved", "authority": "decision_maker"}})
    history = [activity("trial_started"), hot, activity("page_viewed", {"url": "/x"}, day=1)]
    lead, _, figures = feed(shadow_of(settings, curious), history[:2])
    assert lead.value("lifecycle.status") == "handed_over"
    assert figures.divergences == {}
    _, samples, figures = feed(shadow_of(settings, curious), history)
    assert figures.divergences == {"route": 1, "queue": 1}
    assert samples[0]["shadow"]["routing"] == "had"


def test_hysteresis_starts_from_the_published_rating(settings: Settings) -> None:
    twin = evaluator()
    warm = [activity("qualification_updated", {"bant": {"budget_status": "approved"}}, day=0)]
    cooler = activity("profile_updated", {"email_kind": "free", "country": "DE"}, day=1)
    _, samples, figures = feed(shadow_of(settings, twin), [*warm, cooler])
    assert (samples, figures.divergences) == ([], {})


def test_a_sample_shows_the_lead_the_differences_and_the_rules(settings: Settings) -> None:
    history = [
        activity(
            "qualification_updated",
            {"bant": {"budget_status": "approved", "authority": "influencer"}},
            id="e1",
            day=0.5,
        )
    ]
    _, (sample,), figures = feed(shadow_of(settings, EXPENSIVE), history)
    shown = {"name": "small", "rating": "warm", "grade": "B4", "route": "nurture", "routing": "keep-warm", "score": 25}
    live = sample.pop("live")
    assert live.pop("ruleset") == {"name": "small", "revision": LIVE.ruleset.revision}
    assert live == {key: shown[key] for key in shown if key != "name"} | {"queue": None}
    other = sample.pop("shadow")
    assert other.pop("ruleset")["revision"] == EXPENSIVE.ruleset.revision
    assert other == {
        "rating": "hot",
        "grade": "A4",
        "route": "sales",
        "queue": "inside-sales",
        "routing": "hot",
        "score": 50,
    }
    assert sample == {
        "lead_id": "lead-1",
        "at": "2026-01-05T12:00:00Z",
        "activity": {"source": "test", "id": "e1", "type": "lead.qualification_updated"},
        "differs": ["rating", "grade", "route", "queue", "score"],
        "rules": [{"criterion": "budget", "rule": "budget-approved", "live": 20, "shadow": 45}],
    }
    assert figures.shadow == {("warm", "hot", "nurture", "sales"): 1}


def test_samples_are_limited_and_counts_are_not(settings: Settings) -> None:
    clock = Clock()
    shadow = shadow_of(settings, EXPENSIVE, clock)
    outbox, figures = Outbox(0), BatchFigures()
    published = []
    for number in range(200):
        event = activity("qualification_updated", {"bant": {"budget_status": "approved"}}, lead=f"lead-{number}")
        before, lead = len(outbox.messages), Lead(event.lead_id)
        shadow.compare(event, LIVE.assess(lead, event), outbox, figures)
        published.append((clock.now, len(outbox.messages) - before))
        clock.now += 0.02
    assert figures.divergences["rating"] == 200
    assert len(outbox.messages) == pytest.approx((4 + 1) * SAMPLES_A_SECOND, abs=1)
    for start, _ in published:
        assert sum(count for at, count in published if start <= at < start + 1) <= 2 * SAMPLES_A_SECOND


def test_a_sample_that_is_too_large_is_left_out(settings: Settings) -> None:
    limits = TopicLimits(settings)
    limits.know({TOPIC: Topic(1, 1, {"max.message.bytes": "300"})})
    shadow = Shadow(settings, Clock(), limits=limits)
    shadow.use(STRICT)
    with capture_logs() as logs:
        plain, _, metrics = process(settings, shadow)
    assert not any(message.topic == TOPIC for message in plain)
    assert value(metrics, "scorer_shadow_divergences_total", what="rating") > 0
    (line,) = [line for line in logs if line["event"] == "shadow_sample_too_large"]
    assert line["size"] > line["limit"]
    assert line["decision"] in {dict(message.headers).get("ce_id", b"").decode() for message in plain}


def test_a_candidate_that_fails_costs_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, states, _ = process(settings, None)
    clock = Clock()
    logged: list[str] = []
    monkeypatch.setattr(module.log, "error", lambda event, **_: logged.append(event), raising=False)

    class Broken:
        name = "broken"

        def match(self, *_: object) -> tuple[int, ...]:
            raise ZeroDivisionError

    broken = Evaluator(ruleset(), Broken())
    beside, states_beside, metrics = process(settings, shadow_of(settings, broken, clock))
    assert beside == plain
    assert states_beside == states
    failures = value(metrics, "scorer_shadow_failures_total")
    assert failures > 100
    assert logged == ["shadow_failed"], "once a minute, not for every activity"


def test_a_signal_that_only_the_candidate_has_counts_nothing(settings: Settings) -> None:
    new = evaluator(SMALL_RULES.replace("signals:\n", "signals:\n  blog: {activity: page_viewed, points: 50}\n"))
    lead, samples, figures = feed(
        shadow_of(settings, new), [activity("page_viewed", {"url": "/blog"}) for _ in range(5)]
    )
    assert (samples, figures.divergences) == ([], {})
    assert "blog" not in lead.signals


def test_another_candidate_can_judge_differently(settings: Settings) -> None:
    shadow = shadow_of(settings, evaluator())
    history = [activity("qualification_updated", {"bant": {"budget_status": "approved"}})]
    assert feed(shadow, history)[1] == []
    shadow.use(EXPENSIVE)
    assert len(feed(shadow, history)[1]) == 1


def test_without_a_candidate_nothing_happens(settings: Settings) -> None:
    _, samples, figures = feed(shadow_of(settings, None), [activity("trial_started")])
    assert (samples, figures) == ([], BatchFigures())


def test_the_notes_about_leads_are_bounded(settings: Settings) -> None:
    shadow = shadow_of(settings.model_copy(update={"cache_leads": 3}), STRICT)
    for number in range(10):
        event = activity("trial_started", lead=f"lead-{number}")
        lead = Lead(event.lead_id)
        shadow.compare(event, LIVE.assess(lead, event), Outbox(0), BatchFigures())
    assert 0 < len(shadow._notes.all_keys()) <= 3


@pytest.mark.parametrize("hand_over", [False, True])
def test_the_candidate_sees_the_facts_that_only_it_declares(settings: Settings, hand_over: bool) -> None:
    rule = "  - {id: big-plan, when: {plan: big}, route: nurture, queue: planners}\n"
    text = SMALL_RULES.replace("fields: {", "fields: {plan: {type: string}, ")
    candidate = evaluator(text.replace("routing:\n", f"routing:\n{rule}"))
    live = LIVE.keeping(candidate.ruleset.own_fields, candidate.ruleset.signals)
    shadow, outbox, figures, lead = shadow_of(settings, candidate), Outbox(0), BatchFigures(), Lead("lead-1")
    hot = {"bant": {"budget_status": "approved", "authority": "decision_maker"}} if hand_over else {}
    for event in (
        activity("trial_started"),
        activity("qualification_updated", {**hot, "custom": {"plan": "big", "other": 1}}, day=1),
    ):
        after = live.assess(lead, event)
        shadow.compare(event, after, outbox, figures)
        lead = after.lead
    assert (after.handed_over is not None) is hand_over
    assert figures.divergences["queue"] == 1
    assert (lead.value("plan"), lead.value("other")) == ("big", None)


def test_decisions_by_time_are_compared_in_the_job_and_before_an_activity(settings: Settings) -> None:
    """The candidate has another opinion of a lead that cools."""
    live = evaluator(COOLING)
    shadow = shadow_of(settings, evaluator(COOLING.replace("warm: 10, hot: 20", "warm: 5, hot: 20")))
    outbox, figures = Outbox(0), BatchFigures()
    started = activity("trial_started", {})
    lead = live.assess(Lead("lead-1"), started).lead
    silent = live.catch_up(lead, started.time + 100 * DAY)
    assert len(silent.reviewed) == len(silent.decisions) > 1
    shadow.compare(None, silent, outbox, figures)
    assert figures.shadow.total() == len(silent.decisions)
    samples = [json.loads(message.value or b"") for message in outbox.messages]
    assert [(sample["activity"], sample["live"]["rating"], sample["shadow"]["rating"]) for sample in samples] == [
        (None, "cold", "warm")
    ]
    assert samples[0]["at"] in [decision.decided_at for decision in silent.decisions]
    again = BatchFigures()
    late = activity("page_viewed", {"url": "/"}, day=100)
    shadow.compare(late, live.assess(lead, late), outbox, again)
    assert again.shadow.total() == figures.shadow.total() + 1
