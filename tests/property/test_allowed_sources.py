"""A refused activity changes nothing: the lead is byte for byte what it is without the activity, in every order."""

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Lead
from scorer.domain.statements import statements
from scorer.sources.rejected import Rejected
from scorer.state.codec import encode_lead
from tests.factory import SMALL_RULES, evaluator
from tests.property.test_lead_fold import stories

TYPES = {"lead.erased": {"crm"}, "lead.booth_visited": {"web", "desk"}}
FIELDS = {"bant.budget_status": {"crm"}, "profile.country": {"web"}, "installed_base": {"crm", "web"}}
ENTRIES = {**{kind.removeprefix("lead."): allowed for kind, allowed in TYPES.items()}, **FIELDS}
ENTRIES["lead.booth_visited"] = ENTRIES.pop("booth_visited")
RULES = evaluator(
    f"{SMALL_RULES}allowed_sources:\n"
    + "".join(f"  {name}: [{', '.join(sorted(allowed))}]\n" for name, allowed in ENTRIES.items())
)


def is_allowed(event: LeadActivity) -> bool:
    """Computed from the facts that an activity states, not from the places of the keys."""
    stated = {name for name, _ in statements(event)}
    wanted = [TYPES.get(event.type), *(allowed for name, allowed in FIELDS.items() if name in stated)]
    return all(allowed is None or event.source in allowed for allowed in wanted)


def play(story: Sequence[LeadActivity]) -> tuple[Lead, list[bytes], list[LeadActivity]]:
    """The lead, the decisions, and the activities that were accepted."""
    lead, decisions, accepted = Lead("lead-1"), list[bytes](), list[LeadActivity]()
    for event in story:
        try:
            assessment = RULES.assess(lead, event)
        except Rejected:
            continue
        accepted.append(event)
        lead = assessment.lead
        if assessment.decision is not None:
            decisions.append(assessment.decision.to_json())
    return lead, decisions, accepted


@settings(max_examples=500, deadline=None)
@given(stories(), st.randoms(use_true_random=False))
def test_a_refused_activity_changes_nothing(story: list[LeadActivity], chance: random.Random) -> None:
    chance.shuffle(story)
    lead, decisions, accepted = play(story)
    assert accepted == [event for event in story if is_allowed(event)]
    alone, same, _ = play(accepted)
    assert decisions == same
    assert encode_lead(lead) == encode_lead(alone)
