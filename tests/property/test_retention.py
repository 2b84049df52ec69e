"""Retention against a plain search: a lead has lives, and each of them is that of a lead that nobody ever deletes."""

import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.effects import Deleted
from scorer.domain.instant import DAY, HOUR
from scorer.domain.lead import NO_CLOCK, Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.rules.ruleset import Retention
from scorer.state.codec import decode_lead, due_of, encode_lead
from tests.factory import MONDAY, evaluator
from tests.property.test_silence import RULES, stories
from tests.unit.test_reviews import TEXT, Log, Partition, append

Story = Sequence[tuple[LeadActivity, int]]

_RULES = RULES.replace("HALF", "10d").replace("STEP", "5").replace("HYSTERESIS", "5").replace("PUBLISH", "change")
RETENTIONS = ("{inactive: 21d, after_erasure: 9d}", "{inactive: 99d}", "{after_erasure: 30d}", "{inactive: 400d}")
JUDGES = [evaluator(f"{_RULES}retention: {text}\n") for text in RETENTIONS]


def forgetful(judge: Evaluator) -> Evaluator:
    """The same rules, under which nobody is ever deleted."""
    return Evaluator(replace(judge.ruleset, retention=Retention()), default_engine("compiled"))


def plain_end(lead: Lead, seen: int, retention: Retention) -> int | None:
    """When the lead is deleted, found by looking at one midnight after the other."""
    if lead.clock == NO_CLOCK:
        return None
    span = retention.inactive
    if lead.erased_at is not None and lead.clock <= lead.erased_at and retention.after_erasure is not None:
        span = retention.after_erasure
    if span is None:
        return None
    midnight = seen // DAY * DAY
    while midnight - seen < span:
        midnight += DAY
    return midnight


def expected(story: Story, judge: Evaluator, until: int) -> tuple[list[bytes], list[int], Lead]:
    """The decisions, the deletions and the last state, without any code of the retention."""
    plain, retention = forgetful(judge), judge.ruleset.retention
    lead, seen = Lead("lead-1"), NO_CLOCK
    decisions: list[bytes] = []
    deletions: list[int] = []

    def pass_until(instant: int) -> None:
        nonlocal lead, seen
        end = plain_end(lead, seen, retention)
        done = plain.catch_up(lead, instant if end is None else min(instant, end - 1))
        decisions.extend(decision.to_json() for decision in done.decisions)
        lead = done.lead
        if end is not None and end <= instant:
            deletions.append(end)
            lead, seen = Lead("lead-1"), NO_CLOCK

    for event, arrival in story:
        pass_until(arrival)
        assessment = plain.assess(lead, event, arrival)
        decisions += [decision.to_json() for decision in assessment.decisions]
        lead = assessment.lead
        if assessment.evaluation is not None:
            seen = max(seen, arrival, min(event.time, arrival + plain.ruleset.tolerance))
    pass_until(until)
    return decisions, deletions, lead


