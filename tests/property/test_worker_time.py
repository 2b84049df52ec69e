"""What is published for a lead follows from when its activities arrived: not from batches, restarts, outages, ticks,
hand-overs of the partition, or transactions of others."""

import json
from collections import defaultdict
from datetime import datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.decision import read_decision
from scorer.domain.instant import DAY, HOUR, MINUTE, SECOND, from_datetime
from scorer.sources.tick import is_tick
from tests.unit.test_reviews import COOLING, MONDAY, Log, Partition, append, causes, decided_offline

_GAPS = [0, SECOND, MINUTE, HOUR, DAY, 7 * DAY, 40 * DAY, 200 * DAY]
_activities = st.tuples(
    st.just("activity"),
    st.sampled_from(_GAPS),
    st.sampled_from(["lead-0", "lead-1", "lead-2"]),
    st.sampled_from([0, 0, 0, -MINUTE, -90 * DAY, HOUR]),
    st.sampled_from(["trial_started", "trial_started", "page_viewed", "erased"]),
)
_steps = st.one_of(
    _activities,
    _activities,
    st.tuples(st.just("work"), st.integers(0, 5), st.booleans(), st.booleans()),
    st.tuples(st.just("work"), st.integers(0, 5), st.booleans(), st.booleans()),
    st.tuples(st.just("time passes"), st.sampled_from(_GAPS)),
    st.sampled_from([("hand over",), ("transaction of another begins",), ("it ends",)]),
)


class World:
    """A partition whose broker stamps the records, and its owners, one after the other.

    While another producer has a transaction open, nobody sees what was written since.
    """

    def __init__(self) -> None:
        self.partition = Partition([])
        self.stable: int | None = None

    def do(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("activity", gap, lead_id, skew, kind):
                self.pass_time(gap)
                append(self.partition.log, self.partition.wall, lead_id, self.partition.wall + skew, kind)
            case ("work", most, commit, busy):
                self.work(most, commit=commit, busy=busy)
            case ("time passes", gap):
                self.pass_time(gap)
            case ("hand over",):
                # What the former owner has in memory is lost, and what it still sends is refused.
                self.partition.start()
            case ("transaction of another begins",):
                self.stable = len(self.partition.log) if self.stable is None else self.stable
            case ("it ends",):
                self.stable = None

    def pass_time(self, gap: int) -> None:
        self.partition.wall += gap
        self.partition.now += gap / SECOND

    def work(self, most: int, *, commit: bool, busy: bool) -> None:
        end = len(self.partition.log) if self.stable is None else self.stable
        self.partition.transact(min(most, end - self.partition.offset), commit=commit, busy=busy)

    def finish(self) -> None:
        """A year later all is read, and all that is due is done."""
        self.stable = None
        self.pass_time(800 * DAY)
        append(self.partition.log, self.partition.wall, None)
        self.partition.finish()


def without_ticks(log: Log) -> Log:
    """The log with the last tick alone, which says until when."""
    return [record for record in log[:-1] if not is_tick(record.value)] + log[-1:]


@settings(max_examples=200, deadline=None)
@given(st.lists(_steps, max_size=40))
def test_nothing_but_arrivals_decides_what_is_published(steps: list[tuple[Any, ...]]) -> None:
    world = World()
    for step in steps:
        world.do(step)
    world.finish()
    partition = world.partition
    assert dict(partition.decisions) == decided_offline(without_ticks(partition.log))
    for decisions in partition.decisions.values():
        instants = [read_decision(decision).decided_at for decision in decisions]
        assert instants == sorted(instants)


def test_a_transaction_that_stays_open_for_a_minute_delays_and_changes_nothing() -> None:
    plain, delayed = World(), World()
    for world in (plain, delayed):
        world.do(("activity", 0, "lead-0", 0, "trial_started"))
        world.work(9, commit=True, busy=False)
        world.pass_time(30 * DAY)
    delayed.do(("transaction of another begins",))
    for world in (plain, delayed):
        world.do(("activity", 0, "lead-0", 0, "page_viewed"))
        for _ in range(60):
            world.pass_time(SECOND)
            world.work(9, commit=True, busy=False)
            world.do(("activity", 0, "lead-1", 0, "trial_started"))
    # The log seems to stand still, so the owner writes a tick, which it does not see either.
    assert any(is_tick(record.value) for record in delayed.partition.log)
    assert len(delayed.partition.decisions) == 1
    for world in (plain, delayed):
        world.finish()
        assert world.partition.decisions == decided_offline(without_ticks(world.partition.log))
    # The ids of events are their offsets here, so only the ids of decisions differ.
    for lead_id, decisions in plain.partition.decisions.items():
        assert causes(delayed.partition.decisions[lead_id]) == causes(decisions)


# --- history that is loaded


def loaded(chance: Random, leads: int = 40) -> Log:
    """Two years of activities, written within an hour, over midnight."""
    begin = MONDAY + 730 * DAY - HOUR // 2
    told = sorted(
        (
            begin - chance.randrange(730 * DAY),
            f"lead-{chance.randrange(leads)}",
            chance.choice(["trial_started", "page_viewed"]),
        )
        for _ in range(20 * leads)
    )
    log: Log = []
    for number, (own, lead_id, kind) in enumerate(told):
        append(log, begin + number * HOUR // len(told), lead_id, own, kind)
    return log


@pytest.mark.parametrize("seed", range(3))
def test_two_years_that_are_loaded_within_an_hour_give_no_stale_hand_over(seed: int) -> None:
    log = loaded(Random(seed))
    partition = Partition(log)
    begin, end = log[0].timestamp * 1000, log[-1].timestamp * 1000
    while partition.offset < len(log):
        partition.now += 2
        partition.transact(37)
    partition.finish()
    assert dict(partition.decisions) == decided_offline(log)
    trials: dict[str, list[int]] = defaultdict(list)
    for record in log:
        event = json.loads(record.value or b"")
        if event["type"] == "lead.trial_started":
            trials[event["subject"]].append(parsed(event["time"]))
    handed_over = 0
    for lead_id, texts in partition.decisions.items():
        decisions = [read_decision(text) for text in texts]
        assert sum(decision.cause == "time" for decision in decisions) <= 1
        for decision in decisions:
            assert begin <= parsed(decision.decided_at) <= end
            if decision.route == "sales":
                handed_over += 1
                # Hot as of today, when the points of most trials have decayed.
                assert decision.score.total >= COOLING.ruleset.ratings.hot
                ages = [parsed(decision.decided_at) // DAY - time // DAY for time in trials[lead_id]]
                assert sum(24 * 0.5 ** (age / 30) for age in ages) >= COOLING.ruleset.ratings.hot - 0.5
    assert handed_over > 0
    # As they came, far more would have gone to sales.
    then: Log = []
    for record in log:
        event = json.loads(record.value or b"")
        append(then, parsed(event["time"]), event["subject"], None, event["type"].removeprefix("lead."))
    stale = [read_decision(text) for texts in decided_offline(then).values() for text in texts]
    assert sum(decision.route == "sales" for decision in stale) > 10 * handed_over


def parsed(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))
