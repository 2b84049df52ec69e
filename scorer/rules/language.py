"""The rule files: what each section can contain. `schemas/ruleset.json` is generated from these models.

Conditions are kept as written; `parse_condition` reads them, because the valid conditions depend on the fields.
"""

import re
from fractions import Fraction
from typing import Annotated, Any, Literal

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

from scorer.domain.counts import KEEP_DAYS
from scorer.domain.identities import REMEMBERED_DAYS
from scorer.domain.instant import DAY
from scorer.domain.score import Route
from scorer.rules import calendar_text, duration
from scorer.rules.catalogue import suggestion
from scorer.rules.condition import FieldType
from scorer.rules.holiday_dates import check_code
from scorer.rules.ruleset import Period
from scorer.rules.zones import zone_names

_ID, _FIELD_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", r"^[a-z][a-z0-9_]{0,63}$"
PATTERNS = {
    _ID: "letters, digits, _ and -, at most 64, and begin with a letter or digit",
    _FIELD_NAME: "lower-case letters, digits and _, at most 64, and begin with a letter",
}
"""Each pattern in words."""
_FRACTION = r"^[0-9]+(\.[0-9]+)?( ?/ ?[0-9]+)?$"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

Id = Annotated[str, StringConstraints(pattern=_ID)]
FieldName = Annotated[str, StringConstraints(pattern=_FIELD_NAME)]
Points = Annotated[int, Field(ge=-10_000, le=10_000)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500)]


def _duration(text: str) -> str:
    duration.parse(text)
    return text


Duration = Annotated[str, AfterValidator(_duration), WithJsonSchema({"type": "string", "pattern": duration.PATTERN})]


def _tolerance(text: str) -> str:
    if duration.parse(text) > DAY:
        raise ValueError("tolerance: an activity may be at most 24 hours ahead; write at most 1d")
    return text


Tolerance = Annotated[Duration, AfterValidator(_tolerance)]


def _retention(text: str) -> str:
    if duration.parse(text) < LEAST_RETENTION:
        days = LEAST_RETENTION // DAY
        raise ValueError(f"repeated activities are recognised for {days} days; write at least {days}d")
    return text


Retained = Annotated[Duration, AfterValidator(_retention)]
CONDITION_MARK = "x-condition"
"""Marks the place of a condition in the generated schema, which has one definition of conditions."""

RawCondition = Annotated[dict[str, Any], WithJsonSchema({CONDITION_MARK: True})]


LEAST_RETENTION = REMEMBERED_DAYS * DAY
"""In microseconds. With less, a repeated activity would be new although its identity is remembered."""


class MisplacedKeyError(ValueError):
    """A key does not fit another key of its section; `key` is the one to report."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class Section(BaseModel):
    """Base of all sections of a rule file: no unknown keys, no type conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RatingsSection(Section):
    """Lower bounds of the ratings, in points."""

    warm: Points = Field(description="The lowest score of a warm lead.")
    hot: Points = Field(description="The lowest score of a hot lead.")
    hysteresis: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="A lead keeps its rating until it falls more than this many points below the bound."
    )

    @model_validator(mode="after")
    def _ascending(self) -> "RatingsSection":
        if self.hot <= self.warm:
            raise ValueError(f"hot ({self.hot}) must be above warm ({self.warm})")
        return self


class FitGrades(Section):
    """Lower bounds of the letters, in fit points. Below all bounds the letter is D."""

    A: Points
    B: Points
    C: Points

    @model_validator(mode="after")
    def _descending(self) -> "FitGrades":
        if not self.A > self.B > self.C:
            raise ValueError("the bounds must decrease from A to C")
        return self


class GradesSection(Section):
    """Bounds of the grade: fit as a letter, engagement as a digit."""

    fit: FitGrades
    engagement: dict[Literal[1, 2, 3], Points] = Field(
        description="Lower bounds of 1, 2 and 3, in engagement points. Below all bounds the digit is 4."
    )

    @model_validator(mode="after")
    def _complete(self) -> "GradesSection":
        if sorted(self.engagement) != [1, 2, 3]:
            raise ValueError("engagement needs a bound for each of 1, 2 and 3")
        if not self.engagement[1] > self.engagement[2] > self.engagement[3]:
            raise ValueError("the bounds must decrease from 1 to 3")
        return self


class PublishSection(Section):
    """When a decision is published."""

    on: Literal["change", "activity"] = Field(
        "change",
        description="`change`: when rating, grade, route or queue changes, or the score changes by `score_step`. "
        "`activity`: after every activity that changed anything about the lead.",
    )
    score_step: Annotated[int, Field(ge=1, le=10_000)] = Field(
        10, description="Points by which the score must change for a decision to be published for that reason alone."
    )


