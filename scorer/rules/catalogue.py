"""The fields that conditions can use, with their types. They are derived from the activity payloads, so that the
contract and the rule language cannot drift apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel

from scorer.domain.activity import PAYLOADS, AssessmentRecorded, ProfileUpdated, QualificationUpdated
from scorer.domain.lifecycle import MOST_STATED, STATUSES, TIMES_RETURNED
from scorer.domain.statements import FIRST_LEAD_SOURCE, MILESTONES, RETURN_REASON, VALUE
from scorer.rules.condition import FieldType


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the catalogue. `choices` are its only possible values; empty if any value is possible. `minimum` and
    `maximum` are possible values and bound all others; None if there is no bound. `accept_text`: whether a text that is
    a number counts as the number."""

    name: str
    type: FieldType
    description: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    accept_text: bool = False


Catalogue = Mapping[str, Field]


DAYS_SINCE: Final = "days_since."
DAYS_IN: Final = "days_in."
TIMED: Final = (DAYS_SINCE, DAYS_IN)
"""How the names of the fields begin that count days up to the instant as of which a lead is judged."""
LAST_ACTIVITY: Final = f"{DAYS_SINCE}last_activity"


def is_timed(field: str) -> bool:
    """Whether the field counts days up to the instant as of which a lead is judged."""
    return field.startswith(TIMED)


def milestone_of(field: str) -> str | None:
    """The fact from whose time a timed field counts; None for `days_since.last_activity`."""
    if field.startswith(DAYS_IN):
        return f"lifecycle.{field.removeprefix(DAYS_IN)}"
    return None if field == LAST_ACTIVITY else f"at.{field.removeprefix(DAYS_SINCE)}"


def payload_fields(activity_type: str) -> Catalogue | None:
    """The payload keys that a signal's `where` can use; None for a custom activity type, which can carry any key."""
    payload = PAYLOADS.get(activity_type)
    return None if payload is None else _model_fields(payload, "")


SLIP: Final = 0.88
"""The least similarity of a name that is legal and yet probably another one with a slip."""


def suggestion(name: str, candidates: Mapping[str, object] | tuple[str, ...], cutoff: float = 0.6) -> str:
    """`; did you mean …?` if a candidate is similar, else an empty text. `cutoff`: the least similarity (0 to 1)."""
    close = get_close_matches(name, list(candidates), n=1, cutoff=cutoff)
    if not close:
        # People forget the prefix more often than they misspell: `industry` for `profile.industry`.
        close = [candidate for candidate in candidates if candidate.rpartition(".")[2] == name][:1]
    return f"; did you mean {close[0]}?" if close else ""


def _model_fields(model: type[BaseModel], prefix: str) -> Catalogue:
    properties: Mapping[str, Any] = model.model_json_schema().get("properties", {})
    fields = (_field(f"{prefix}{key}", schema) for key, schema in properties.items())
    return {field.name: field for field in fields if field is not None}


def _field(name: str, schema: Mapping[str, Any]) -> Field | None:
    description = schema.get("description", "")
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    if len(options) != 1:
        return None
    option = options[0]
    if option.get("type") == "array":
        return Field(name, FieldType.STRINGS, description)
    if option.get("type") not in {kind.value for kind in FieldType}:
        return None
    # Only integers have an exclusive limit.
    maximum = option["exclusiveMaximum"] - 1 if "exclusiveMaximum" in option else option.get("maximum")
    choices = tuple(option.get("enum", ()))
    return Field(name, FieldType(option["type"]), description, choices, option.get("minimum"), maximum)


def _named(*fields: Field) -> Catalogue:
    return {field.name: field for field in fields}


_CONSENT = ("granted", "withdrawn")

LEAD_FIELDS: Catalogue = {
    **_model_fields(ProfileUpdated, "profile."),
    **_model_fields(QualificationUpdated.Bant, "bant."),
    **_model_fields(QualificationUpdated.Competition, "competition."),
    **_model_fields(QualificationUpdated.Project, "project."),
    **_model_fields(AssessmentRecorded, "assessment."),
    **_named(
        Field("consent.email", FieldType.STRING, "Consent to email.", _CONSENT),
        Field("consent.phone", FieldType.STRING, "Consent to calls.", _CONSENT),
        Field(
            "lifecycle.status",
            FieldType.STRING,
            "Status of the lead: `new` before the first decision.",
            STATUSES,
        ),
        Field("lifecycle.stage", FieldType.STRING, "Stage of the opportunity."),
        Field(f"{DAYS_IN}status", FieldType.NUMBER, "Days in the status, without interruption."),
        Field(f"{DAYS_IN}stage", FieldType.NUMBER, "Days in the stage, without interruption."),
        Field(TIMES_RETURNED, FieldType.INTEGER, "How often sales returned the lead.", (), 1, MOST_STATED),
        Field(RETURN_REASON, FieldType.STRING, "Why sales returned the lead the last time."),
        Field(VALUE, FieldType.NUMBER, "Value of the opportunity.", (), 0),
        Field(FIRST_LEAD_SOURCE, FieldType.STRING, "The first `lead_source` of the lead."),
        Field(LAST_ACTIVITY, FieldType.NUMBER, "Days since the lead's latest activity."),
    ),
    **_named(
        *(
            Field(f"{DAYS_SINCE}{name}", FieldType.NUMBER, f"Days since the latest {name.replace('_', ' ')}.")
            for name in MILESTONES
        )
    ),
}
"""Fields of the lead, for scoring and for routing."""
