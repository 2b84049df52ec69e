"""The story of a lead as data: the content of `scorer explain` and of `GET /leads/{id}`.

`schemas/story.json` is generated from these models. Points are whole numbers, and the steps of the waterfall add up to
the total score. Times are RFC 3339 in UTC, and days are ISO dates of UTC days.
"""

import operator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from scorer.domain.decision import EvidenceValue, RulesetReference, ScoreView
from scorer.domain.score import Rating, Route


class Model(BaseModel):
    """Base of all parts: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Event(Model):
    """The event that stated a value. Without id and source if no event did, or if it is not known which one."""

    time: str
    id: str | None = None
    source: str | None = None
    by: Literal["sales", "service"] | None = Field(
        None,
        exclude_if=operator.not_,
        description="Without an id: `sales` if an event of sales stated the value, but the state does not keep which "
        "one; `service` if this service decided it. Else the key is missing.",
    )


class KnownValue(Model):
    """A known value of the lead, and the event that stated it."""

    field: str
    value: EvidenceValue | None = Field(
        description="Null if the event withdrew the value or, as evidence, if it is unknown."
    )
    event: Event | None = Field(description="Null if no event stated the value.")


class RulePart(Model):
    """A rule that holds."""

    rule: str
    points: int = Field(description="Points of the rule, before the limits of its criterion.")
    reason: str
    condition: str = Field(description="When the rule holds, in words.")
    evidence: list[KnownValue] = Field(description="The values that the rule used.")


class CriterionPart(Model):
    """A criterion with the rules that hold and the effect of its limits."""

    criterion: str
    group: str | None
    met: bool | None = Field(description="Whether the group counts the criterion as met; null without a group.")
    met_at: int
    hit_policy: Literal["first", "sum"]
    rules: list[RulePart]
    before_limit: int
    min: int | None
    max: int | None
    cut: int = Field(description="Points that the limits took (negative) or added (positive).")
    points: int = Field(description="`before_limit` + `cut`.")


class DayPart(Model):
    """The counts of a signal on one UTC day."""

    day: str
    counted: int = Field(description="Activities that count, at most `daily_cap`.")
    full: bool = Field(description="Whether the daily cap was reached. Further activities on that day do not count.")
    age_days: int
    share: float = Field(description="The share of the points that remains at this age, 0 to 1.")
    points: float = Field(description="`counted` x points each x `share`.")
    events: list[Event] = Field(description="The activities, if they are known. The state keeps only counts.")


class SignalPart(Model):
    """A signal: its counts, its points now, and when it will give no more points."""

    signal: str
    activity: str
    reason: str
    points_each: int
    daily_cap: int
    max_points: int | None
    half_life_days: float | None = Field(description="Null if the signal does not decay.")
    window_days: int = Field(description="Counts of this age or older give no points.")
    days: list[DayPart] = Field(description="Days within the window, oldest first.")
    outside_window: int = Field(description="Counted activities that are too old to give points.")
    undiminished: int = Field(description="The points of all days without decay and without limit.")
    before_limit: float = Field(description="The sum of the days.")
    cut: float = Field(description="Points that `max_points` took.")
    points: int = Field(description="`before_limit` + `cut`, rounded to whole points.")
    gone_on: str | None = Field(description="The first day without points if nothing more happens.")


class Step(Model):
    """A step of the waterfall: from one sum to the next."""

    kind: Literal["rule", "limit", "signal"]
    criterion: str
    rule: str = Field(description="Id of the rule or signal; `cap` for a limit.")
    reason: str
    points: int
    start: int
    end: int = Field(description="`start` + `points`; the last one is the total score.")


class RatingPart(Model):
    """From the score to the rating."""

    rating: Rating
    warm: int
    hot: int
    hysteresis: int
    reached: Rating = Field(description="The rating by the score alone, without hysteresis.")
    previous: Rating | None = Field(description="The last published rating, to which the hysteresis applies.")
    kept_down_to: int | None = Field(description="The lowest score that keeps the rating; null for `cold`.")
    because: str


class GradePart(Model):
    """From the score to the grade."""

    grade: str
    fit_bounds: dict[str, int]
    engagement_bounds: dict[str, int]
    because: str


class ConditionPart(Model):
    """A condition and whether it holds, with all its comparisons."""

    kind: Literal["test", "all", "any", "not"]
    holds: bool
    text: str
    field: str | None = None
    value: EvidenceValue | None = Field(None, description="The value of the field; null if unknown.")
    parts: list["ConditionPart"] = Field(default_factory=list)


class RoutingRulePart(Model):
    """A routing rule, and why it holds or does not hold."""

    rule: str
    route: Route
    queue: str | None
    reason: str
    because: str
    condition: ConditionPart | None


class RoutingPart(RoutingRulePart):
    """The routing rule that applied, and the rules before it, which do not hold."""

    respond_within_seconds: float | None
    in_business_time: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="True if `respond_within_seconds` is business time of the ruleset; else the key is missing.",
    )
    passed_over: list[RoutingRulePart] = Field(description="Earlier rules, which do not hold.")
    not_asked: list[str] = Field(
        description="Later rules, which were not checked, because the first rule that holds decides."
    )


class PublishedPart(Model):
    """The last published decision."""

    at: str
    rating: Rating
    grade: str
    route: Route
    queue: str | None
    score: int


class PromisePart(Model):
    """The promise of a hand-over that nobody has kept yet."""

    made_at: str = Field(description="When the lead was handed over.")
    queue: str | None = Field(description="The queue to which it was handed over.")
    respond_by: str = Field(description="The promise is broken from then on.")
    in_business_time: bool = Field(description="Whether the ruleset counts promises in business time.")
    zone: str | None = Field(description="Time zone of business time; null without it.")
    escalated: int = Field(description="How often the lead was escalated; 0: not.")
    next_level_at: str | None = Field(description="When it is escalated next; null: never.")
    next_queue: str | None = Field(description="The queue that then receives it.")


class Escalation(Model):
    """A level to which a broken promise is escalated."""

    at: str
    level: int = Field(description="How often the lead is escalated from then on.")
    queue: str | None = Field(description="The queue from then on.")


class LifecycleStep(Model):
    """A change of the status or of the stage."""

    time: str
    kind: Literal["status", "stage"]
    before: str | None = Field(description="Null for the first stage.")
    after: str


class LifecyclePart(Model):
    """Where the lead is between marketing and sales."""

    status: str
    since: str | None = Field(description="Since when without interruption; null for a new lead.")
    stage: str | None = Field(description="Stage of the opportunity; null without one.")
    stage_since: str | None
    category: str | None = Field(description="Category of the base; null if the ruleset has none.")
    promise: PromisePart | None = Field(description="The promise that is open; null if nobody waits for an answer.")
    steps: list[LifecycleStep] = Field(description="The changes that the state still tells, oldest first.")
    escalations: list[Escalation] = Field(
        default_factory=list,
        description="Escalations until now, oldest first: of the open promise and, with a history, of earlier ones.",
    )
    actions: dict[str, int] = Field(description="How often each action that leads to a sale was counted, by name.")


class RuleChange(Model):
    """A change of the points of a rule, signal or limit."""

    criterion: str
    rule: str
    reason: str
    before: int = Field(description="0 if the rule did not apply before.")
    after: int = Field(description="0 if the rule no longer applies.")
    cause: Literal["activity", "time"] = Field(description="`time` if points decayed or a time span ended.")


class TimelineEntry(Model):
    """An activity that changed the lead."""

    time: str = Field(description="When the activity happened.")
    activity: str
    event: Event
    late: bool = Field(description="Whether it arrived after a later activity.")
    published: bool = Field(description="Whether a decision was published.")
    score_before: int | None
    score: int
    rating_before: Rating | None
    rating: Rating
    route_before: Route | None
    route: Route
    routing_rule: str
    status_before: str | None = Field(None, description="Null for the first entry.")
    status: str = Field("new", description="Status of the lead, with what was published about the activity.")
    stage_before: str | None = Field(None, description="Null without a stage.")
    stage: str | None = Field(None, description="Stage of the opportunity; null without one.")
    escalated: int = Field(0, description="How often the lead had been escalated when the activity arrived.")
    answered: bool = Field(False, description="Whether it was the answer for which the lead waited, in time or late.")
    changes: list[RuleChange]


class WantedRule(Model):
    """A rule or signal that would start to hold, or one with negative points that would cease to hold."""

    criterion: str
    rule: str
    points: int = Field(description="The change in points through the rule itself, before limits.")
    reason: str
    condition: str
    ceases: bool
    times: int = Field(description="For a signal, the number of further activities on the day; else 1.")


class Suggestion(Model):
    """A set of changes that is enough. `score`, `rating` and `route` are the results with these changes."""

    wanted: list[WantedRule]
    example: dict[str, EvidenceValue] = Field(description="Example values with which the rules hold.")
    replaced: list[str] = Field(description="Rules that cease in return.")
    score: int
    rating: Rating
    route: Route
    routing_rule: str


class Target(Model):
    """How the lead could reach a better rating."""

    rating: Rating
    needed: int = Field(description="The lowest score with this rating.")
    missing: int
    size: int | None = Field(
        description="The least number of rules or signals that is enough; null if it is more than three."
    )
    suggestions: list[Suggestion] = Field(description="Sets of that size, at most ten, the highest score first.")
    found: int = Field(description="The number of sets of that size that are enough.")
    most: int = Field(description="The highest score that up to three changes can reach.")
    exhaustive: bool = Field(description="False if the rules allow more combinations than were searched.")


class Moment(Model):
    """The result for the lead at a time, if nothing happens until then."""

    at: str
    score: int
    rating: Rating
    route: Route


class Outlook(Model):
    """What time alone will change: points decay and time spans end."""

    until: str
    moments: list[Moment] = Field(description="Days on which score, rating or route changes. The first entry is now.")
    ratings: list[Moment] = Field(description="The entries of `moments` on which the rating changes.")
    escalations: list[Escalation] = Field(
        default_factory=list, description="When and to which queue the lead is escalated if nobody answers."
    )


class Story(Model):
    """The complete explanation of a lead's score, rating and route."""

    version: Literal[1] = 1
    lead_id: str
    as_of: str
    latest_activity: str | None
    ruleset: RulesetReference
    score: ScoreView
    rating: RatingPart
    grade: GradePart
    routing: RoutingPart
    waterfall: list[Step]
    criteria: list[CriterionPart]
    signals: list[SignalPart]
    uncounted_signals: list[str] = Field(description="Counted signals that the ruleset no longer contains.")
    consent: list[KnownValue]
    erased_at: str | None = Field(description="All data up to this time was erased.")
    deleted_at: str | None = Field(
        None, description="When the lead is deleted (`retention`) unless it is active before; null: never."
    )
    merged_into: str | None
    lifecycle: LifecyclePart
    known: list[KnownValue] = Field(description="All values that the state of the lead holds.")
    meanings: dict[str, str] = Field(description="The meaning of each field; empty if it has no description.")
    published: PublishedPart | None
    outlook: Outlook
    targets: list[Target] = Field(description="The better ratings, the next one first.")
    timeline: list[TimelineEntry] | None = Field(description="Null without a history, as in the service.")
    without_effect: int = Field(description="Number of activities without a visible effect.")
    notes: list[str]
