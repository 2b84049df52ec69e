"""The survey of a partition's leads: a few at a time, and right whatever changes meanwhile."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from scorer.domain.counts import counts_of
from scorer.domain.effects import Answered, Effect, Escalated, StageChanged, StatusChanged
from scorer.domain.facts import Fact, Stamp
from scorer.domain.instant import DAY, HOUR, SECOND
from scorer.domain.lead import Lead, Published
from scorer.domain.lifecycle import RATINGS, ROUTES, STAGED, STATUSES, Decided, Lifecycle, Promise, Step
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.evaluation.evaluator import Evaluator
from scorer.figures.figures import Figures
from scorer.figures.gauges import gauges
from scorer.kafka.record_limits import Limit
from scorer.runtime.metrics import KEY_FIGURES, MAX_STAGES, BatchFigures, Metrics
from scorer.runtime.settings import load_settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.state.codec import encode_lead
from scorer.state.store import LeadStore
from scorer.stream.effects import stage_effects
from scorer.stream.jobs.key_figures import LEADS_A_SECOND, KeyFigures
from scorer.stream.outbox import Outbox
from tests.factory import SMALL_RULES, evaluator
from tests.unit.test_metrics import samples, value

NOW = 20_700 * DAY + 5 * HOUR
TEXT = (
    SMALL_RULES
    + """
targets: {revenue: 100000, average_deal: 4000, closing_rate: 1/3}
lifecycle:
  phases: {contact: [Working], offer: [Proposal]}
  categories: [{id: active, when: {rating: hot}}, {id: base}]
  actions: {meeting: {activity: meeting_held}}
