"""Whether a lead has the present profile of its company, and the activity that gives it to the lead. Pure.

The activity follows from the state of the lead and the profile alone. So a worker that asks again before it was read
makes the same one, with the same id, which counts once.
"""

from typing import Any, Final

import msgspec

from scorer.domain.activity import LeadActivity
from scorer.domain.enrichment import COMPANY_PROFILE, ENRICHING, ENRICHMENT_TYPE
from scorer.domain.instant import to_text
from scorer.domain.lead import NO_CLOCK, Lead
from scorer.sources.company.converter import Unfit
from scorer.sources.company.email_address import company_key
from scorer.sources.company.profile import Profile

EMAIL_DOMAIN: Final = "profile.email_domain"
_NONE: Final = "none"
_EARLIEST: Final = 0

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def company_of(lead: Lead) -> str | None:
    """The company key of the lead's email domain; None if it has none, or that of no company."""
    domain = lead.value(EMAIL_DOMAIN)
    try:
        return company_key(domain)
    except Unfit:
        return None


def enrichment(lead: Lead, company: str | None, profile: Profile | None, now: int) -> LeadActivity | None:
    """The activity that gives a lead of this company its profile, or withdraws what the lead has; None if the lead has
    what it should have. One that was erased or merged, or of which nothing is known, gets none.

    `profile`: that of the company; None if there is none. `now`: microseconds since the epoch.

    Its time is that of the profile, but not after `now`, so that what the lead said later stays. If the lead has the
    profile of another company, its time is not before the activity that named this one, less a microsecond: what the
    lead said about the company before is over, and what the same form says of this one stays. It is after the
    enrichment before and after an erasure, so it always counts. A withdrawal is right after what it withdraws.
    """
    has = lead.value(COMPANY_PROFILE)
    wanted = None if company is None or profile is None else profile.mark(company)
    if has == wanted or not _is_enrichable(lead):
        return None
    facts, time, data = lead.facts, _EARLIEST, {}
    if profile is not None and wanted is not None:
        time, data = profile.time, _decode(profile.data)
        if isinstance(has, str) and not has.startswith(f"{company}:"):
            time = max(time, facts[EMAIL_DOMAIN].stamp.time - 1)
        time = min(time, now)
    if COMPANY_PROFILE in facts:
        time = max(time, facts[COMPANY_PROFILE].stamp.time + 1)
    if lead.erased_at is not None:
        time = max(time, lead.erased_at + 1)
    return LeadActivity(f"{wanted or _NONE}@{time}", ENRICHING, ENRICHMENT_TYPE, time, lead.id, data)


def as_event(activity: LeadActivity) -> bytes:
    """The activity as a CloudEvent in structured mode."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "type": activity.type,
            "source": activity.source,
            "id": activity.id,
            "time": to_text(activity.time),
            "subject": activity.lead_id,
            "data": activity.data,
        }
    )


def _is_enrichable(lead: Lead) -> bool:
    return lead.clock != NO_CLOCK and not lead.is_erased and lead.value("lifecycle.merged_into") is None
