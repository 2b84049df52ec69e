"""Key figures equal what somebody finds who goes through the list of leads, whatever was added, removed and merged."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from scorer.domain.counts import Counts, counts_of
from scorer.domain.instant import DAY, HOUR, MINUTE, from_datetime, to_datetime
from scorer.domain.lifecycle import (
    RATINGS,
    STAGED,
    STATUSES,
    Decided,
    Lifecycle,
    Promise,
    Step,
    is_usual,
    replaced,
    with_decision,
)
from scorer.domain.score import Rating, Route
from scorer.figures.figures import KEPT_DAYS, Figures
from scorer.figures.summary import HandOvers, PeriodSummary, Summary
from scorer.rules.ruleset import Ruleset
from tests.factory import SMALL_RULES, ruleset

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
PERIODS = ["week", "month", "quarter", "year"]
EPOCH = date(1970, 1, 1)
PHASES = {"Open": 0, "Working": 1, "Proposal": 2, "Revised": 2, "Negotiation": 3, "Signed": 4}
PHASE_NAMES = ["acquisition", "contact", "offer", "negotiation", "close"]
SAID = ["accepted", "returned", "won", "lost"]
QUEUES = {"key-accounts", "inside-sales"}
LIFECYCLE = """
lifecycle:
  phases: {acquisition: [Open], contact: [Working], offer: [Proposal, Revised],
           negotiation: [Negotiation], close: [Signed]}
  categories: [{id: active, when: {rating: hot}}, {id: base}]
  actions: {meeting: {activity: meeting_held}, call: {activity: call_logged}}