@given(stories(), st.sampled_from(JUDGES), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_a_lead_has_lives_and_when_anybody_looks_does_not_matter(
    story: Story, judge: Evaluator, chance: random.Random
) -> None:
    end = story[-1][1] + chance.choice([0, 8 * DAY, 30 * DAY, 500 * DAY])
    decisions: list[bytes] = []
    deletions: list[int] = []
    lead = Lead("lead-1")
    now = story[0][1]

    def note(effects: Sequence[object], after: Lead) -> Lead:
        for effect in effects:
            if isinstance(effect, Deleted):
                deletions.append(effect.at)
            elif (decision := getattr(effect, "decision", None)) is not None:
                decisions.append(decision.to_json())
        if after.clock == NO_CLOCK:
            return after
        state = encode_lead(after)
        bound, mark = due_of(state)
        assert mark == judge.mark
        assert bound <= judge.deletion(after).instant
        return decode_lead("lead-1", state)

    def look(until: int) -> None:
        nonlocal lead, now
        while now < until:
            now = min(until, now + chance.choice([HOUR, DAY, 10 * DAY, 100 * DAY, 10**17]))
            if lead.clock == NO_CLOCK:
                continue
            due = judge.refine(lead, now)
            if chance.random() < 0.8:
                done = judge.catch_up(lead, now)
                first = next((effect for effect in done.effects), None)
                assert (first is None) or due.instant <= now
                if isinstance(first, Deleted):
                    assert due == (first.at, True)
                lead = note(done.effects, done.lead)

    for event, arrival in story:
        if chance.random() < 0.7:
            look(arrival)
        assessment = judge.assess(lead, event, arrival)
        lead, now = note(assessment.effects, assessment.lead), max(now, arrival)
    look(end)
    done = judge.catch_up(lead, end)
    lead = note(done.effects, done.lead)
    assert (decisions, deletions, lead) == expected(story, judge, end)


KEEPING = [
    evaluator(f"{TEXT}retention: {text}\n") for text in ("{inactive: 30d, after_erasure: 7d}", "{inactive: 400d}")
]


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Records of a few leads, and ticks."""
    log: Log = []
    now = MONDAY
    for _ in range(draw(st.integers(1, 25))):
        now += draw(st.sampled_from([0, HOUR, DAY, 6 * DAY, 20 * DAY, 35 * DAY, 380 * DAY]))
        lead_id = draw(st.sampled_from(["a", "b", "c", None]))
        late = draw(st.sampled_from([0, 0, HOUR, 40 * DAY]))
        kind = draw(st.sampled_from(["trial_started", "page_viewed", "erased"]))
        append(log, now, lead_id, now - late, kind)
    return log


@given(logs(), st.sampled_from(KEEPING), st.integers(0, 1 << 32))
@settings(max_examples=60, deadline=None)
def test_batches_failures_and_restarts_change_no_decision_and_no_state(log: Log, judge: Evaluator, seed: int) -> None:
    chance = random.Random(seed)
    once = Partition(list(log), judge)
    once.finish()
    other = Partition(list(log), judge)
    while other.offset < len(other.log):
        other.transact(chance.choice([0, 1, 1, 2, 5]), commit=chance.random() < 0.8, busy=chance.random() < 0.3)
        other.now += chance.choice([0.0, 0.1, 60.0])
        if chance.random() < 0.2:
            other.start()
    other.finish()
    assert other.decisions == once.decisions
    leads = [lead_id for lead_id in (b"a", b"b", b"c") if lead_id in once.changelog]
    for lead_id in leads:
        one, another = once.changelog[lead_id].value, other.changelog[lead_id].value
        assert (one is None) is (another is None)
        if one is not None and another is not None:
            # The bound in the state may be another one, and says the same.
            assert decode_lead("x", one) == decode_lead("x", another)
    for partition in (once, other):
        kept = {lead_id.encode() for lead_id in partition.store.ids()}
        assert kept == {lead_id for lead_id in leads if partition.changelog[lead_id].value is not None}
        assert partition.log_time is None or not any(
            judge.deletion(lead, partition.store.change).instant <= partition.log_time
            for lead in partition.store.leads()
        )


CHANGED = [evaluator(f"{TEXT}retention: {text}\n") for text in ("{inactive: 9d}", "{inactive: 90d, after_erasure: 7d}")]
CHANGED += [evaluator(TEXT), evaluator(f"{TEXT}retention: {{inactive: 60d}}\nrescore: {{mode: off}}\n")]


@given(logs(), st.sampled_from(CHANGED), st.integers(0, 25), st.integers(0, 1 << 32))
@settings(max_examples=60, deadline=None)
def test_after_a_change_of_the_retention_batches_and_restarts_change_nothing(
    log: Log, changed: Evaluator, at: int, seed: int
) -> None:
    def worked(chance: random.Random | None) -> Partition:
        """The partition in the end. Without `chance`, in one go before the change and one after it."""
        partition = Partition(list(log), KEEPING[0])
        for end, rules in ((min(at, len(log)), KEEPING[0]), (len(log), changed)):
            partition.rules = rules
            while partition.offset < end:
                left = end - partition.offset
                most = left if chance is None else min(left, chance.choice([1, 1, 2, 5]))
                partition.transact(most, commit=chance is None or chance.random() < 0.8)
                if chance is not None and chance.random() < 0.2:
                    partition.start()
            while partition.sweep.patience() is not None or partition.reviews.patience() is not None:
                partition.now += 60
                partition.transact(0)
        return partition

    once, other = worked(None), worked(random.Random(seed))
    assert other.decisions == once.decisions
    kept = [{lead.id: lead for lead in partition.store.leads()} for partition in (once, other)]
    assert kept[0] == kept[1]
    assert once.store.change == other.store.change
