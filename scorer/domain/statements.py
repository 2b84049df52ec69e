"""The facts that an activity states about its lead."""

from collections.abc import Container, Mapping, Sequence

from scorer.domain.activity import LISTING, LeadActivity
from scorer.domain.enrichment import COMPANY_PROFILE, is_enrichment, mark_of
from scorer.domain.lifecycle import STATES, STEPS

RETURNED = "at.sales_returned"
"""The fact whose stamp says when sales last returned the lead."""

VALUE = "lifecycle.value"
RETURN_REASON = "lifecycle.return_reason"
LEAD_SOURCE = "profile.lead_source"
FIRST_LEAD_SOURCE = "profile.first_lead_source"

MILESTONES = (
    "demo_requested",
    "trial_started",
    "meeting_held",
    "call_logged",
    "sales_accepted",
    "sales_returned",
    "opportunity_won",
    "opportunity_lost",
    "handed_over",
)
"""Events whose latest time a lead remembers; `days_since.<name>` is computed from it."""

_MILESTONE_TYPES = {f"lead.{name}": f"at.{name}" for name in MILESTONES}

CONSENT = frozenset({"lead.consent_changed", "lead.unsubscribed"})
"""Activity types that state a consent."""

STATING = frozenset(
    {
        "lead.profile_updated",
        "lead.qualification_updated",
        "lead.assessment_recorded",
        *CONSENT,
        "lead.merged",
        *STEPS,
        *_MILESTONE_TYPES,
    }
)
"""Activity types that state facts."""


def statements(activity: LeadActivity) -> list[tuple[str, object]]:
    """The facts that an activity states: (field name, value). The value None withdraws a fact. Status and stage are not
    among them: they follow from all steps of the lead (`lifecycle`)."""
    data = activity.data
    stated: list[tuple[str, object]] = []
    milestone = _MILESTONE_TYPES.get(activity.type)
    if milestone is not None:
        stated.append((milestone, True))
    match activity.type:
        case "lead.profile_updated":
            stated += [(f"profile.{key}", value) for key, value in data.items() if key != "custom"]
            stated += _items(data, "custom", "")
            if is_enrichment(activity):
                stated.append((COMPANY_PROFILE, mark_of(activity.id)))
        case "lead.qualification_updated":
            stated += _items(data, "bant", "bant.")
            stated += _items(data, "competition", "competition.")
            stated += _items(data, "project", "project.")
            stated += _items(data, "custom", "")
        case "lead.assessment_recorded":
            stated += [(f"assessment.{key}", value) for key, value in data.items()]
        case "lead.consent_changed":
            channel = data.get("channel", "all")
            channels = ("email", "phone") if channel == "all" else (channel,)
            stated += [(f"consent.{name}", data["status"]) for name in channels]
        case "lead.unsubscribed":
            stated.append(("consent.email", "withdrawn"))
        case "lead.merged":
            stated.append(("lifecycle.merged_into", data["into"]))
        case kind if kind in STATES:
            if data.get("value") is not None:
                stated.append((VALUE, data["value"]))
            if kind == "lead.sales_returned":
                stated.append((RETURN_REASON, data.get("reason")))
    return stated


_SECTIONS = {
    "profile": ("lead.profile_updated", ()),
    "bant": ("lead.qualification_updated", ("bant",)),
    "competition": ("lead.qualification_updated", ("competition",)),
    "project": ("lead.qualification_updated", ("project",)),
    "assessment": ("lead.assessment_recorded", ()),
}


def stating_keys(field: str) -> Sequence[tuple[str, tuple[str, ...]]]:
    """The keys that state a field: (activity type, path in its `data`). Empty if the field is not sent under a key of
    its own but follows from what happened, as `lifecycle.status` does. A name without a dot is a custom field."""
    section, _, key = field.rpartition(".")
    if not section:
        return [(kind, ("custom", field)) for kind in sorted(LISTING)]
    known = _SECTIONS.get(section)
    return [] if known is None else [(known[0], (*known[1], key))]


def is_kept(fact: str, names: Container[str]) -> bool:
    """Whether a lead keeps the fact. `names`: the custom facts that rules declare. Only custom facts have no dot."""
    return "." in fact or fact in names


def _items(data: Mapping[str, object], section: str, prefix: str) -> list[tuple[str, object]]:
    values = data.get(section)
    if not isinstance(values, Mapping):
        return []
    return [(f"{prefix}{key}", value) for key, value in values.items()]
