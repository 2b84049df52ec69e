"""The story of a lead as data: what `scorer explain` shows and `GET /leads/{id}` answers with.

`schemas/story.json` is generated from these models. Points are whole; the steps of the waterfall add up to the total
score. Times are RFC 3339 in UTC, days are ISO dates of UTC days.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from scorer.domain.decision import EvidenceValue, RulesetReference, ScoreView
from scorer.domain.score import Rating, Route


class Model(BaseModel):
    """Base of all parts: frozen, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Event(Model):
    """Where a value came from. Without id and source it was no activity but our own hand-over to sales."""

    time: str
    id: str | None = None
    source: str | None = None


class KnownValue(Model):
    """A value that is known of the lead, and the event that said so."""

    field: str
    value: EvidenceValue | None = Field(description="Null: withdrawn by that event, or (as evidence) unknown.")
    event: Event | None = Field(description="Null where no event said anything of it.")


class RulePart(Model):
    """A rule that holds."""

    rule: str
    points: int = Field(description="What the rule gives, before the limits of its criterion.")
    reason: str
    condition: str = Field(description="When the rule holds, in words.")
    evidence: list[KnownValue] = Field(description="What the rule looked at.")


class CriterionPart(Model):
    """A criterion: its rules that hold, and what its limits did."""

    criterion: str
    group: str | None
    met: bool | None = Field(description="Whether its group counts it as met; null without a group.")
    met_at: int
    hit_policy: Literal["first", "sum"]
    rules: list[RulePart]
    before_limit: int
    min: int | None
    max: int | None
    cut: int = Field(description="What the limits took (negative) or added (positive).")
    points: int = Field(description="`before_limit` + `cut`.")


class DayPart(Model):
    """What a signal counted on one UTC day."""

    day: str
    counted: int = Field(description="Activities that count: at most `daily_cap`.")
    full: bool = Field(description="The daily cap was reached; whatever else came on that day does not count.")
    age_days: int
    share: float = Field(description="What is left of a point after so many days, 0 to 1.")
    points: float = Field(description="`counted` x points each x `share`.")
    events: list[Event] = Field(description="The activities, where they are known: the state keeps only counts.")


class SignalPart(Model):
    """A signal: what was counted, what it is worth by now, and when it will be gone."""

    signal: str
    activity: str
    reason: str
    points_each: int
    daily_cap: int
    max_points: int | None
    half_life_days: float | None = Field(description="Null: it does not fade.")
    window_days: int = Field(description="Counts as old as this are worth nothing.")
    days: list[DayPart] = Field(description="Days within the window, oldest first.")
    outside_window: int = Field(description="Counted activities that are too old to be worth anything.")
    undiminished: int = Field(description="What all of them would be worth had nothing faded and were there no limit.")
    before_limit: float = Field(description="The sum of the days.")
    cut: float = Field(description="What `max_points` took.")
    points: int = Field(description="`before_limit` + `cut`, rounded to whole points.")
    gone_on: str | None = Field(description="First day on which it gives no points if nothing more happens.")


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
    reached: Rating = Field(description="What the score alone would be, whatever was published before.")
    previous: Rating | None = Field(description="The rating last published, from which the hysteresis is measured.")
    kept_down_to: int | None = Field(description="The lowest score with which the rating stays; null for `cold`.")
    because: str


class GradePart(Model):
    """From the score to the grade."""

    grade: str
    fit_bounds: dict[str, int]
    engagement_bounds: dict[str, int]
    because: str


class ConditionPart(Model):
    """A condition and whether it holds, down to the single comparison."""

    kind: Literal["test", "all", "any", "not"]
    holds: bool
    text: str
    field: str | None = None
    value: EvidenceValue | None = Field(None, description="What the comparison found; null where unknown.")
    parts: list["ConditionPart"] = Field(default_factory=list)


class RoutingRulePart(Model):
    """A routing rule and why it holds or not."""

    rule: str
    route: Route
    queue: str | None
    reason: str
    because: str
    condition: ConditionPart | None


class RoutingPart(RoutingRulePart):
    """The routing rule that applied, and those before it that did not."""

    respond_within_seconds: float | None
    passed_over: list[RoutingRulePart] = Field(description="Rules that come first in order, and do not hold.")
    not_asked: list[str] = Field(description="Rules that come later: the first that holds decides.")


class PublishedPart(Model):
    """What the last published decision said."""

    at: str
    rating: Rating
    grade: str
    route: Route
    queue: str | None
    score: int


class RuleChange(Model):
    """Points of a rule, signal or limit that changed."""

    criterion: str
    rule: str
    reason: str
    before: int = Field(description="0: it came.")
    after: int = Field(description="0: it went.")
    cause: Literal["activity", "time"] = Field(description="`time`: it faded, or a span of time ran out.")


class TimelineEntry(Model):
    """An activity that changed something."""

    time: str = Field(description="When it happened.")
    activity: str
    event: Event
    late: bool = Field(description="It arrived after a later one.")
    published: bool = Field(description="A decision was published.")
    score_before: int | None
    score: int
    rating_before: Rating | None
    rating: Rating
    route_before: Route | None
    route: Route
    routing_rule: str
    changes: list[RuleChange]


class WantedRule(Model):
    """A rule or signal that would come to hold (or cease to, where its points are negative)."""

    criterion: str
    rule: str
    points: int = Field(description="What it would change in points: of the rule itself, without limits.")
    reason: str
    condition: str
    ceases: bool
    times: int = Field(description="For a signal: how many more activities on the day; else 1.")


class Suggestion(Model):
    """A set of changes that suffices. `score`, `rating` and `route` were computed with the changes made."""

    wanted: list[WantedRule]
    example: dict[str, EvidenceValue] = Field(description="Values with which the rules hold: one example of several.")
    replaced: list[str] = Field(description="Rules whose points go in return.")
    score: int
    rating: Rating
    route: Route
    routing_rule: str


class Target(Model):
    """How the lead could reach a better rating."""

    rating: Rating
    needed: int = Field(description="The score from which on it is rated so.")
    missing: int
    size: int | None = Field(description="How many rules or signals it takes at least; null: more than three.")
    suggestions: list[Suggestion] = Field(description="Sets of that size, the highest score first, ten at most.")
    found: int = Field(description="How many sets of that size suffice.")
    most: int = Field(description="The highest score that three changes can reach.")
    exhaustive: bool = Field(description="False: the rules allow more combinations than were looked at.")


class Moment(Model):
    """What the lead will be at a time, if nothing happens until then."""

    at: str
    score: int
    rating: Rating
    route: Route


class Outlook(Model):
    """What time alone will do: points that fade, spans that run out."""

    until: str
    moments: list[Moment] = Field(description="Each day on which score, rating or route changes; the first is now.")
    ratings: list[Moment] = Field(description="Those of them on which the rating changes.")


class Story(Model):
    """Everything that explains how a lead is judged."""

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
    uncounted_signals: list[str] = Field(description="Signals that were counted, but that the ruleset has no more.")
    consent: list[KnownValue]
    erased_at: str | None = Field(description="Everything up to then was forgotten.")
    merged_into: str | None
    known: list[KnownValue] = Field(description="All values that are kept of the lead.")
    meanings: dict[str, str] = Field(description="What the fields mean; empty where nobody wrote it down.")
    published: PublishedPart | None
    outlook: Outlook
    targets: list[Target] = Field(description="Better ratings, the next one first.")
    timeline: list[TimelineEntry] | None = Field(description="Null where there is no history: in the service.")
    without_effect: int = Field(description="Activities in the timeline's source that changed nothing to be seen.")
    notes: list[str]
