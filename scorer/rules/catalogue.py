"""The fields that conditions may name, with their types: derived from the activity payloads, so that the contract and
the rule language cannot drift apart, plus the facts that scoring computes for routing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from scorer.domain.activity import PAYLOADS, AssessmentRecorded, ProfileUpdated, QualificationUpdated
from scorer.domain.lead import MILESTONES
from scorer.domain.score import Rating
from scorer.rules.condition import FieldType


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the catalogue. `choices` are the only values it can have, empty where any is possible; `minimum` and
    `maximum` are its limits where it has some, both possible."""

    name: str
    type: FieldType
    description: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None


Catalogue = Mapping[str, Field]


def payload_fields(activity_type: str) -> Catalogue | None:
    """The payload keys that a signal's `where` may name; None for a type that is not built in (it may carry any)."""
    payload = PAYLOADS.get(activity_type)
    return None if payload is None else _model_fields(payload, "")


def suggestion(name: str, candidates: Mapping[str, object] | tuple[str, ...], cutoff: float = 0.6) -> str:
    """`; did you mean …?` where a candidate is close, else nothing. `cutoff`: from which similarity on (0 to 1)."""
    close = get_close_matches(name, list(candidates), n=1, cutoff=cutoff)
    if not close:
        # People forget the prefix more often than they misspell: `industry` for `profile.industry`.
        close = [each for each in candidates if each.rpartition(".")[2] == name][:1]
    return f"; did you mean {close[0]}?" if close else ""


def _model_fields(model: type[BaseModel], prefix: str) -> Catalogue:
    properties: Mapping[str, Any] = model.model_json_schema().get("properties", {})
    found = (_field(f"{prefix}{key}", schema) for key, schema in properties.items())
    return {field.name: field for field in found if field is not None}


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
    # Whole numbers only have an exclusive limit.
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
        Field("consent.email", FieldType.STRING, "Consent to mail.", _CONSENT),
        Field("consent.phone", FieldType.STRING, "Consent to calls.", _CONSENT),
        Field(
            "lifecycle.status",
            FieldType.STRING,
            "Where the lead stands with sales.",
            ("handed_over", "accepted", "returned", "won", "lost"),
        ),
        Field("lifecycle.stage", FieldType.STRING, "Stage of the opportunity."),
        Field("days_since.last_activity", FieldType.NUMBER, "Days since the lead's latest activity."),
    ),
    **_named(
        *(
            Field(f"days_since.{name}", FieldType.NUMBER, f"Days since the latest {name.replace('_', ' ')}.")
            for name in MILESTONES
        )
    ),
}
"""Fields of the lead: for scoring and for routing."""


def routing_fields(criteria: Mapping[str, str | None], signals: Mapping[str, object]) -> Catalogue:
    """The facts that scoring computes for routing. `criteria` maps each criterion to its group (None: no group)."""
    groups = sorted({group for group in criteria.values() if group is not None})
    return _named(
        Field("rating", FieldType.STRING, "The rating.", tuple(Rating)),
        Field("score.total", FieldType.INTEGER, "All points."),
        Field("score.fit", FieldType.INTEGER, "Points of the criteria."),
        Field("score.engagement", FieldType.INTEGER, "Points of the signals."),
        Field(
            "score.since_return",
            FieldType.INTEGER,
            "Points that sales did not know of when it returned the lead; unknown if it never did.",
        ),
        Field("grade.fit", FieldType.STRING, "Fit, A to D.", ("A", "B", "C", "D")),
        Field("grade.engagement", FieldType.INTEGER, "Engagement, 1 to 4."),
        Field("criteria.behaviour", FieldType.INTEGER, "Points of all signals."),
        *(Field(f"criteria.{name}", FieldType.INTEGER, f"Points of {name}.") for name in criteria),
        *(Field(f"signals.{name}", FieldType.INTEGER, f"Points of {name}.") for name in signals),
        *(
            Field(f"groups.{name}.met", FieldType.INTEGER, f"Criteria of {name} that reach their `met_at`.")
            for name in groups
        ),
    )
