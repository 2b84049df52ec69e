"""The format of rule test files (`*_test.yaml`). `schemas/rule-tests.json` is generated from these models."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from scorer.domain.instant import from_datetime, to_text
from scorer.domain.printable import printable
from scorer.rules import duration

_NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(name: str) -> str:
    """A test name without line breaks and control characters: those become escapes. Other characters stay, because
    JUnit files and `--run` name the test by them."""
    return printable(name) if _NOT_IN_A_NAME.search(name) else name


def _offset(value: object) -> str:
    if value == 0 and not isinstance(value, bool):
        return "0"
    if not isinstance(value, str):
        raise ValueError("a time is a number and one of s, m, h, d, w, y, as in 14d, or 0")
    duration.parse(value)
    return value


def _words(name: str) -> str:
    if not name.strip():
        raise ValueError("a test needs a name that says what it shows")
    if one_line(name) != name:
        raise ValueError("a name must be one line of text")
    return name


Offset = Annotated[
    str,
    BeforeValidator(_offset),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": duration.PATTERN}, {"const": 0}]}),
]
"""Time since the start of the test."""


def _moment(value: object) -> str | None:
    if value is None:
        return None
    try:
        return to_text(from_datetime(datetime.fromisoformat(str(value))))
    except (ValueError, OverflowError):
        raise ValueError(f"`{value}` is not a time; write it as in 2026-01-05T15:00:00Z, or ~ for none") from None


RespondBy = Annotated[
    str | None,
    BeforeValidator(_moment),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}),
]
"""An RFC 3339 time."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_words)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class GivenActivity(_Part):
    """An activity of the lead. Its id and lead are filled in."""

    type: str = Field(description="Activity type: `page_viewed`, or the full name of a custom type: `lead.my_type`.")
    after: Offset | None = Field(
        None, description="Time since the start of the test. The default is that of the previous activity."
    )
    times: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="Number of different activities of this kind.")
    source: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = Field(
        None, description="The sender. The default is one that the rules accept (`allowed_sources`)."
    )
    data: dict[str, Any] = Field(default_factory=dict, description="The payload.")


class Expectation(_Part):
    """What must be true. Each value is a constant or a mapping of comparison operators of the rule language."""

    after: Offset | None = Field(
        None, description="Time since the start of the test. The default is that of the last activity."
    )
    rating: Any = None
    grade: Any = None
    route: Any = None
    queue: Any = None
    routing: Any = Field(None, description="Id of the routing rule.")
    status: Any = Field(None, description="Status of the lead after what was published until then.")
    stage: Any = Field(None, description="Stage of the lead; `~`: none.")
    category: Any = Field(None, description="Category of the base to which the lead belongs; `~`: none.")
    escalated: Any = Field(None, description="How often the lead was escalated because nobody has answered; 0: not.")
    respond_by: RespondBy = Field(
        None, description="`respond_by` of the last published decision, as in 2026-01-05T15:00:00Z; `~`: none."
    )
    score: Any = Field(None, description="All points.")
    fit: Any = Field(None, description="Points of the criteria.")
    engagement: Any = Field(None, description="Points of the signals.")
    criteria: dict[str, Any] = Field(default_factory=dict, description="Points by criterion.")
    contributions: dict[str, Any] = Field(default_factory=dict, description="Points by rule or signal id.")
    present: list[str] = Field(default_factory=list, description="Rules and signals that must contribute.")
    absent: list[str] = Field(default_factory=list, description="Rules and signals that must not contribute.")
    published: bool | None = Field(None, description="Whether the last activity before this time published a decision.")

    @model_validator(mode="after")
    def _expects_something(self) -> "Expectation":
        given = self.model_fields_set - {"after"}
        if not given or not any(name in _SCALARS or getattr(self, name) for name in given):
            raise ValueError("nothing is expected, so the test would always pass")
        return self


_COLLECTIONS = ("criteria", "contributions", "present", "absent")
_SCALARS = frozenset(Expectation.model_fields) - {"after", *_COLLECTIONS}


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    many = {key: schema.pop(key) for key in ("type", "items", "minItems", "maxItems")}
    return {"anyOf": [many["items"], many]}


class TestCase(_Part):
    """The activities of one lead and what is expected of it."""

    __test__ = False

    name: Name = Field(description="What the test shows, in words. Names are unique in a file.")
    activities: Annotated[list[GivenActivity], Field(min_length=1)]
    expect: Annotated[list[Expectation], Field(min_length=1, max_length=100), BeforeValidator(_listed)] = Field(
        description="What must be true: one mapping, or a list of mappings, each with a time.",
        json_schema_extra=lambda schema: schema.update(_one_or_many(schema)),
    )


class RuleTestFile(_Part):
    """A file of rule tests (`*_test.yaml`)."""

    tests: Annotated[list[TestCase], Field(min_length=1)]