class RescoreSection(Section):
    """What happens to known leads when the rules change."""

    mode: Literal["changed_only", "off"] = Field(
        "changed_only",
        description="`changed_only`: every known lead is re-scored, and a decision is published if rating, grade, "
        "route or queue differs or the score changed by `score_step`. `off`: a lead keeps its last decision until its "
        "next activity.",
    )
    per_second: Annotated[int, Field(ge=1, le=100_000)] = Field(
        500, description="The most leads that each worker re-scores in a second."
    )


class RetentionSection(Section):
    """When leads are deleted, at the first 00:00 UTC that is at least so long after. A year has 365 days."""

    inactive: Retained | None = Field(
        None,
        description="The time after the arrival of a lead's latest activity; at least 7d. By default leads are kept "
        "for ever.",
    )
    after_erasure: Retained | None = Field(
        None,
        description="The time after the arrival of an erasure, for a lead without activity since; at least 7d. Until "
        "then late activities from before the erasure stay forgotten. The default is `inactive`.",
    )


def _zone(name: str) -> str:
    if name not in zone_names():
        hint = suggestion(name, tuple(sorted(zone_names())))
        raise ValueError(f"`{name}` is not a time zone (an IANA name, as in Europe/Berlin){hint}")
    return name


def _all_days(ranges: list[str]) -> list[str]:
    return sorted({day for text in ranges for day in calendar_text.weekdays(text)}, key=calendar_text.number_of)


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _some_hours(value: object) -> object:
    if isinstance(value, (int, float)):
        raise ValueError(f"`{value}` are not opening hours; write them as in 09:00-18:00")
    return _one_or_more(value)


def _checked_days(text: str) -> str:
    calendar_text.weekdays(text)
    return text


def _pattern_schema(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


def _one_or_more_schema(pattern: str) -> dict[str, Any]:
    text = _pattern_schema(pattern)
    return {"anyOf": [text, {"type": "array", "minItems": 1, "items": text}]}


ZoneName = Annotated[str, AfterValidator(_zone)]
"""An IANA name of the pinned zones."""
Days = Annotated[
    list[Annotated[str, AfterValidator(_checked_days)]],
    Field(min_length=1),
    AfterValidator(_all_days),
    BeforeValidator(_one_or_more),
    WithJsonSchema(_one_or_more_schema(calendar_text.DAYS_PATTERN)),
]
OpeningHours = Annotated[
    list[Annotated[str, AfterValidator(calendar_text.check_hours)]],
    Field(min_length=1),
    AfterValidator(calendar_text.in_order),
    BeforeValidator(_some_hours),
    WithJsonSchema(_one_or_more_schema(calendar_text.HOURS_PATTERN)),
]
Date = Annotated[
    str, AfterValidator(calendar_text.check_date), WithJsonSchema(_pattern_schema(calendar_text.DATE_PATTERN))
]


class CalendarSection(Section):
    """Business time, in which the times of promises count: `respond_within` and `escalate`."""

    zone: ZoneName = Field(description="The time zone of the hours: an IANA name, as in Europe/Berlin.")
    days: Days = Field(description="The business days: `mon` to `sun`, or ranges such as `mon-fri`.")
    hours: OpeningHours = Field(description="The opening hours of these days, as in `09:00-18:00`, or a list of them.")
    holidays: Annotated[str, AfterValidator(check_code)] | None = Field(
        None,
        description="Public holidays are no business days: a country (ISO 3166-1 alpha-2), or one of its "
        "subdivisions, as in `DE-BY`.",
    )
    closed: Annotated[list[Date], AfterValidator(lambda dates: sorted(set(dates)))] = Field(
        default_factory=list, description="Other dates without business hours."
    )
    open: dict[Date, OpeningHours] = Field(
        default_factory=dict,
        description="Dates with other hours, whatever day they are: they apply on holidays and weekends too.",
    )


class FieldSection(Section):
    """A custom field."""

    type: FieldType = Field(description="string, integer, number, boolean or strings (a list).", strict=False)
    description: str = Field("", description="The meaning of the field.")
    choices: list[str] = Field(default_factory=list, description="The possible values (only for string fields).")
    accept_text: bool = Field(
        False, description='Whether a text that is a number counts as the number, as in `"40"` (only for numbers).'
    )

    @model_validator(mode="after")
    def _keys_fit_the_type(self) -> "FieldSection":
        if self.choices and self.type is not FieldType.STRING:
            raise ValueError("only fields of type string can have choices")
        if self.accept_text and self.type not in (FieldType.INTEGER, FieldType.NUMBER):
            raise MisplacedKeyError("accept_text", "only fields of type integer or number can have `accept_text`")
        return self


class SignalSection(Section):
    """Behaviour that gives points. It is counted per lead and day, with caps and decay."""

    activity: str = Field(
        description="Activity type: `page_viewed`, or the full name of a custom type: `lead.my_type`."
    )
    where: RawCondition | None = Field(
        None, description="Which of these activities count, as a condition on their `data`."
    )
    points: Points = Field(description="Points for each counted activity, before decay.")
    daily_cap: Annotated[int, Field(ge=1, le=100)] = Field(10, description="The most activities that count per day.")
    max_points: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="Limit of the total points of this signal, positive or negative."
    )
    half_life: Duration | None = Field(
        None, description="The time after which points are halved. The default is no decay."
    )
    window: Duration = Field("365d", description=f"Older activities no longer count; at most {KEEP_DAYS}d.")
    reason: Reason | None = Field(None, description="The reason, in words for a salesperson.")

    @model_validator(mode="after")
    def _window_is_kept(self) -> "SignalSection":
        if duration.parse(self.window) > duration.parse(f"{KEEP_DAYS}d"):
            raise ValueError(f"window: counts are kept for {KEEP_DAYS} days; write at most {KEEP_DAYS}d")
        return self


