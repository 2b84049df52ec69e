"""The routing decision: what a CRM acts on and a person can understand.

The classes are the contract; `schemas/decision.json` is generated from them. The points of the contributions always add
up to the total score. The classes are msgspec structs because a decision has dozens of parts: structs are created and
written in a fraction of the time of models, which would validate values that this code has just computed. To read
bytes from elsewhere, use `read_decision`, which validates.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import field, make_dataclass
from types import NoneType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_type_hints, overload

import msgspec
from pydantic import ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from scorer.domain.score import Rating, Route

LATEST_VERSION: Final = 2
"""The version of decisions with `status` or `escalated`."""

EvidenceValue = bool | int | float | str | list[str]


class Contract(msgspec.Struct, gc=False):
    """A struct that pydantic can describe, validate and write. Pydantic does not support msgspec structs, so it gets a
    dataclass with the same name and fields, which forbids other fields.

    A field with a default is a key that appears only when it is used. When it is there it is not null."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema for pydantic."""
        names = cls.__struct_fields__
        hints = get_type_hints(cls, include_extras=True)
        more = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__pydantic_config__": ConfigDict(extra="forbid")}
        fields = [_twin_field(each, hints[each.name]) for each in msgspec.structs.fields(cls)]
        twin = make_dataclass(cls.__name__, fields, namespace=more)

        def read(value: Any, as_twin: core_schema.ValidatorFunctionWrapHandler) -> Contract:
            if isinstance(value, cls):
                return value
            validated = as_twin(value)
            return cls(*[getattr(validated, name) for name in names])

        write = core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins)
        return core_schema.no_info_wrap_validator_function(read, handler(twin), serialization=write)


def _twin_field(described: msgspec.structs.FieldInfo, hint: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    if described.default is msgspec.NODEFAULT:
        return described.name, hint
    kinds = tuple(kind for kind in get_args(hint) if kind is not NoneType)
    present = Union[kinds] if NoneType in get_args(hint) else hint  # noqa: UP007 (the kinds are known at run time)
    return described.name, present, field(default=described.default)


def _without_default(schema: dict[str, Any]) -> None:
    # The default stands for a missing key. No decision contains it, so the schema does not show it.
    del schema["default"]


class Contribution(Contract):
    """The points of one rule, with the reason."""

    criterion: Annotated[str, Field(description="Criterion of the rule; `behaviour` for signals.")]
    rule: Annotated[str, Field(description="Id of the rule or signal; `cap` for the limit of a criterion.")]
    points: Annotated[int, Field(description="Whole points; negative points lower the score.")]
    reason: Annotated[str, Field(description="The reason, in words for a salesperson.")]
    evidence: Annotated[
        dict[str, EvidenceValue],
        Field(
            description="The known values that the rule used. A value takes at most 1,024 bytes of JSON: a longer text "
            'is cut and ends with "…"; a longer list is cut and its last item says how many are missing, as in '
            '"… and 52 more".'
        ),
    ]


class Explained(Sequence[Contribution]):
    """Contributions that are created when they are read; writing JSON does not need them. Equal to their list.

    Most decisions are published and never read in this process.
    """

    __slots__ = ()

    @abstractmethod
    def make(self) -> list[Contribution]:
        """The contributions. Every call returns the same list."""

    @abstractmethod
    def to_json(self) -> bytes:
        """The contributions as a JSON array: the same bytes as the encoder writes for the list."""

    @overload
    def __getitem__(self, index: int) -> Contribution: ...
    @overload
    def __getitem__(self, index: slice) -> list[Contribution]: ...
    def __getitem__(self, index: int | slice) -> Contribution | list[Contribution]:
        return self.make()[index]

    def __len__(self) -> int:
        return len(self.make())

    def __iter__(self) -> Iterator[Contribution]:
        return iter(self.make())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Explained):
            return self.make() == other.make()
        return self.make() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.make())


def _written(value: object) -> msgspec.Raw:
    if isinstance(value, Explained):
        return msgspec.Raw(value.to_json())
    raise TypeError(f"a decision cannot contain a {type(value).__name__}")