"""
)
RULES = evaluator(TEXT)
HOT, SALES = RATINGS.index(Rating.HOT), ROUTES.index(Route.SALES)
QUEUES = ("key-accounts", "inside-sales", "gone", None)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def lead(lead_id: str, random: Random) -> Lead:
    """A lead in the middle of its life."""
    at = NOW - random.randrange(40 * DAY)
    steps = [Step(at + random.randrange(DAY), random.choice((3, 4, 5, 6))) for _ in range(random.randrange(3))]
    steps += [Step(at + random.randrange(DAY), STAGED, random.choice(("Working", "Proposal", "Own")))]
    queue = random.choice(QUEUES)
    promise = random.choice((None, Promise(at, at, NOW + random.randrange(-DAY, DAY), queue)))
    handed_over = (Decided(at, SECOND, HOT, SALES, True, queue),)
    lifecycle = random.choice(
        (None, Lifecycle(tuple(sorted({*steps})), handed_over, promise, random.choice(("active", "base", "old", None))))
    )
    counted = {"action:meeting": counts_of({NOW // DAY: (random.randrange(9),)})} if random.random() < 0.5 else {}
    return Lead(lead_id, NOW, lifecycle=lifecycle, counted=counted)


def filled(count: int, random: Random, cache: int = 100) -> LeadStore:
    """A store after a restore."""
    store = LeadStore(cache)
    for number in range(count):
        store.restore(f"lead-{number}", encode_lead(lead(f"lead-{number}", random)))
    return store


def job(store: LeadStore, rules: Callable[[], Evaluator] = lambda: RULES, clock: Clock | None = None) -> KeyFigures:
    """The job of a partition."""
    return KeyFigures(rules, store, 0, TokenBucket(clock or Clock()))


def counted(store: LeadStore, rules: Evaluator = RULES) -> Figures:
    """The figures of all leads at rest."""
    figures = Figures(rules.ruleset)
    for one in store.leads():
        figures.add(one.known_lifecycle(), one.counted)
    return figures


def change(store: LeadStore, random: Random) -> None:
    """A transaction that changes, adds and removes leads. Some of them have nothing to do with the figures."""
    for _ in range(random.randrange(1, 6)):
        lead_id = f"lead-{random.randrange(700)}"
        known = store.get(lead_id)
        kind = random.random()
        if kind < 0.5:
            store.stage(replace(lead(lead_id, random), clock=NOW))
        elif kind < 0.7:
            store.stage_removal(lead_id)
        elif known.clock == NOW:
            store.stage(replace(known, counted={**known.counted, "pricing": counts_of({NOW // DAY: (5,)})}))
    if random.random() < 0.1:
        store.discard()
    else:
        store.commit()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cache", [0, 50])
def test_changes_during_and_after_the_survey_are_counted_once(seed: int, cache: int) -> None:
    random, clock = Random(seed), Clock()
    store = filled(600, random, cache)
    survey = job(store, clock=clock)
    looks = 0
    while survey.figures is None:
        for _ in range(random.randrange(4)):
            change(store, random)
        clock.seconds += random.random() * 0.1
        assert survey.ready() is False
        looks += 1
        assert looks < 1000
    assert looks > 2
    assert survey.figures == counted(store)
    for _ in range(50):
        change(store, random)
        assert survey.figures == counted(store)


def test_an_action_without_a_step_is_counted() -> None:
    store = LeadStore()
    store.restore("lead-1", encode_lead(Lead("lead-1", NOW, lifecycle=Lifecycle())))
    survey = job(store)
    assert survey.ready() is False
    known = store.get("lead-1")
    store.stage(replace(known, counted={"action:meeting": counts_of({NOW // DAY: (5,)})}))
    store.commit()
    assert survey.figures is not None
    assert survey.figures.actions_on(NOW // DAY) == {"meeting": 1}


def test_leads_are_read_at_a_bounded_rate_and_the_figures_are_unknown_until_all_are() -> None:
    clock = Clock()
    store = filled(1_000, Random(1))
    survey = job(store, clock=clock)
    assert (survey.remaining, survey.patience(), survey.figures) == (1_000, 0.0, None)
    survey.ready()
    left = survey.remaining
    assert 0 < left < 1_000
    for _ in range(10):
        survey.ready()
    assert survey.remaining == left, "without time no leads are read"
    patience = survey.patience()
    assert patience is not None
    assert patience > 0
    while survey.figures is None:
        clock.seconds += survey.patience() or 0.0
        survey.ready()
    assert clock.seconds >= (1_000 - left) / LEADS_A_SECOND * 0.99
    assert survey.patience() is None
    assert survey.stage(Outbox(0), BatchFigures(), busy=False) is False


def test_rules_that_name_something_else_count_anew_and_others_do_not() -> None:
    now = [RULES]
    clock = Clock()
    store = filled(300, Random(2))
    survey = job(store, lambda: now[0], clock)
    while survey.figures is None:
        clock.seconds += 1
        survey.ready()
    now[0] = evaluator(TEXT.replace("hot: 40", "hot: 50"))
    assert survey.figures == counted(store)
    for changed in (
        TEXT.replace("closing_rate: 1/3", "closing_rate: 1/4"),
        TEXT.replace("offer: [Proposal]", "close: [Proposal]"),
        TEXT.replace("id: active", "id: active-a"),
        TEXT.replace("actions: {meeting:", "actions: {visit:"),
        TEXT.replace("queue: key-accounts", "queue: others"),
    ):
        assert changed != TEXT
        now[0] = evaluator(changed)
        assert survey.figures is None
        while survey.figures is None:
            clock.seconds += 1
            survey.ready()
        assert survey.figures == counted(store, now[0])


def test_leads_of_earlier_releases_count_by_their_facts() -> None:
    at = NOW - DAY
    published = Published(Rating.HOT, Grade("A", 1), Route.SALES, "key-accounts", Score(50, 0), at)
    facts = {
        "lifecycle.status": Fact("accepted", Stamp(at + HOUR, "e1", "/crm")),
        "at.handed_over": Fact(True, Stamp(at, "", "")),
        "at.sales_accepted": Fact(True, Stamp(at + HOUR, "e1", "/crm")),
    }
    store = LeadStore()
    store.restore("old", encode_lead(Lead("old", NOW, facts, published=published)))
    survey = job(store)
    survey.ready()
    assert survey.figures is not None
    shown = survey.figures.summary(NOW)
    assert shown.by_status == {"accepted": 1}
    assert (shown.period.handed_over.handed_over, shown.period.handed_over.accepted) == (1, 1)
    store.stage(replace(store.get("old"), clock=NOW + 1))
    store.commit()
    assert survey.figures.summary(NOW) == shown


def test_a_damaged_state_is_named_and_the_others_are_counted() -> None:
    store = filled(5, Random(3))
    whole = encode_lead(Lead("x", NOW, lifecycle=Lifecycle((Step(1, STATUSES.index("won")),))))
    store.restore("damaged", whole[:2] + b"\xc1" * len(whole))
    survey = job(store)
    with capture_logs() as logs:
        survey.ready()
    assert [line["lead"] for line in logs] == ["damaged"]
    assert survey.figures is not None
    assert survey.figures.summary(NOW).leads == 5


def test_every_gauge_is_described_and_parts_add_up() -> None:
    random = Random(4)
    parts, whole = [Figures(RULES.ruleset) for _ in range(3)], Figures(RULES.ruleset)
    for number in range(300):
        one = lead(f"lead-{number}", random)
        parts[number % 3].add(one.lifecycle, one.counted)
        whole.add(one.lifecycle, one.counted)
    together = gauges(parts, NOW)
    assert set(together) == set(KEY_FIGURES)
    single = gauges([whole], NOW)
    for name, values in together.items():
        assert all(len(labels) == len(KEY_FIGURES[name][1]) for labels in values)
        if name != "scorer_figures_partitions":
            assert values == pytest.approx(single[name])
    metrics = Metrics()
    assert not {name for name, _ in samples(metrics)} & set(KEY_FIGURES)
    metrics.key_figures(together)
    assert value(metrics, "scorer_opportunities_needed") == 75
    assert value(metrics, "scorer_leads", status="won") == together["scorer_leads"]["won",]
    metrics.key_figures({})
    assert not {name for name, _ in samples(metrics)} & set(KEY_FIGURES)


def test_effects_are_counted_by_names_of_the_rules() -> None:
    metrics, figures = Metrics(), BatchFigures()
    metrics.ruleset(
        "b2b", "1", "durable", queues=["inside-sales"], stages=[f"stage-{n}" for n in range(MAX_STAGES + 5)]
    )
    effects: list[Effect] = [
        Answered("inside-sales", 600 * SECOND),
        Answered("of-earlier-rules", 20 * DAY),
        Answered("inside-sales", None),
        Escalated("inside-sales", 2),
        Escalated(None, 1),
        StatusChanged("new", "handed_over", True),
        StatusChanged("new", "won", False),
        StageChanged("", "stage-0"),
        StageChanged("stage-1", "invented"),
        StageChanged("stage-0", f"stage-{MAX_STAGES}"),
    ]
    settings = load_settings(None, rules=Path(__file__).parent)
    stage_effects(effects, Outbox(0), figures, settings, NOW, Limit(1_000, "the test"))
    metrics.committed(figures, NOW / SECOND)
    name = "scorer_first_response_seconds"
    assert value(metrics, f"{name}_bucket", queue="inside-sales", le="300.0") == 0
    assert value(metrics, f"{name}_bucket", queue="inside-sales", le="900.0") == 1
    assert value(metrics, f"{name}_count", queue="inside-sales") == 1
    assert value(metrics, f"{name}_bucket", queue="other", le="864000.0") == 0
    assert value(metrics, f"{name}_bucket", queue="other", le="+Inf") == 1
    assert value(metrics, "scorer_escalations_total", queue="inside-sales", level="2") == 1
    assert value(metrics, "scorer_escalations_total", queue="", level="1") == 1
    assert value(metrics, "scorer_status_transitions_total", from_="new", to="won") == 1
    assert value(metrics, "scorer_unusual_transitions_total", from_="new", to="won") == 1
    unusual = [labels for name, labels in samples(metrics) if name == "scorer_unusual_transitions_total"]
    assert len(unusual) == 1
    assert value(metrics, "scorer_stage_transitions_total", from_="none", to="stage-0") == 1
    assert value(metrics, "scorer_stage_transitions_total", from_="stage-1", to="other") == 1
    assert value(metrics, "scorer_stage_transitions_total", from_="stage-0", to="other") == 1
