"""Re-scoring: the new rules judge each known lead once, even after aborts and crashes, and publish only differences."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import RoutingDecision, read_decision
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.topic_admin import Topic
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import load_settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.state.codec import VERSION, CodecError, decode_lead, encode_lead
from scorer.state.marker import MARKER_KEY, Marker, decode_marker
from scorer.state.store import LeadStore
from scorer.stream.jobs.rescore import Rescorer, Sweep, rescored
from scorer.stream.outbox import Outbox, marker_message, state_message
from scorer.stream.recovery import _apply
from tests.factory import SMALL_RULES, activity, evaluator

OLD = evaluator()
NEW = evaluator(SMALL_RULES.replace("warm: 20, hot: 40", "warm: 15, hot: 30").replace("points: 10}", "points: 4}"))
SETTINGS = load_settings(None, rules=Path(__file__).parent)


class World:
    """The changelog and the decisions of a partition, and a process that may die at any moment."""

    def __init__(self, rules: Evaluator) -> None:
        self.rules = rules
        self.now = 0.0
        self.changelog: dict[bytes, bytes | None] = {}
        self.decisions: list[RoutingDecision] = []
        self.figures = BatchFigures()
        self.offset = 0
        self.start()

    def start(self) -> None:
        """Start a process from the changelog, as a worker does."""
        self.store = LeadStore()
        for key, value in self.changelog.items():
            _apply(Record(key, value), self.store)
        pace = TokenBucket(lambda: self.now)
        self.limits = TopicLimits(SETTINGS)
        rescorer = Rescorer(SETTINGS, lambda: self.rules, lambda: 0, pace, lambda: self.now, limits=self.limits)
        self.sweep = Sweep(rescorer, self.store, 0)

    def transact(self, batch: Iterable[LeadActivity] = (), *, commit: bool = True, busy: bool = False) -> None:
        """Run a transaction with these activities, and commit or abort it."""
        batch = list(batch)
        outbox, figures = Outbox(self.offset + len(batch)), BatchFigures()
        decisions: list[RoutingDecision] = []
        for event in batch:
            assessment = self.rules.assess(self.store.get(event.lead_id), event)
            self.store.stage(assessment.lead)
            decisions += assessment.decisions
        for lead_id, state in self.store.encode_staged().items():
            outbox.messages.append(state_message(lead_id, state, "t", 0, 0))
        self.sweep.stage(outbox, figures, busy=busy)
        if not commit:
            self.store.discard()
            return
        for message in outbox.messages:
            if message.topic == SETTINGS.routing_topic:
                decisions.append(read_decision(message.value or b""))
            else:
                assert message.key is not None
                self.changelog[message.key] = message.value
        self.offset = outbox.next_offset
        self.store.commit()
        self.sweep.committed()
        self.decisions += decisions
        self.figures.rescored.update(figures.rescored)

    def finish(self) -> None:
        """Only re-score until no work is left."""
        while self.sweep.patience() is not None:
            self.now += 60
            if self.sweep.ready():
                self.transact()

    @property
    def marker(self) -> Marker | None:
        value = self.changelog.get(MARKER_KEY)
        return None if value is None else decode_marker(value)

    def states(self) -> dict[str, Lead]:
        """The states in the changelog."""
        states = {key: state for key, state in self.changelog.items() if key != MARKER_KEY and state is not None}
        return {key.decode(): decode_lead(key.decode(), value) for key, value in states.items()}


class Record:
    """A changelog record."""

    offset, topic, partition = 0, "t", 0

    def __init__(self, key: bytes, value: bytes | None) -> None:
        self.key, self.value = key, value
        self.headers = [("offset", (5).to_bytes(8, "big"))]


def activities(count: int, leads: int, seed: int) -> list[LeadActivity]:
    random = Random(seed)
    history = []
    for number in range(count):
        lead = f"lead-{random.randrange(leads)}"
        kinds: list[tuple[str, dict[str, object]]] = [
            ("page_viewed", {"url": "/pricing"}),
            ("qualification_updated", {"bant": {"budget_status": random.choice(["approved", "planned", "none"])}}),
            ("qualification_updated", {"bant": {"authority": "decision_maker"}}),
            ("profile_updated", {"employees": random.randrange(500), "country": "DE"}),
            ("trial_started", {}),
            ("sales_returned", {}),
            ("erased", {}) if random.random() < 0.3 else ("demo_requested", {}),
            ("merged", {"into": "other"}) if random.random() < 0.3 else ("demo_requested", {}),
        ]
        kind, data = random.choice(kinds)
        history.append(activity(kind, data, day=number / 3, lead=lead))
    return history


def offline(history: Iterable[LeadActivity], number: int = 2) -> tuple[dict[str, Lead], dict[str, list[bytes]]]:
    """The old rules judge all activities, then the new ones all leads: states, and decisions by lead."""
    leads: dict[str, Lead] = {}
    decisions: dict[str, list[bytes]] = defaultdict(list)
    for event in history:
        assessment = OLD.assess(leads.get(event.lead_id, Lead(event.lead_id)), event)
        leads[event.lead_id] = assessment.lead
        if assessment.decisions:
            decisions[event.lead_id] += [decision.to_json() for decision in assessment.decisions]
    for lead_id, lead in leads.items():
        changed = rescored(lead, NEW, number)
        if changed is not None:
            leads[lead_id] = changed.lead
            if changed.decision is not None:
                decisions[lead_id].append(changed.decision.to_json())
    return leads, dict(decisions)


def by_lead(decisions: Iterable[RoutingDecision]) -> dict[str, list[bytes]]:
    values: dict[str, list[bytes]] = defaultdict(list)
    for decision in decisions:
        values[decision.lead_id].append(decision.to_json())
    return dict(values)


HISTORY = activities(500, 150, seed=3)
MORE = activities(60, 150, seed=4)
EXPECTED = offline(HISTORY)
_judged = World(OLD)
_judged.transact(HISTORY)


def judged() -> World:
    """A world in which the old rules have judged the history."""
    world = World(OLD)
    world.changelog, world.decisions = dict(_judged.changelog), list(_judged.decisions)
    world.start()
    return world


def test_a_difference_is_published_as_of_the_latest_activity_of_the_lead() -> None:
    lead = OLD.assess(Lead("a"), activity("qualification_updated", {"bant": {"budget_status": "approved"}}, lead="a"))
    assert lead.decision is not None
    assert lead.decision.rating == "warm"
    raised = evaluator(SMALL_RULES.replace("points: 20, reason", "points: 45, reason"))
    assessment = rescored(lead.lead, raised, 1)
    assert assessment is not None
    decision = assessment.decision
    assert decision is not None
    assert (decision.cause, decision.rating, decision.reference) == ("rules_changed", "hot", None)
    assert decision.decided_at == lead.decision.decided_at
    assert decision.ruleset.revision == raised.ruleset.revision
    assert decision.previous is not None
    assert decision.previous.rating == "warm"
    again = rescored(assessment.lead, raised, 1)
    assert again is not None
    assert again.decision is None


def test_publishing_every_activity_does_not_publish_every_lead() -> None:
    chatty = evaluator(SMALL_RULES.replace("on: change", "on: activity"))
    lead = chatty.assess(Lead("a"), activity("trial_started", lead="a")).lead
    assessment = rescored(lead, chatty, 1)
    assert assessment is not None
    assert assessment.decision is None
    # The same ruleset publishes a decision if it judges the lead as after an activity.
    assert chatty.reassess(lead, lead.clock, "rules_changed").decision is not None


@pytest.mark.parametrize("end", ["erased", "merged"])
def test_erased_and_merged_leads_are_skipped(end: str) -> None:
    data = {"into": "other"} if end == "merged" else {}
    lead = OLD.assess(Lead("a"), activity("trial_started", lead="a")).lead
    lead = OLD.assess(lead, activity(end, data, day=1, lead="a")).lead
    assert rescored(lead, NEW, 1) is None


def test_every_known_lead_is_judged_exactly_once() -> None:
    world = judged()
    world.rules = NEW
    before = len(world.decisions)
    world.finish()
    states, decisions = EXPECTED
    assert world.states() == states
    assert by_lead(world.decisions) == decisions
    assert len(world.decisions) > before + 20, "the change of rules changes too little to show anything"
    assert world.figures.rescored.total() == len(states)
    assert world.figures.rescored["skipped"] > 0
    assert world.figures.rescored["published"] == len(world.decisions) - before
    assert world.marker == Marker(NEW.ruleset.revision, 2, None)
    world.start()
    assert world.sweep.patience() is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["commit", "abort", "die", "die uncommitted"]), max_size=12))
def test_aborts_and_crashes_change_nothing(events: list[str]) -> None:
    world = judged()
    world.rules = NEW
    for event in events:
        world.now += 60
        world.transact(commit=event not in ("abort", "die uncommitted"))
        if event.startswith("die"):
            world.start()
    world.finish()
    states, decisions = EXPECTED
    assert world.states() == states
    assert by_lead(world.decisions) == decisions
    assert world.figures.rescored.total() == len(states), "a lead was judged twice in one sweep"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([OLD, NEW]), st.integers(0, 4), st.booleans()), max_size=12))
def test_rules_that_come_and_go_never_repeat_a_decision_id(changes: list[tuple[Evaluator, int, bool]]) -> None:
    world = judged()
    rest = iter(MORE)
    for rules, steps, dies in changes:
        world.rules = rules
        for _ in range(steps):
            world.now += 60
            world.transact([next(rest)])
        if dies:
            world.start()
    world.finish()
    ids = Counter(decision.decision_id for decision in world.decisions)
    assert [decision_id for decision_id, count in ids.items() if count > 1] == []
    # In the end, all leads are as the last rules judge them.
    for lead in world.states().values():
        assessment = rescored(lead, world.rules, 99)
        assert assessment is None or assessment.decision is None


def test_repeating_a_change_gives_other_ids() -> None:
    world = World(OLD)
    world.transact([activity("qualification_updated", {"bant": {"budget_status": "approved"}}, lead="a")])
    high = evaluator(SMALL_RULES.replace("points: 20, reason", "points: 45, reason"))
    for rules in (high, OLD, high):
        world.rules = rules
        world.finish()
    assert [decision.rating for decision in world.decisions] == ["warm", "hot", "warm", "hot"]
    assert len({decision.decision_id for decision in world.decisions}) == 4


def test_a_first_start_without_leads_judges_none_and_writes_a_marker_with_the_first_batch() -> None:
    world = World(OLD)
    assert world.sweep.patience() is None
    assert world.marker is None
    world.transact(HISTORY[:10])
    assert world.marker == Marker(OLD.ruleset.revision, 1, None)
    world.start()
    assert world.sweep.patience() is None


def test_states_of_an_earlier_release_are_re_scored() -> None:
    world = World(OLD)
    lead = OLD.assess(Lead("a"), activity("trial_started", lead="a")).lead
    world.changelog[b"a"] = encode_lead(lead)
    world.start()
    assert world.sweep.remaining == 1
    world.finish()
    assert world.figures.rescored == {"unchanged": 1}
    assert world.marker == Marker(OLD.ruleset.revision, 1, None)


def test_off_judges_no_lead_and_a_later_change_judges_all() -> None:
    world = World(OLD)
    world.transact(HISTORY[:300])
    world.rules = evaluator(SMALL_RULES.replace("hot: 40", "hot: 30") + "rescore: {mode: off}\n")
    assert world.sweep.patience() is None
    world.transact(HISTORY[300:310])
    assert world.marker is not None
    assert (world.marker.revision, world.marker.after) == (world.rules.ruleset.revision, None)
    world.start()
    assert world.sweep.patience() is None
    # Back to the old rules: other rules have judged the leads that were active meanwhile.
    world.rules = OLD
    assert world.sweep.patience() == 0
    assert world.sweep.remaining == len(world.states())


def test_the_rate_per_second_is_limited() -> None:
    world = judged()
    leads = len(world.states())
    world.rules = evaluator(SMALL_RULES.replace("hot: 40", "hot: 30") + "rescore: {per_second: 40}\n")
    spent: list[tuple[float, int]] = []
    while (patience := world.sweep.patience()) is not None:
        world.now += patience
        before = world.figures.rescored.total()
        if world.sweep.ready():
            world.transact()
            spent.append((world.now, world.figures.rescored.total() - before))
    assert sum(count for _, count in spent) == leads
    for start, _ in spent:
        assert sum(count for at, count in spent if start <= at < start + 1) <= 40 + 4
    assert spent[-1][0] == pytest.approx(leads / 40, abs=0.2)


def test_input_comes_first_but_re_scoring_does_not_starve() -> None:
    world = judged()
    world.rules = NEW
    world.sweep.patience()
    world.now += 60
    world.transact(busy=True)
    first = world.figures.rescored.total()
    assert first == 50
    for _ in range(5):
        world.now += 0.19
        world.transact(busy=True)
    assert world.figures.rescored.total() == first, "less than a second since the last slice"
    world.now += 0.1
    world.transact(busy=True)
    assert world.figures.rescored.total() == 2 * first
    world.now += 0.1
    world.transact(busy=False)
    assert world.figures.rescored.total() > 2 * first


def test_a_lead_on_which_our_code_fails_keeps_its_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    world = judged()
    world.changelog[b"lead-7"] = b"\x01damaged"
    world.start()
    world.rules = NEW
    world.finish()
    assert world.figures.rescored["failed"] == 1
    assert world.changelog[b"lead-7"] == b"\x01damaged"
    assert world.marker is not None
    assert world.marker.after is None


@pytest.mark.parametrize("topic", [SETTINGS.state_topic, SETTINGS.routing_topic])
def test_a_lead_that_would_be_too_large_keeps_its_decision_and_the_others_go_on(topic: str) -> None:
    world = judged()
    world.rules = NEW
    states, published = dict(world.changelog), len(world.decisions)
    world.limits.know({topic: Topic(1, 1, {"max.message.bytes": "1600" if topic == SETTINGS.routing_topic else "400"})})
    limits = world.limits.current
    with capture_logs() as logs:
        world.finish()
    outcomes = world.figures.rescored
    assert outcomes.total() == len(EXPECTED[0])
    assert outcomes["too_large"] > 0
    assert outcomes["published"] > 0
    assert outcomes["published"] == len(world.decisions) - published
    lines = [line for line in logs if line["event"] == "rescoring_too_large"]
    assert len(lines) == outcomes["too_large"]
    for line in lines:
        assert world.changelog[line["lead"].encode()] == states[line["lead"].encode()]
        assert f"(max.message.bytes of {topic})" in line["detail"]
    assert all(len(decision.to_json()) <= limits.decision.size for decision in world.decisions[published:])
    assert world.marker == Marker(NEW.ruleset.revision, 2, None)


def test_many_leads_are_sorted_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scorer.stream.jobs.rescore._RUN", 7)
    world = judged()
    world.rules = NEW
    calls = 0
    while not world.sweep.ready():
        calls += 1
        assert world.sweep.patience() == 0
    assert calls >= len(world.states()) // 7
    world.finish()
    assert world.states() == EXPECTED[0]


MARKERS = st.builds(Marker, st.text(), st.integers(0, 2**63 - 1), st.none() | st.text())


@given(MARKERS)
def test_a_written_marker_can_be_read(marker: Marker) -> None:
    message = marker_message(marker, "t", 3)
    assert (message.key, message.partition) == (MARKER_KEY, 3)
    assert decode_marker(message.value or b"") == marker


SAMPLE = bytes.fromhex("009401a3616263" + "02" + "a66c6561642d37")


def test_reads_what_version_1_wrote() -> None:
    assert decode_marker(SAMPLE) == Marker("abc", 2, "lead-7")
    assert marker_message(Marker("abc", 2, "lead-7"), "t", 0).value == SAMPLE


@pytest.mark.parametrize(
    "value", [b"", b"\x00", b"\x01" + SAMPLE[1:], b"\x00\x94\x02\x01\x02\xc0", b"\x00\x91\x01", b"\x00\xff"]
)
def test_says_what_is_wrong_with_a_marker(value: bytes) -> None:
    with pytest.raises(CodecError, match="the marker of the rules"):
        decode_marker(value)


def test_an_earlier_release_skips_a_marker() -> None:
    """It refuses a changelog with a value whose first byte is above its version, or with a key that is not text."""
    assert SAMPLE[0] <= VERSION
    assert MARKER_KEY.decode()
    # No activity can have this id, because ids with control characters are refused.
    assert not MARKER_KEY.decode().isprintable()


def test_the_marker_is_not_a_lead_and_moves_no_offset() -> None:
    store = LeadStore()
    assert _apply(Record(MARKER_KEY, SAMPLE), store) == -1
    assert (len(store), store.marker) == (0, Marker("abc", 2, "lead-7"))
    assert _apply(Record(MARKER_KEY, None), store) == -1
    assert store.marker is None


def test_the_settings_of_re_scoring_are_checked() -> None:
    assert not evaluator(SMALL_RULES + "rescore: {mode: off}\n").ruleset.rescoring.wanted
    assert OLD.ruleset.rescoring.wanted
    assert OLD.ruleset.rescoring.per_second == 500
    with pytest.raises(Exception, match=r"rules.yaml:\d+:\d+: error: unknown key `speed`"):
        evaluator(SMALL_RULES + "rescore: {speed: 3}\n")
    with pytest.raises(Exception, match=r"rules.yaml:\d+:\d+: error: `per_second` must be"):
        evaluator(SMALL_RULES + "rescore: {per_second: 0}\n")
