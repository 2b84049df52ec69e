"""The routing decision: what a CRM acts on and a person can understand.

The classes are the contract; `schemas/decision.json` is generated from them. The points of the contributions add up to
the total score, always. Plain dataclasses, because one decision holds dozens of parts: made and written, they take a
quarter of the time of models that validate what our own code has just computed. Whoever reads foreign bytes validates
with `read_decision`.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from pydantic import ConfigDict, Field, TypeAdapter

from scorer.domain.score import Rating, Route

EvidenceValue = bool | int | float | str | list[str]

_STRICT: Final = ConfigDict(extra="forbid")
_encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Contribution:
    """Points that one rule gave, and why."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    criterion: Annotated[str, Field(description="Criterion of the rule; `behaviour` for signals.")]
    rule: Annotated[str, Field(description="Id of the rule or signal; `cap` where a criterion's limit was applied.")]
    points: Annotated[int, Field(description="Whole points, negative where the rule takes some.")]
    reason: Annotated[str, Field(description="Why, in words for a salesperson.")]
    evidence: Annotated[
        dict[str, EvidenceValue], Field(description="The values that the rule looked at, as far as known.")
    ]


@dataclass(slots=True)
class ScoreView:
    """Points: `total` = `fit` + `engagement`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    total: Annotated[int, Field(description="All points; the sum of all contributions.")]
    fit: Annotated[int, Field(description="Points of the criteria: who the lead is.")]
    engagement: Annotated[int, Field(description="Points of the signals: what the lead does.")]


@dataclass(slots=True)
class Previous:
    """What the decision before this one said."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    rating: Rating
    route: Route
    score: Annotated[int, Field(description="Total score.")]


@dataclass(slots=True)
class RulesetReference:
    """The rules that were applied."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    revision: Annotated[str, Field(description="SHA-256 over the canonical ruleset, hexadecimal.")]


@dataclass(slots=True)
class Reference:
    """The activity that caused the decision."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    source: str
    id: str
    type: str


@dataclass(slots=True)
class Routing:
    """The routing rule that decided."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    rule: Annotated[str, Field(description="Id of the routing rule.")]
    reason: Annotated[str, Field(description="Why, in words for a salesperson.")]


@dataclass(slots=True)
class RoutingDecision:
    """How a lead is rated and where it goes.

    `decision_id` is made from the lead, the cause and the ruleset's revision: the same input gives the same id.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    decision_id: Annotated[str, Field(description="32 hexadecimal digits; equal for equal lead, cause and rules.")]
    lead_id: str
    decided_at: Annotated[
        str,
        Field(
            description="As of when the lead was judged: its latest activity. RFC 3339, UTC.",
            json_schema_extra={"format": "date-time"},
        ),
    ]
    cause: Annotated[Literal["activity", "time", "rules_changed"], Field(description="What led to the decision.")]
    reference: Annotated[Reference | None, Field(description="The activity, where one was the cause.")]
    rating: Rating
    grade: Annotated[str, Field(description="Fit A to D, engagement 1 to 4: `A1` is best.", pattern="^[A-D][1-4]$")]
    route: Route
    queue: Annotated[str | None, Field(description="Whose queue the lead goes to, where the ruleset names one.")]
    respond_by: Annotated[
        str | None,
        Field(
            description="By when the lead expects an answer, where the ruleset says so. RFC 3339, UTC.",
            json_schema_extra={"format": "date-time"},
        ),
    ]
    routing: Routing
    score: ScoreView
    criteria: Annotated[
        dict[str, int], Field(description="Points by criterion; `behaviour` is the sum of the signals.")
    ]
    contributions: Annotated[
        list[Contribution], Field(description="Every point with its rule; they add up to `score.total`.")
    ]
    previous: Annotated[Previous | None, Field(description="The last published decision, null for the first.")]
    ruleset: RulesetReference

    def to_json(self) -> bytes:
        """The decision as it is published: JSON in UTF-8, the same bytes each time."""
        return _encode(self)


_READER: Final = TypeAdapter(RoutingDecision)


def read_decision(content: bytes) -> RoutingDecision:
    """The decision that somebody published. Raises `pydantic.ValidationError`."""
    return _READER.validate_json(content)
