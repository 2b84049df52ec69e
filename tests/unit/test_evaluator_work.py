"""What an evaluator has found out about a lead is not computed again. Calls are counted, so the load of the machine
does not matter; tests/performance counts the instructions."""

from collections import Counter
from typing import Any

import pytest

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Lead
from scorer.evaluation.criteria import CriteriaTables
from scorer.evaluation.signal_points import SignalPoints
from scorer.evaluation.silence import _Walk
from scorer.state.codec import decode_lead, encode_lead
from tests.factory import activity, evaluator

RULES = evaluator()
ENCODES, CHANGES, RESULT, WORTH, WALK = "encode_facts", "encode_changes", "result", "worth", "to"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each piece of work was done."""
    done: Counter[str] = Counter()

    def count(owner: type, name: str) -> None:
        method = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            done[name] += 1
            return method(*arguments)

        monkeypatch.setattr(owner, name, counted)

    for name in (ENCODES, CHANGES, RESULT):
        count(CriteriaTables, name)
    count(SignalPoints, WORTH)
    count(_Walk, WALK)
    return done


def known() -> Lead:
    """A lead with facts and with two signals, of which the activities below change one. It does not become hot, because
    a hand-over to sales is a fact too."""
    lead = Lead("lead-1")
    for event in (
        activity("profile_updated", {"country": "DE"}),
        activity("trial_started"),
        activity("page_viewed", {"url": "/pricing"}, id="known"),
    ):
        lead = RULES.assess(lead, event).lead
    return lead


def view(name: str | None = None) -> LeadActivity:
    """A visit. `name`: its id, where the smallest hashes of a day decide whether it counts."""
    return activity("page_viewed", {"url": "/pricing"}, day=0.1, id=name)


def test_an_activity_without_facts_costs_one_signal(work: Counter[str]) -> None:
    lead = known()
    work.clear()
    lead = RULES.assess(lead, view()).lead
    assert work == {WORTH: 1}
    assert lead.signals["pricing"]


def test_an_activity_that_counts_for_nothing_costs_nothing(work: Counter[str]) -> None:
    lead = known()
    work.clear()
    assert RULES.assess(lead, activity("page_viewed", {"url": "/"}, day=0.1)).lead.clock > lead.clock
    assert work == {}


def test_of_an_activity_with_facts_only_the_changes_are_encoded(work: Counter[str]) -> None:
    lead = known()
    work.clear()
    RULES.assess(lead, activity("profile_updated", {"employees": 10}, day=0.1))
    assert work == {CHANGES: 1, RESULT: 1}


def test_a_lead_from_its_state_is_not_encoded_again(work: Counter[str]) -> None:
    lead = decode_lead("lead-1", encode_lead(known()))
    work.clear()
    lead = RULES.assess(lead, view("first")).lead
    assert work == {RESULT: 1, WORTH: 2}
    work.clear()
    RULES.assess(lead, view("second"))
    assert work == {WORTH: 1}


def test_the_same_lead_at_the_same_time_is_evaluated_once(work: Counter[str]) -> None:
    lead = known()
    first = RULES.evaluate(lead, lead.clock)
    work.clear()
    assert RULES.evaluate(lead, lead.clock).score == first.score
    assert work == {}


@pytest.mark.parametrize("days", [20, 100, 390])
def test_a_silence_in_which_nothing_is_published_costs_one_look_at_its_end(work: Counter[str], days: int) -> None:
    lead = RULES.assess(Lead("lead-1"), activity("page_viewed", {"url": "/pricing"})).lead
    work.clear()
    RULES.assess(lead, activity("page_viewed", {"url": "/pricing"}, day=days))
    # Before the activity and with it, and no walk from day to day.
    assert work == {WORTH: 2}