class RuleSection(Section):
    """A rule of a decision table."""

    id: Id = Field(description="Unique in the ruleset.")
    when: RawCondition | None = Field(None, description="When the rule holds. The default is always.")
    points: Points = Field(description="Whole points; negative points lower the score.")
    reason: Reason | None = Field(None, description="The reason, in words for a salesperson.")


class CriterionSection(Section):
    """A criterion: a decision table about who the lead is."""

    description: str = Field("", description="What the criterion is about.")
    group: Id | None = Field(None, description="Group of the criterion. `groups.<group>.met` counts its met criteria.")
    hit_policy: Literal["first", "sum"] = Field(
        "first", description="`first`: only the first rule that holds gives points. `sum`: all rules that hold do."
    )
    min: Points | None = Field(None, description="Lower limit of the sum.")
    max: Points | None = Field(None, description="Upper limit of the sum.")
    met_at: Points = Field(1, description="The lowest points with which the criterion counts as met.")
    rules: Annotated[list[RuleSection], Field(min_length=1)] = Field(description="The rules, in order.")

    @model_validator(mode="after")
    def _limits_fit(self) -> "CriterionSection":
        if self.hit_policy == "first" and (self.min is not None or self.max is not None):
            key = "min" if self.max is None else "max"
            raise MisplacedKeyError(key, "min and max require `hit_policy: sum`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class EscalationSection(Section):
    """A step after a broken promise."""

    after: Duration = Field(description="The time since the promise was broken, in the same measure.")
    queue: Id | None = Field(None, description="The queue that receives the lead. The default is that of the rule.")


class RoutingRuleSection(Section):
    """A routing rule. The first routing rule that holds decides."""

    id: Id = Field(description="Unique in the ruleset.")
    when: RawCondition | None = Field(None, description="When the rule holds. The last rule has no condition.")
    route: Annotated[Route, Field(strict=False)] = Field(description="`discard`, `nurture` or `sales`.")
    queue: Id | None = Field(None, description="The queue that receives the lead.")
    respond_within: Duration | None = Field(
        None,
        description="The time within which the lead must hear from us: business time if there is a `calendar`, where a "
        "day is a business day.",
    )
    escalate: Annotated[list[EscalationSection], Field(max_length=5)] | None = Field(
        None,
        description="What follows when `respond_within` passes without an answer: a decision at once, and one for each "
        "of these steps. The default is nothing.",
    )
    reason: Reason | None = Field(None, description="The reason, in words for a salesperson.")

    @model_validator(mode="after")
    def _escalation_has_a_promise(self) -> "RoutingRuleSection":
        if self.escalate is not None and self.respond_within is None:
            raise MisplacedKeyError("escalate", "`escalate` needs `respond_within`: the promise that can be broken")
        if self.escalate is not None and self.route is not Route.SALES:
            raise MisplacedKeyError("escalate", "`escalate` needs `route: sales`: only sales is asked to answer")
        return self


StageName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class PhasesSection(Section):
    """The phases of the funnel in order, each with the names of its stages as the CRM sends them."""

    acquisition: list[StageName] = Field(default_factory=list, description="Finding the contact.")
    contact: list[StageName] = Field(default_factory=list, description="Talking with the contact.")
    offer: list[StageName] = Field(default_factory=list, description="Making an offer.")
    negotiation: list[StageName] = Field(default_factory=list, description="Negotiating the offer.")
    close: list[StageName] = Field(default_factory=list, description="Signing.")


class CategorySection(Section):
    """A category of the base."""

    id: Id = Field(description="Name of the category.")
    when: RawCondition | None = Field(
        None, description="Which leads belong to it, as in routing but without days. The last one has no condition."
    )


class ActionSection(Section):
    """An action that leads to a sale."""

    activity: str = Field(
        description="Activity type: `meeting_held`, or the full name of a custom type: `lead.my_type`."
    )
    where: RawCondition | None = Field(
        None, description="Which of these activities count, as a condition on their `data`."
    )


class LifecycleSection(Section):
    """How the figures name stages, leads and activities. Decisions then tell the status of the lead."""

    phases: PhasesSection | None = Field(None, description="The stages of the CRM by phase of the funnel.")
    categories: Annotated[list[CategorySection], Field(max_length=32)] = Field(
        default_factory=list, description="The categories of the base. A lead belongs to the first one that holds."
    )
    actions: Annotated[dict[Id, ActionSection], Field(max_length=32)] = Field(
        default_factory=dict, description="Actions that lead to a sale, by name. They are counted by day."
    )


_LONGEST_NUMBER = 40


def fraction(value: object) -> Fraction:
    """A number as it is written, or a fraction such as `1/3`. Raises `ValueError` in words."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("write a number, or a fraction such as 1/3")
    text = str(value).replace(" ", "")
    try:
        if not text.isascii() or len(text) > _LONGEST_NUMBER:
            raise ValueError
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        shown = text[:_LONGEST_NUMBER]
        raise ValueError(f"`{shown}` is neither a number nor a fraction such as 1/3") from None


_LEAST_RATE = Fraction(1, 1_000_000)


def _closing_rate(value: object) -> object:
    if not _LEAST_RATE <= fraction(value) <= 1:
        raise ValueError("a closing rate is at least one in a million and at most 1: write a third as 1/3 or 0.333")
    return value


Amount = Annotated[float, Field(ge=0.01, le=1e15)]
ClosingRate = Annotated[
    str | float,
    AfterValidator(_closing_rate),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "string", "pattern": _FRACTION}]}
    ),
]


class TargetsSection(Section):
    """What sales must bring in a period. It gives the number of opportunities that are needed."""

    revenue: Amount = Field(description="Revenue of a period.")
    average_deal: Amount = Field(description="Average value of a deal, in the currency of `revenue`.")
    closing_rate: ClosingRate = Field(description="The share of opportunities that are won: a number or a fraction.")
    period: Annotated[Period, Field(strict=False)] = Field(Period.MONTH, description="The period of the target.")
    zone: ZoneName | None = Field(
        None, description="Time zone in which days and periods begin. The default is that of `calendar`, else UTC."
    )


def _pattern(text: str) -> str:
    if "*" in text[:-1]:
        raise ValueError(f"`{text}`: a `*` can only be the last character")
    if _CONTROL.search(text) is not None:
        raise ValueError("no source contains a control character, so this never matches")
    return text


SourcePattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    AfterValidator(_pattern),
    WithJsonSchema({"type": "string", "pattern": r"^[^*]*\*?$", "minLength": 1, "maxLength": 1024}),
]


class RulesetFile(Section):
    """A rule file. A ruleset is a directory of rule files, which are merged. Every section may be in any of them."""

    ruleset: Id | None = Field(None, description="Name of the ruleset.")
    description: str | None = Field(None, description="The purpose of the ruleset.")
    ratings: RatingsSection | None = None
    grades: GradesSection | None = None
    publish: PublishSection | None = None
    rescore: RescoreSection | None = None
    tolerance: Tolerance = Field(
        "5m",
        description="How far the clock of a sender may be ahead; at most 1d. An activity counts as of its own time, "
        "but at most this long after it arrived. A grant of consent counts if it is later than the withdrawal by more "
        "than this.",
    )
    unfitting: Literal["count", "dead_letter"] = Field(
        "count",
        description="What happens to an activity with a key that does not fit: a value of another type or outside "
        "`choices`, a key that nobody declares. `count`: the key is dropped and counted, the rest counts. "
        "`dead_letter`: the whole activity is set aside.",
    )
    retention: RetentionSection | None = None
    calendar: CalendarSection | None = None
    allowed_sources: dict[str, Annotated[list[SourcePattern], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Which senders may send activities of a type or state a field, by `erased`, `lead.my_type` or "
        "`profile.is_competitor`: the `source` of the event, or its beginning and `*`. Others are refused.",
    )
    lifecycle: LifecycleSection | None = None
    targets: TargetsSection | None = None
    fields: dict[FieldName, FieldSection] = Field(default_factory=dict, description="Custom fields, by name.")
    signals: dict[Id, SignalSection] = Field(default_factory=dict, description="Behaviour, by signal id.")
    scoring: dict[Id, CriterionSection] = Field(default_factory=dict, description="Criteria, by name.")
    routing: list[RoutingRuleSection] | None = Field(None, description="Routing rules, in order.")