_encode: Final = msgspec.json.Encoder(enc_hook=_written).encode


class ScoreView(Contract):
    """Points: `total` = `fit` + `engagement`."""

    total: Annotated[int, Field(description="All points; the sum of all contributions.")]
    fit: Annotated[int, Field(description="Points of the criteria: who the lead is.")]
    engagement: Annotated[int, Field(description="Points of the signals: what the lead does.")]


class Previous(Contract):
    """The previous published decision."""

    rating: Rating
    route: Route
    score: Annotated[int, Field(description="Total score.")]


class RulesetReference(Contract):
    """The rules that were applied."""

    name: str
    revision: Annotated[str, Field(description="SHA-256 over the canonical ruleset, hexadecimal.")]


class Reference(Contract):
    """The activity that caused the decision."""

    source: str
    id: str
    type: str


class Routing(Contract):
    """The routing rule that applied."""

    rule: Annotated[str, Field(description="Id of the routing rule.")]
    reason: Annotated[str, Field(description="The reason, in words for a salesperson.")]


class RoutingDecision(Contract, omit_defaults=True):
    """The rating of a lead and where it goes.

    `decision_id` is derived from the lead, the cause and the ruleset's revision: the same input gives the same id.
    """

    decision_id: Annotated[
        str, Field(description="32 hexadecimal digits; the same for the same lead, cause and rules.")
    ]
    lead_id: str
    decided_at: Annotated[
        str,
        Field(
            description="The time as of which the lead was evaluated. It never goes back. RFC 3339, UTC.",
            json_schema_extra={"format": "date-time"},
        ),
    ]
    cause: Annotated[Literal["activity", "time", "rules_changed"], Field(description="What caused the decision.")]
    reference: Annotated[Reference | None, Field(description="The activity, if one was the cause.")]
    rating: Rating
    grade: Annotated[str, Field(description="Fit A to D, engagement 1 to 4: `A1` is best.", pattern="^[A-D][1-4]$")]
    route: Route
    queue: Annotated[str | None, Field(description="The queue that receives the lead, if the ruleset names one.")]
    respond_by: Annotated[
        str | None,
        Field(
            description="When the lead must hear from us at the latest, if the ruleset sets a time. RFC 3339, UTC.",
            json_schema_extra={"format": "date-time"},
        ),
    ]
    routing: Routing
    score: ScoreView
    criteria: Annotated[
        dict[str, int], Field(description="Points by criterion; `behaviour` is the sum of the signals.")
    ]
    contributions: Annotated[
        Sequence[Contribution], Field(description="All points with their rules; they add up to `score.total`.")
    ]
    previous: Annotated[Previous | None, Field(description="The previous published decision; null for the first one.")]
    ruleset: RulesetReference
    status: (
        Annotated[
            str,
            Field(
                description="Where the lead is in its life: `new`, `nurturing`, `handed_over`, `accepted`, `returned`, "
                "`won`, `lost` or `discarded`. Only if the ruleset follows the life of leads.",
                json_schema_extra=_without_default,
            ),
        ]
        | None
    ) = None
    escalated: Annotated[
        int,
        Field(
            description="How often the lead was escalated because nobody has answered by `respond_by`. Only if it was.",
            ge=1,
            json_schema_extra=_without_default,
        ),
    ] = 0
    schema_version: Annotated[
        int,
        Field(
            description="The version of this contract. It is there if `status` or `escalated` is. A decision without "
            "it is of version 1.",
            ge=LATEST_VERSION,
            le=LATEST_VERSION,
            json_schema_extra=_without_default,
        ),
    ] = 1

    def to_json(self) -> bytes:
        """The decision as it is published: JSON in UTF-8. Equal decisions give equal bytes."""
        return _encode(self)


_READER: Final = TypeAdapter(RoutingDecision)


def read_decision(content: bytes) -> RoutingDecision:
    """A published decision. Raises `pydantic.ValidationError` if the bytes do not match the contract."""
    return _READER.validate_json(content)
