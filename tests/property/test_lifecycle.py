"""The status of a lead against a plain state machine, whatever the order and repetition of its steps."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Lead, Published
from scorer.domain.lifecycle import MOST_STATED, STATUSES, passages, stage_passages
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.state.codec import decode_lead, encode_lead
from tests.factory import MONDAY, activity

SALES = {
    "lead.sales_accepted": "accepted",
    "lead.sales_returned": "returned",
    "lead.opportunity_won": "won",
    "lead.opportunity_lost": "lost",
}
OURS = {Route.NURTURE: "nurturing", Route.DISCARD: "discarded"}


class Said(NamedTuple):
    """A decision of ours."""

    place: int
    later: int
    rating: Rating
    route: Route


Entry = LeadActivity | Said


_steps = st.tuples(
    st.sampled_from(["sales_accepted", "sales_returned", "opportunity_won", "opportunity_lost", "stage_changed"]),
    st.sampled_from(["Open", "Working", "Signed"]),
)


@st.composite
def told(draw: st.DrawFn, most: int = 12) -> list[LeadActivity]:
    """Steps of sales and erasures, many of them at equal times."""
    events = []
    for number in range(draw(st.integers(1, most))):
        kind, stage = draw(_steps)
        day = draw(st.integers(0, 9))
        if draw(st.integers(0, 9)) == 0:
            events.append(activity("erased", day=day, id=f"{number}"))
        else:
            events.append(activity(kind, {"stage": stage} if kind == "stage_changed" else {}, day=day, id=f"{number}"))
    return events


_said = st.builds(
    Said,
    st.integers(0, 9).map(lambda day: MONDAY + day * 86_400_000_000),
    st.integers(0, 3).map(lambda days: days * 86_400_000_000),
    st.sampled_from(list(Rating)),
    st.sampled_from(list(Route)),
)


def play(entries: Sequence[Entry], *, packed: bool = False) -> Lead:
    lead = Lead("lead-1")
    for entry in entries:
        if isinstance(entry, Said):
            score = Score(0, 0)
            published = Published(entry.rating, Grade("A", 1), entry.route, None, score, entry.place + entry.later)
            lead = lead.publish(published, entry.place)
        else:
            lead = lead.apply(entry)
        if packed:
            lead = decode_lead(lead.id, encode_lead(lead))
    return lead


def followed(entries: Sequence[Entry]) -> tuple[str, str | None, int]:
    """Status, stage and how often the lead was returned, from all that was told and said, in that order."""
    erased = -1
    steps, ours = list[tuple[int, int, str]](), list[tuple[int, str | None]]()
    known = list[tuple[int, Rating, Route]]()
    route: Route | None = None
    stages = list[tuple[int, str]]()
    for entry in entries:
        if isinstance(entry, Said):
            status = OURS.get(entry.route)
            if entry.route is Route.SALES and route is not Route.SALES and said_so_far(ours, steps) != "accepted":
                status = "handed_over"
            # After an erasure nothing is known of what was said before.
            if not known or (entry.rating, entry.route) != known[-1][1:] or status == "handed_over":
                ours.append((entry.place, status))
                known.append((entry.place, entry.rating, entry.route))
            route = entry.route
        elif entry.time <= erased:
            continue
        elif entry.type == "lead.erased":
            steps = [step for step in steps if step[0] > entry.time]
            stages = [step for step in stages if step[0] > entry.time]
            ours = [said for said in ours if said[0] > entry.time]
            known = [said for said in known if said[0] > entry.time]
            erased = entry.time
        elif entry.type in SALES:
            steps.append((entry.time, list(SALES).index(entry.type), SALES[entry.type]))
        else:
            stages.append((entry.time, str(entry.data["stage"])))
    returned = {time for time, _, status in steps if status == "returned"}
    return said_so_far(ours, steps), max(stages)[1] if stages else None, len(returned)


def said_so_far(ours: Sequence[tuple[int, str | None]], steps: Sequence[tuple[int, int, str]]) -> str:
    """The status: what sales said from our last decision on; else that decision; and what was before it, if it says
    nothing or if the lead is with sales."""
    if not ours:
        return max(steps)[2] if steps else "new"
    *before, (place, status) = ours
    since = [step for step in steps if step[0] >= place]
    if since:
        return max(since)[2]
    earlier = said_so_far(before, steps)
    if status == "handed_over":
        return status
    return earlier if status is None or earlier in ("accepted", "returned", "won", "lost") else status


def seen(lead: Lead) -> tuple[str, object, int]:
    times = lead.value("lifecycle.times_returned")
    return str(lead.value("lifecycle.status") or "new"), lead.value("lifecycle.stage"), int(str(times or 0))


@settings(max_examples=400, deadline=None)
@given(st.lists(told(1).map(lambda events: events[0]) | _said, min_size=1, max_size=12), st.booleans())
def test_the_status_is_that_of_a_plain_state_machine(entries: list[Entry], packed: bool) -> None:
    entries = [
        entry if isinstance(entry, Said) else msgspec.structs.replace(entry, id=f"{number}")
        for number, entry in enumerate(entries)
    ]
    lead = play(entries, packed=packed)
    assert seen(lead) == followed(entries)
    if lead.lifecycle is None:
        return
    moves = list(passages(lead.lifecycle))
    assert all(passage.before != passage.after and passage.after in STATUSES for passage in moves)
    assert [passage.before for passage in moves] == ["new", *(passage.after for passage in moves[:-1])][: len(moves)]
    assert (moves[-1].after if moves else "new") == seen(lead)[0]
    for name, chain in (("status", moves), ("stage", list(stage_passages(lead.lifecycle)))):
        fact = lead.facts.get(f"lifecycle.{name}")
        assert (None if fact is None else fact.stamp.time) == (chain[-1].time if chain else None)


@settings(max_examples=200, deadline=None)
@given(told(12), st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_of_steps_matters(events: list[LeadActivity], chance: random.Random) -> None:
    other = [*events, *chance.sample(events, chance.randint(0, len(events)))]
    chance.shuffle(other)
    one, same = play(events), play(other)
    names = ("lifecycle.status", "lifecycle.stage", "lifecycle.times_returned")
    assert one.lifecycle == same.lifecycle
    assert [one.facts.get(name) for name in names] == [same.facts.get(name) for name in names]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(_steps, st.integers(0, 60)), min_size=25, max_size=60),
    st.integers(-1, 60),
    st.randoms(use_true_random=False),
)
def test_the_latest_steps_of_many_are_kept_in_any_order(
    told: list[tuple[tuple[str, str], int]], erased: int, chance: random.Random
) -> None:
    events = [
        activity(kind, {"stage": stage} if kind == "stage_changed" else {}, day=day, id=f"{number}")
        for number, ((kind, stage), day) in enumerate(told)
    ]
    if erased >= 0:
        events.append(activity("erased", day=erased, id="erased"))
    others = chance.sample(events, len(events))
    lead = play(events)
    assert play(others).lifecycle == lead.lifecycle
    alive = [event for event in events if event.type != "lead.erased" and event.time > MONDAY + erased * 86_400_000_000]
    stages = sorted({(event.time, str(event.data["stage"])) for event in alive if event.type == "lead.stage_changed"})
    steps = sorted({(event.time, list(SALES).index(event.type)) for event in alive if event.type in SALES})
    status, stage, returned = seen(lead)
    assert status == (list(SALES.values())[steps[-1][1]] if steps else "new")
    assert stage == (stages[-1][1] if stages else None)
    assert returned == sum(order == 1 for _, order in steps[-MOST_STATED:])


@settings(max_examples=100, deadline=None)
@given(st.lists(_said, min_size=17, max_size=60), st.sampled_from([*Route, None]))
def test_many_decisions_leave_the_status_and_since_when_it_is(said: list[Said], only: Route | None) -> None:
    """Also if a rating changes often while the route stays."""
    ordered = sorted(said, key=lambda decision: decision.place)
    if only is not None:
        ordered = [decision._replace(route=only) for decision in ordered]
    lead = play(ordered)
    route = ordered[-1].route
    runs = [
        decision
        for before, decision in zip([None, *ordered], ordered, strict=False)
        if before is None or before.route is not decision.route
    ]
    assert seen(lead)[0] == ("handed_over" if route is Route.SALES else OURS[route])
    assert lead.facts["lifecycle.status"].stamp.time == runs[-1].place + runs[-1].later
    assert lead.lifecycle is not None
    assert lead.lifecycle.decisions[-1].rating == list(Rating).index([*ordered][-1].rating)
