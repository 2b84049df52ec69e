"""What the service itself states about the company of a lead, as an activity in the input: the enrichment."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from scorer.domain.activity import LeadActivity
from scorer.domain.facts import Fact

ENRICHING: Final = "/lead-scorer/company-profile"
"""The source of these activities."""
ENRICHMENT_TYPE: Final = "lead.profile_updated"
COMPANY_PROFILE: Final = "company.profile"
"""The fact that says which profile of which company a lead has: its mark. It is not a field that rules can ask."""
COMPANY_KEYS: Final = (
    *("company", "industry", "employees", "annual_revenue", "technologies", "is_competitor", "is_customer"),
)
"""What an enrichment may state: the keys of `lead.profile_updated` that are about the company, not about the person."""
LONGEST_KEY: Final = 200
"""The most characters of a company key. It is a part of the id of an activity, which has 256."""

HASH_DIGITS: Final = 16
LONGEST_MARK: Final = LONGEST_KEY + 1 + HASH_DIGITS

_ID: Final = re.compile(rf"([a-z0-9.-]{{1,{LONGEST_KEY}}}:[0-9a-f]{{{HASH_DIGITS}}})@.*")


def is_enrichment(activity: LeadActivity) -> bool:
    """Whether the service stated it. The lead did nothing then, and the activity is no sign of life."""
    return activity.type == ENRICHMENT_TYPE and activity.source == ENRICHING


def mark_of(identity: str) -> str | None:
    """The mark of the profile that an enrichment brings, from its id `<mark>@<time>`; None if it withdraws one."""
    match = _ID.fullmatch(identity)
    return None if match is None else match[1]


def withdrawn(facts: Mapping[str, Fact], data: Mapping[str, object]) -> Iterator[tuple[str, None]]:
    """What an enrichment with this `data` withdraws: what earlier enrichments stated and this one does not. It
    withdraws when it is read. When it is written, another one may still be unread."""
    for key in COMPANY_KEYS:
        fact = facts.get(f"profile.{key}")
        if key not in data and fact is not None and fact.value is not None and fact.stamp.source == ENRICHING:
            yield f"profile.{key}", None


def is_outdated(facts: Mapping[str, Fact], time: int) -> bool:
    """Whether an enrichment of this time is not later than the one that the lead has."""
    mark = facts.get(COMPANY_PROFILE)
    return mark is not None and time <= mark.stamp.time