"""
# Around the changes of the clocks in Berlin and New York, and around the ends of months, quarters and years.
EDGES = [
    datetime(2025, 10, 26, 0, 30, tzinfo=UTC),
    datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
    datetime(2025, 11, 2, 5, 30, tzinfo=UTC),
    datetime(2025, 10, 31, 23, 0, tzinfo=UTC),
    datetime(2026, 2, 28, 23, 0, tzinfo=UTC),
    datetime(2025, 12, 31, 23, 30, tzinfo=UTC),
    datetime(2024, 12, 30, 0, 0, tzinfo=UTC),
]

Lead = tuple[Lifecycle | None, dict[str, Counts]]


@cache
def rules(zone: str, period: str) -> Ruleset:
    """Rules with targets of this zone and period."""
    targets = f"targets: {{revenue: 100000, average_deal: 4000, closing_rate: 1/3, period: {period}, zone: {zone}}}\n"
    return ruleset(SMALL_RULES + LIFECYCLE + targets)


instants = st.one_of(
    st.builds(lambda edge, shift: from_datetime(edge) + shift, st.sampled_from(EDGES), st.integers(-DAY, DAY)),
    st.sampled_from([from_datetime(edge) + HOUR * number for edge in EDGES for number in (0, 1, 24)]),
    st.integers(from_datetime(EDGES[-1]), from_datetime(EDGES[1])),
)
steps = st.one_of(
    st.builds(lambda time, name: Step(time, STATUSES.index(name)), instants, st.sampled_from(SAID)),
    st.builds(
        lambda time, name: Step(time, STAGED, name), instants, st.sampled_from([*PHASES, "Their own", "Open deal"])
    ),
)
decisions = st.builds(
    lambda time, delay, rating, route, queue: Decided(time, delay, rating, route, route == 2, queue),
    instants,
    st.integers(0, 3 * HOUR),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(["key-accounts", "inside-sales", "of-earlier-rules", None]),
)
promises = st.builds(
    lambda since, wait, queue: Promise(since, since + MINUTE, since + wait, queue, ((since + wait, "inside-sales"),)),
    instants,
    st.integers(0, 40 * DAY),
    st.sampled_from(["key-accounts", "of-earlier-rules", None]),
)
lifecycles = st.builds(
    lambda stated, decided, promise, category: Lifecycle(
        tuple(sorted(set(stated))), tuple(sorted(decided, key=lambda one: one.time)), promise, category
    ),
    st.lists(steps, max_size=8),
    st.lists(decisions, max_size=4),
    st.none() | promises,
    st.sampled_from([None, "active", "base", "of-earlier-rules"]),
)
counts = st.dictionaries(
    st.sampled_from([from_datetime(edge) // DAY + number for edge in EDGES for number in (-1, 0, 1)]),
    st.lists(st.integers(0, 1 << 60), min_size=1, max_size=3, unique=True).map(lambda found: tuple(sorted(found))),
    min_size=1,
    max_size=3,
).map(counts_of)
leads = st.tuples(
    st.none() | lifecycles,
    st.dictionaries(st.sampled_from(["action:meeting", "action:call", "action:of-earlier-rules", "signal"]), counts),
)


@dataclass
class Naive:
    """The same figures by going through all leads for each number."""

    leads: list[Lead]
    zone: str
    period: str

    def day(self, instant: int) -> date:
        return to_datetime(instant).astimezone(ZoneInfo(self.zone)).date()

    def label(self, day: date) -> str:
        year, week, _ = day.isocalendar()
        return {
            "week": f"{year}-W{week:02}",
            "month": f"{day:%Y-%m}",
            "quarter": f"{day.year}-Q{(day.month + 2) // 3}",
            "year": str(day.year),
        }[self.period]

    def period_of(self, instant: int) -> str:
        return self.label(self.day(instant))

    def passages(self, lifecycle: Lifecycle) -> list[tuple[int, str, str]]:
        """(time, before, after) of all changes of the status, by the table of `docs`."""
        events: list[tuple[int, int, int, Decided | str]] = [
            (one.time, -1, one.time + one.delay, one) for one in lifecycle.decisions
        ]
        events += [
            (one.time, one.status, one.time, STATUSES[one.status]) for one in lifecycle.steps if one.status != STAGED
        ]
        status, found = "new", []
        for _, _, at, event in sorted(events, key=lambda one: one[:2]):
            after = status
            if isinstance(event, str):
                after = event
            elif event.is_hand_over:
                after = "handed_over"
            elif status in ("new", "nurturing", "discarded", "handed_over"):
                after = {"nurture": "nurturing", "discard": "discarded"}.get(list(Route)[event.route].value, status)
            if after != status:
                found.append((at, status, after))
                status = after
        return found

    def stages(self, lifecycle: Lifecycle) -> list[tuple[int, str, str]]:
        stage, found = "", []
        for step in lifecycle.steps:
            if step.status == STAGED and step.stage != stage:
                found.append((step.time, stage, step.stage))
                stage = step.stage
        return found

    def hand_overs(self, label: str, queue: str | None = None) -> HandOvers:
        became: Counter[str] = Counter()
        for lifecycle, _ in self.leads:
            given = [] if lifecycle is None else [one for one in lifecycle.decisions if one.is_hand_over]
            for number, one in enumerate(given):
                named = "" if one.queue is None else one.queue if one.queue in QUEUES else "other"
                if self.period_of(one.time + one.delay) != label or queue not in (None, named):
                    continue
                end = given[number + 1].time if number + 1 < len(given) else 1 << 62
                assert lifecycle is not None
                said = {STATUSES[s.status] for s in lifecycle.steps if s.status != STAGED and one.time <= s.time < end}
                became["handed_over"] += 1
                became["accepted"] += bool(said & {"accepted", "won", "lost"})
                for outcome in ("returned", "won", "lost"):
                    became[outcome] += outcome in said
        return HandOvers(*(became[name] for name in ("handed_over", "accepted", "returned", "won", "lost")))

    def phases(self, label: str) -> list[tuple[str, int, int]]:
        reached, went_on = Counter[int](), Counter[int]()
        for lifecycle, _ in self.leads:
            path = [] if lifecycle is None else self.stages(lifecycle)
            walked = [(at, PHASES[stage]) for at, _, stage in path if stage in PHASES]
            entered: dict[int, list[int]] = {}
            at_phase = -1
            for number, (at, phase) in enumerate(walked):
                newly = range(at_phase + 1, phase + 1) if phase > at_phase else [phase] if phase < at_phase else []
                at_phase = phase
                if self.period_of(at) == label:
                    for one in newly:
                        entered.setdefault(one, []).append(number)
            for phase, numbers in entered.items():
                reached[phase] += 1
                went_on[phase] += any(later > phase for number in numbers for _, later in walked[number:])
        return [(name, reached[number], went_on[number]) for number, name in enumerate(PHASE_NAMES)]


def check_period(found: PeriodSummary, naive: Naive, day: date) -> None:
    """All figures of the period that contains the day."""
    label = naive.label(day)
    assert found.label == label
    first, last = (EPOCH + timedelta(days=number) for number in (found.first_day, found.last_day))
    assert naive.label(first) == naive.label(last) == label
    assert naive.label(first - timedelta(days=1)) != label != naive.label(last + timedelta(days=1))
    assert naive.period_of(found.start) == naive.period_of(found.end - 1) == label
    assert naive.period_of(found.start - 1) != label != naive.period_of(found.end)
    assert found.handed_over == naive.hand_overs(label)
    assert all(part == naive.hand_overs(label, queue) for queue, part in found.by_queue.items())
    assert sum(part.handed_over for part in found.by_queue.values()) == found.handed_over.handed_over
    assert sum(found.handed_over_by_day.values()) == found.handed_over.handed_over
    known = [lifecycle for lifecycle, _ in naive.leads if lifecycle is not None]
    said = Counter(
        STATUSES[s.status]
        for one in known
        for s in one.steps
        if s.status != STAGED and naive.period_of(s.time) == label
    )
    assert (found.accepted, found.returned, found.won, found.lost) == tuple(
        said[name] for name in ("accepted", "returned", "won", "lost")
    )
    statuses = Counter(
        (before, after) for one in known for at, before, after in naive.passages(one) if naive.period_of(at) == label
    )
    assert found.statuses == statuses
    usual = {(before, after) for before in STATUSES for after in STATUSES if is_usual(before, after)}
    assert found.unusual == {pair: times for pair, times in statuses.items() if pair not in usual}
    assert found.stages == Counter(
        tuple(stage if stage in PHASES else "other" if stage else "none" for stage in (before, after))
        for one in known
        for at, before, after in naive.stages(one)
        if naive.period_of(at) == label
    )
    assert found.ratings == Counter(
        (RATINGS[before.rating].value, RATINGS[after.rating].value)
        for one in known
        for before, after in zip(one.decisions, one.decisions[1:], strict=False)
        if before.rating != after.rating and naive.period_of(after.time + after.delay) == label
    )
    assert [(one.phase, one.reached, one.went_on) for one in found.phases] == naive.phases(label)
    actions: dict[str, Counter[int]] = {}
    for _, counted in naive.leads:
        for name in ("meeting", "call"):
            numbers: tuple[int, ...] = counted.get(f"action:{name}", (b"", 0, 0))[1:]
            for number, times in zip(numbers[::2], numbers[1::2], strict=True):
                if times and naive.label(EPOCH + timedelta(days=number)) == label:
                    actions.setdefault(name, Counter())[number] += times
    assert found.actions == actions


def check(found: Summary, naive: Naive, now: int) -> None:
    """All figures as of now."""
    check_period(found.period, naive, naive.day(now))
    check_period(found.previous, naive, EPOCH + timedelta(days=found.period.first_day - 1))
    share = (now - found.period.start) / (found.period.end - found.period.start)
    assert found.period.elapsed == share
    assert found.previous.elapsed == 1.0
    if share:
        assert found.period.forecast == found.period.handed_over.handed_over / share
    assert found.leads == len(naive.leads)
    statuses, ratings, categories = Counter[str](), Counter[str](), Counter[str]()
    waiting, overdue, hot = Counter[str](), Counter[str](), Counter[str]()
    for lifecycle, _ in naive.leads:
        passed = [] if lifecycle is None else naive.passages(lifecycle)
        statuses[passed[-1][2] if passed else "new"] += 1
        is_judged = lifecycle is not None and lifecycle.decisions
        rating = RATINGS[lifecycle.decisions[-1].rating] if lifecycle is not None and is_judged else None
        ratings[rating or "none"] += 1
        category = None if lifecycle is None else lifecycle.category
        categories[category if category in ("active", "base") else "other" if category else "none"] += 1
        promise = None if lifecycle is None else lifecycle.promise
        if promise is not None:
            queue = promise.queue if promise.queue in QUEUES else "other" if promise.queue else ""
            waiting[queue] += 1
            overdue[queue] += promise.respond_by <= now
            hot[queue] += rating is Rating.HOT
    assert (found.by_status, found.by_rating, found.by_category) == (statuses, ratings, categories)
    assert (found.open_promises, found.overdue, +Counter(found.hot_untouched)) == (waiting, overdue, +hot)


@settings(deadline=None)
@given(st.lists(leads, max_size=6), st.sampled_from(ZONES), st.sampled_from(PERIODS), instants)
@example([], "Europe/Berlin", "month", from_datetime(datetime(2026, 1, 1, tzinfo=UTC)))
def test_the_figures_are_those_of_the_list(found: list[Lead], zone: str, period: str, now: int) -> None:
    figures = Figures(rules(zone, period))
    for lifecycle, actions in found:
        figures.add(lifecycle, actions)
    check(figures.summary(now), Naive(found, zone, period), now)


@settings(deadline=None)
@given(st.lists(st.tuples(leads, leads), max_size=5), st.lists(leads, max_size=4), st.randoms(use_true_random=False))
def test_changes_in_any_order_and_parts_in_any_order_give_the_same(
    changed: list[tuple[Lead, Lead]], kept: list[Lead], random: Random
) -> None:
    by = rules("Europe/Berlin", "quarter")
    expected = Figures(by)
    for lead in [*kept, *(after for _, after in changed)]:
        expected.add(*lead)
    moves = [(1, lead) for lead in kept]
    for before, after in changed:
        moves += [(1, before), (-1, before), (1, after)]
    random.shuffle(moves)
    parts = [Figures(by), Figures(by), Figures(by)]
    for number, (sign, lead) in enumerate(moves):
        part = parts[number % 3]
        if sign > 0:
            part.add(*lead)
        else:
            part.remove(*lead)
    left, right = Figures(by), Figures(by)
    for part in parts:
        left.merge(part)
    parts[1].merge(parts[2])
    right.merge(parts[1])
    right.merge(parts[0])
    assert left == right == expected
    for before, after in changed:
        left.replace(after[0], before[0], after[1], before[1])
        left.replace(before[0], after[0], before[1], after[1])
        assert left == expected
    for lead in [*kept, *(after for _, after in changed)]:
        left.remove(*lead)
    assert left == Figures(by)


@settings(deadline=None)
@given(st.lists(lifecycles, max_size=4), st.lists(decisions, min_size=1, max_size=6), st.booleans(), promises)
def test_decision_by_decision_gives_the_same(
    others: list[Lifecycle], decided: list[Decided], in_order: bool, promise: Promise
) -> None:
    by = rules("Europe/Berlin", "month")
    figures, expected = Figures(by), Figures(by)
    for lifecycle in others:
        figures.add(lifecycle, {})
        expected.add(lifecycle, {})
    if in_order:
        decided.sort(key=lambda one: one.time)
    lead: Lifecycle | None = None
    figures.add(lead, {})
    for number, one in enumerate(decided):
        after = with_decision(lead or Lifecycle(), one, promise if one.is_hand_over else None)
        judged = replaced(after, category="active" if number % 2 else None)
        for before, now in ((lead, after), (after, judged)):
            figures.replace(before, now, {}, {})
        lead = judged
    expected.add(lead, {})
    assert figures == expected


@settings(deadline=None)
@given(st.lists(leads, max_size=4), instants)
def test_old_days_are_forgotten_and_stay_forgotten(found: list[Lead], now: int) -> None:
    by = rules("UTC", "month")
    late, early = Figures(by), Figures(by)
    early.forget(now + KEPT_DAYS * DAY)
    for lead in found:
        late.add(*lead)
        early.add(*lead)
    late.forget(now + KEPT_DAYS * DAY)
    assert late == early
    for lead in found:
        late.remove(*lead)
    empty = Figures(by)
    empty.forget(now + KEPT_DAYS * DAY)
    assert late == empty
