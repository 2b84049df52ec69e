"""For all stories of a lead, repetition does not matter, nor order apart from equal times, and points are never lost or
invented.

This module computes the expected score independently, from the plain list of events, without the lead's state.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.identities import REMEMBERED_DAYS
from scorer.domain.instant import DAY, day_of
from scorer.domain.lead import Lead
from scorer.evaluation.contributions import contributions
from tests.factory import MONDAY, activity, evaluator

RULES = evaluator()

_values = st.sampled_from(["approved", "planned", "none", None])
_payloads = st.one_of(
    st.tuples(st.just("page_viewed"), st.fixed_dictionaries({"url": st.sampled_from(["/pricing", "/careers", "/"])})),
    st.tuples(st.just("trial_started"), st.just({})),
    st.tuples(st.just("booth_visited"), st.fixed_dictionaries({"minutes": st.integers(0, 9)})),
    st.tuples(
        st.just("qualification_updated"),
        st.fixed_dictionaries({"bant": st.fixed_dictionaries({}, optional={"budget_status": _values})}),
    ),
    st.tuples(
        st.just("profile_updated"),
        st.fixed_dictionaries(
            {},
            optional={
                "employees": st.none() | st.integers(0, 500),
                "country": st.sampled_from(["DE", "US"]),
                "custom": st.fixed_dictionaries({"installed_base": st.integers(-1, 1)}),
            },
        ),
    ),
    st.tuples(st.just("sales_returned"), st.just({})),
    st.tuples(st.just("erased"), st.just({})),
)


@st.composite
def stories(draw: st.DrawFn) -> list[LeadActivity]:
    # Few distinct times and ids, over more than the kept days, because ties and old events are where mistakes hide.
    times = st.sampled_from([0, 0.25, 1, 1.5, 9, 30, 120, 400, 1000])
    count = draw(st.integers(1, 14))
    story = []
    for number in range(count):
        kind, data = draw(_payloads)
        source = draw(st.sampled_from(["crm", "web"]))
        story.append(activity(kind, data, day=draw(times), id=f"{number:02}", source=source))
    return story


def play(story: Sequence[LeadActivity]) -> Lead:
    lead = Lead("lead-1")
    for event in story:
        lead = RULES.assess(lead, event).lead
    return lead


def part_of(event: LeadActivity, name: str) -> Mapping[str, object]:
    """A section of the payload."""
    part = event.data.get(name, {})
    assert isinstance(part, Mapping)
    return part


def facts_of(story: Sequence[LeadActivity]) -> dict[str, object]:
    """The facts that the events state, in the order in which they arrive: the latest counts, and of several at one time
    the last new one, unless it is so old that nobody can say whether it is new."""
    facts: dict[str, tuple[int, object]] = {}
    known: set[str] = set()
    clock, erased = -(1 << 62), -(1 << 62)
    for event in story:
        if event.time <= erased:
            continue
        clock = max(clock, event.time)
        if event.type == "lead.erased":
            erased = event.time
            facts = {name: fact for name, fact in facts.items() if fact[0] > erased}
            continue
        is_recent = day_of(event.time) >= day_of(clock) - REMEMBERED_DAYS and day_of(event.time) > day_of(erased)
        stated: dict[str, object] = {}
        if event.type == "lead.profile_updated":
            stated = {**event.data, **part_of(event, "custom")}
        elif event.type == "lead.qualification_updated":
            stated = {**part_of(event, "bant")}
        for name, value in stated.items():
            before = facts.get(name)
            ties = is_recent and event.key not in known
            if before is None or event.time > before[0] or (event.time == before[0] and ties):
                facts[name] = event.time, value
        known.add(event.key)
    return {name: value for name, (_, value) in facts.items()}


def expected(story: Sequence[LeadActivity]) -> tuple[int, int]:
    """(fit, engagement) of SMALL_RULES, straight from the events in the order in which they arrive."""
    facts = facts_of(story)
    events = list({event.key: event for event in story}.values())
    erased = max((event.time for event in events if event.type == "lead.erased"), default=None)
    now = max(event.time for event in events)
    alive = [event for event in events if erased is None or event.time > erased]
    fit = {"approved": 20, "planned": 10}.get(str(facts.get("budget_status")), 0)
    employees, base = facts.get("employees"), facts.get("installed_base")
    company = 10 if isinstance(employees, int) and employees >= 250 else 0
    company += 5 if facts.get("country") == "DE" else 0
    company += 5 if isinstance(base, int) and base > 0 else 0
    fit += min(15, company)

    days: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for event in alive:
        day = day_of(event.time)
        if erased is not None and day <= day_of(erased):
            continue
        match event.type, event.data.get("path"):
            case "lead.page_viewed", "/pricing":
                days["pricing"][day] += 1
            case "lead.page_viewed", "/careers":
                days["careers"][day] += 1
            case "lead.trial_started", _:
                days["trial"][day] += 1
            case "lead.booth_visited", _:
                days["booth"][day] += int(event.data["minutes"] >= 5)  # type: ignore[operator]
    today = day_of(now)

    def points(signal: str, value: int, cap: int, window: int, half_life: float | None, limit: int | None) -> int:
        total = 0.0
        for day, count in days[signal].items():
            if 0 <= today - day < window:
                total += min(count, cap) * value * (1 if half_life is None else 0.5 ** ((today - day) / half_life))
        if limit is not None:
            total = max(-limit, min(limit, total))
        return int(abs(total) + 0.5) * (1 if total >= 0 else -1)

    engagement = points("pricing", 5, 2, 365, 10, 20) + points("careers", -10, 10, 365, None, 10)
    engagement += points("trial", 15, 10, 90, None, None) + points("booth", 4, 10, 365, None, None)
    return fit, engagement


@settings(max_examples=1500, deadline=None)
@given(stories(), st.randoms(use_true_random=False))
def test_the_score_is_that_of_the_plain_events_in_any_order_and_with_repetition(
    story: list[LeadActivity], chance: random.Random
) -> None:
    shuffled = story + chance.sample(story, chance.randint(0, len(story)))
    chance.shuffle(shuffled)
    lead = play(shuffled)
    assert lead.clock == max(event.time for event in story)
    assert tuple(RULES.evaluate(lead, lead.clock).score) == expected(shuffled)
    straight = play(story)
    engagement = RULES.evaluate(straight, lead.clock).score.engagement
    assert RULES.evaluate(lead, lead.clock).score.engagement == engagement
    if len({event.time for event in story}) == len(story):
        assert RULES.evaluate(lead, lead.clock).score == RULES.evaluate(straight, lead.clock).score


@settings(max_examples=500, deadline=None)
@given(stories())
def test_contributions_add_up_to_the_score_at_every_step(story: list[LeadActivity]) -> None:
    lead = Lead("lead-1")
    for event in story:
        assessment = RULES.assess(lead, event)
        lead = assessment.lead
        if assessment.evaluation is not None:
            evaluation = assessment.evaluation
            assert sum(part.points for part in contributions(evaluation)) == evaluation.score.total
        if assessment.decision is not None:
            decision = assessment.decision
            assert sum(part.points for part in decision.contributions) == decision.score.total
            assert sum(decision.criteria.values()) == decision.score.total


@settings(max_examples=300, deadline=None)
@given(stories(), st.integers(0, 800))
def test_assess_never_changes_its_argument(story: list[LeadActivity], days: int) -> None:
    lead = play(story)
    before = repr(lead)
    RULES.assess(lead, activity("page_viewed", {"url": "/pricing"}, day=days))
    RULES.assess(lead, activity("erased", day=days))
    RULES.evaluate(lead, MONDAY + days * DAY)
    assert repr(lead) == before
