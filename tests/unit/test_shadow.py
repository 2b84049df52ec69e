"""A candidate beside the live rules: it sees what they see, says what it would do, and changes nothing."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
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
DEAR = evaluator(SMALL_RULES.replace("points: 20, reason", "points: 45, reason"))
TOPIC = "lead.routing.shadow"


@pytest.fixture
def settings() -> Settings:
    """With a shadow."""
    return load_settings(None, rules=Path(__file__).parent, shadow_rules=Path(__file__).parent)


class Clock:
    """Seconds, when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def shadow_of(settings: Settings, candidate: Evaluator | None, clock: Clock | None = None) -> Shadow:
    found = Shadow(settings, clock or Clock())
    if candidate is not None:
        found.use(candidate)
    return found


def records() -> "list[ConsumerRecord[bytes, bytes]]":
    """A mix of activities, as they come from Kafka."""
    return [
        ConsumerRecord("in", 0, number, 1000, 0, each.key, each.value, None, 1, 1, each.headers)
        for number, each in enumerate(stream(500, leads=40, seed=11))
    ]


def judge(lead: Lead, done: LeadActivity) -> Assessment:
    return LIVE.assess(lead, done)


def process(settings: Settings, shadow: Shadow | None) -> tuple[list[Any], dict[str, Lead], Metrics]:
    """Messages but for the shadow's, final states, metrics."""
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
    """One lead's history by the live rules, with the shadow: the lead, the samples, the figures."""
    lead, outbox, figures = Lead("lead-1"), Outbox(0), BatchFigures()
    for each in history:
        after = LIVE.assess(lead, each)
        shadow.compare(lead, each, after, outbox, figures)
        lead = after.lead
    return lead, [json.loads(message.value or b"") for message in outbox.messages], figures


def test_decisions_and_states_are_the_same_bytes_with_and_without(settings: Settings) -> None:
    plain, states, _ = process(settings, None)
    beside, states_beside, metrics = process(settings, shadow_of(settings, STRICT))
    assert [each for each in beside if each.topic != TOPIC] == plain
    assert states_beside == states
    assert any(each.topic == TOPIC for each in beside)
    assert value(metrics, "scorer_shadow_failures_total") == 0


def test_a_candidate_like_the_live_rules_agrees_always(settings: Settings) -> None:
    beside, _, metrics = process(settings, shadow_of(settings, evaluator()))
    assert not any(each.topic == TOPIC for each in beside)
    text = metrics.render().decode()
    assert "scorer_shadow_divergences_total{" not in text
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
        each = activity(kind, data, day=number / 5, lead=lead_id)
        before = leads.get(lead_id, Lead(lead_id))
        after = LIVE.assess(before, each)
        shadow.compare(before, each, after, outbox, figures)
        leads[lead_id] = after.lead
        # What the candidate says of the lead before anything was published about it.
        unpublished = before.apply(each, LIVE.hits(each))
        wanted = STRICT.evaluate(unpublished, unpublished.clock)
        assert after.evaluation is not None
        counts[after.evaluation.rating.value, wanted.rating.value] += 1
    found: Counter[tuple[str, str]] = Counter()
    for (live, other, _, _), count in figures.shadow.items():
        found[live, other] += count
    assert found == counts
    assert found["hot", "warm"] > 0
    assert figures.divergences["rating"] == sum(count for (one, other), count in counts.items() if one != other)


def test_a_hand_over_by_the_live_rules_is_none_of_the_candidates(settings: Settings) -> None:
    """It asks for leads that were handed over; but that was decided just now, by the live rules."""
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


def test_hysteresis_is_measured_from_what_was_published(settings: Settings) -> None:
    twin = evaluator()
    warm = [activity("qualification_updated", {"bant": {"budget_status": "approved"}}, day=0)]
    cooler = activity("profile_updated", {"email_kind": "free", "country": "DE"}, day=1)
    _, samples, figures = feed(shadow_of(settings, twin), [*warm, cooler])
    assert (samples, figures.divergences) == ([], {})


def test_a_sample_says_who_what_and_why(settings: Settings) -> None:
    history = [
        activity(
            "qualification_updated",
            {"bant": {"budget_status": "approved", "authority": "influencer"}},
            id="e1",
            day=0.5,
        )
    ]
    _, (sample,), figures = feed(shadow_of(settings, DEAR), history)
    shown = {"name": "small", "rating": "warm", "grade": "B4", "route": "nurture", "routing": "keep-warm", "score": 25}
    live = sample.pop("live")
    assert live.pop("ruleset") == {"name": "small", "revision": LIVE.ruleset.revision}
    assert live == {key: shown[key] for key in shown if key != "name"} | {"queue": None}
    other = sample.pop("shadow")
    assert other.pop("ruleset")["revision"] == DEAR.ruleset.revision
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


def test_samples_are_limited_and_counting_goes_on(settings: Settings) -> None:
    clock = Clock()
    shadow = shadow_of(settings, DEAR, clock)
    outbox, figures = Outbox(0), BatchFigures()
    published = []
    for number in range(200):
        each = activity("qualification_updated", {"bant": {"budget_status": "approved"}}, lead=f"lead-{number}")
        before, lead = len(outbox.messages), Lead(each.lead_id)
        shadow.compare(lead, each, LIVE.assess(lead, each), outbox, figures)
        published.append((clock.now, len(outbox.messages) - before))
        clock.now += 0.02
    assert figures.divergences["rating"] == 200
    assert len(outbox.messages) == pytest.approx((4 + 1) * SAMPLES_A_SECOND, abs=1)
    for start, _ in published:
        assert sum(count for at, count in published if start <= at < start + 1) <= 2 * SAMPLES_A_SECOND


def test_a_candidate_that_fails_costs_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, states, _ = process(settings, None)
    clock = Clock()
    said: list[str] = []
    monkeypatch.setattr(module.log, "error", lambda event, **_: said.append(event), raising=False)

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
    assert said == ["shadow_failed"], "once a minute, not once a judgement"


def test_a_signal_that_only_the_candidate_has_counts_nothing(settings: Settings) -> None:
    new = evaluator(SMALL_RULES.replace("signals:\n", "signals:\n  blog: {activity: page_viewed, points: 50}\n"))
    lead, samples, figures = feed(
        shadow_of(settings, new), [activity("page_viewed", {"url": "/blog"}) for _ in range(5)]
    )
    assert (samples, figures.divergences) == ([], {})
    assert "blog" not in lead.signals


def test_another_candidate_is_another_opinion(settings: Settings) -> None:
    shadow = shadow_of(settings, evaluator())
    history = [activity("qualification_updated", {"bant": {"budget_status": "approved"}})]
    assert feed(shadow, history)[1] == []
    shadow.use(DEAR)
    assert len(feed(shadow, history)[1]) == 1


def test_without_a_candidate_nothing_happens(settings: Settings) -> None:
    _, samples, figures = feed(shadow_of(settings, None), [activity("trial_started")])
    assert (samples, figures) == ([], BatchFigures())


def test_what_is_remembered_of_leads_is_bounded(settings: Settings) -> None:
    shadow = shadow_of(settings.model_copy(update={"cache_leads": 3}), STRICT)
    for number in range(10):
        each = activity("trial_started", lead=f"lead-{number}")
        lead = Lead(each.lead_id)
        shadow.compare(lead, each, LIVE.assess(lead, each), Outbox(0), BatchFigures())
    assert 0 < len(shadow._notes.all_keys()) <= 3
