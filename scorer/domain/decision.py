"""The routing decision: what a CRM acts on and a person can understand.

The models are the contract; `schemas/decision.json` is generated from them. The points of the contributions add up to
the total score, always.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from scorer.domain.score import Rating, Route

EvidenceValue = bool | int | float | str | list[str]


class Part(BaseModel):
    """Base of the parts of a decision: frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Contribution(Part):
    """Points that one rule gave, and why."""

    criterion: str = Field(description="Criterion of the rule; `behaviour` for signals.")
    rule: str = Field(description="Id of the rule or signal; `cap` where a criterion's limit was applied.")
    points: int = Field(description="Whole points, negative where the rule takes some.")
    reason: str = Field(description="Why, in words for a salesperson.")
    evidence: dict[str, EvidenceValue] = Field(description="The values that the rule looked at, as far as known.")


class ScoreView(Part):
    """Points: `total` = `fit` + `engagement`."""

    total: int = Field(description="All points; the sum of all contributions.")
    fit: int = Field(description="Points of the criteria: who the lead is.")
    engagement: int = Field(description="Points of the signals: what the lead does.")


class Previous(Part):
    """What the decision before this one said."""

    rating: Rating
    route: Route
    score: int = Field(description="Total score.")


class RulesetReference(Part):
    """The rules that were applied."""

    name: str
    revision: str = Field(description="SHA-256 over the canonical ruleset, hexadecimal.")


class Reference(Part):
    """The activity that caused the decision."""

    source: str
    id: str
    type: str


class Routing(Part):
    """The routing rule that decided."""

    rule: str = Field(description="Id of the routing rule.")
    reason: str = Field(description="Why, in words for a salesperson.")


class RoutingDecision(Part):
    """How a lead is rated and where it goes.

    `decision_id` is made from the lead, the cause and the ruleset's revision: the same input gives the same id.
    """

    decision_id: str = Field(description="32 hexadecimal digits; equal for equal lead, cause and rules.")
    lead_id: str
    decided_at: str = Field(
        description="As of when the lead was judged: its latest activity. RFC 3339, UTC.",
        json_schema_extra={"format": "date-time"},
    )
    cause: Literal["activity", "time", "rules_changed"] = Field(description="What led to the decision.")
    reference: Reference | None = Field(description="The activity, where one was the cause.")
    rating: Rating
    grade: str = Field(description="Fit A to D, engagement 1 to 4: `A1` is best.", pattern="^[A-D][1-4]$")
    route: Route
    queue: str | None = Field(description="Whose queue the lead goes to, where the ruleset names one.")
    respond_by: str | None = Field(
        description="By when the lead expects an answer, where the ruleset says so. RFC 3339, UTC.",
        json_schema_extra={"format": "date-time"},
    )
    routing: Routing
    score: ScoreView
    criteria: dict[str, int] = Field(description="Points by criterion; `behaviour` is the sum of the signals.")
    contributions: list[Contribution] = Field(description="Every point with its rule; they add up to `score.total`.")
    previous: Previous | None = Field(description="The last published decision, null for the first.")
    ruleset: RulesetReference
