"""The result of `scorer report`, as plain values. `schemas/report.json` is generated from these classes.

Shares and rates are fractions of 1, and null if they cannot be computed. Amounts are in the currency of the rules and
the activities. Dates are local dates of `zone` (sales actions: UTC). Instants are RFC 3339, UTC.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Base of all parts: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ReportInput(Model):
    """What was read."""

    files: Sequence[str] = Field(description="Files, or the topic.")
    lines: int = Field(description="Activities that were read, good or bad; each event of a batch counts.")
    activities: int = Field(description="Good activities.")
    rejected: Mapping[str, int] = Field(description="Bad activities by reason.")
    leads: int = Field(description="Leads with activities.")
    first: str | None = Field(description="Time of the earliest activity.")
    last: str | None = Field(description="Time of the latest activity.")
    as_of: str | None = Field(description="Until when time alone decides; the figures are of this instant.")


class HandOversOfPeriod(Model):
    """The hand-overs of a period, and what became of them until now. A lead that was won or lost counts as accepted,
    too."""

    handed_over: int = Field(description="Leads handed over to sales.")
    accepted: int = Field(description="Of these, accepted by sales, or won or lost.")
    returned: int = Field(description="Of these, returned by sales.")
    won: int = Field(description="Of these, won.")
    lost: int = Field(description="Of these, lost.")
    acceptance_rate: float | None = Field(description="accepted / handed_over")
    return_rate: float | None = Field(description="returned / handed_over")
    decided: int = Field(description="Of these, won or lost.")
    win_rate: float | None = Field(description="won / handed_over")
    decided_win_rate: float | None = Field(description="won / decided")


class PhaseReached(Model):
    """A phase of the funnel. A lead counts once per period, also in a phase that it jumped over."""

    phase: str
    reached: int = Field(description="Leads that reached the phase.")
    went_on: int = Field(description="Of these, leads that went on to a later phase.")
    ratio: float | None = Field(description="went_on / reached")


class PeriodFigures(Model):
    """The figures of one period. Sales may speak in this period about hand-overs of an earlier one."""

    label: str = Field(description="2026-W48, 2026-11, 2026-Q4 or 2026.")
    starts: str = Field(description="The first day.")
    ends: str = Field(description="The last day.")
    elapsed: float = Field(description="The share of its (business) time that has passed, from 0 to 1.")
    hand_overs: HandOversOfPeriod
    accepted: int = Field(description="Acceptances that happened in the period.")
    returned: int = Field(description="Returns that happened in the period.")
    won: int = Field(description="Deals won in the period.")
    lost: int = Field(description="Deals lost in the period.")
    value_won: float = Field(description="Sum of the values of the deals won in the period.")
    phases: Sequence[PhaseReached] = Field(description="The funnel of the period.")


class Production(Model):
    """Opportunities produced against those needed, and revenue won against the target, in the period of `as_of`."""

    period: str = Field(description="Label of the period.")
    revenue: float = Field(description="Target: revenue of a period.")
    average_deal: float = Field(description="Target: average value of a deal.")
    closing_rate: float = Field(description="Target: share of opportunities that are won.")
    needed: float = Field(description="revenue / average_deal / closing_rate")
    handed_over: int = Field(description="Opportunities handed over so far.")
    elapsed: float = Field(description="The share of the period that has passed.")
    forecast: float | None = Field(
        description="handed_over / elapsed; null while less than a tenth of the period has passed."
    )
    revenue_won: float = Field(description="Sum of the values of the deals won in the period so far.")
    revenue_share: float = Field(description="revenue_won / revenue")


class Base(Model):
    """Leads by where they stood at the end of each period (of the last one: now). Deleted leads are not in it."""

    periods: Sequence[str] = Field(description="Labels of the periods, ascending.")
    by_category: Mapping[str, Sequence[int]] = Field(description="Leads at each end by category.")
    by_status: Mapping[str, Sequence[int]] = Field(description="Leads at each end by status.")
    by_rating: Mapping[str, Sequence[int]] = Field(description="Leads at each end by published rating.")


class Transitions(Model):
    """Changes over the whole input, in both directions."""

    names: Sequence[str] = Field(description="Rows and columns, in order.")
    counts: Mapping[str, Mapping[str, int]] = Field(description="Changes by name before, then name after.")
    total: int = Field(description="All changes.")


class Unusual(Model):
    """A change of the status that usually does not happen, such as from new to won."""

    before: str
    after: str
    times: int


class UnknownStage(Model):
    """A stage that leads had and that `lifecycle.phases` does not name."""

    stage: str
    times: int = Field(description="How often leads came to it.")
    meant: str | None = Field(description="The most similar stage of the rules; null if none is similar.")


class DayCount(Model):
    """Sales actions of a day."""

    day: str = Field(description="Date, UTC.")
    times: int


class SalesAction(Model):
    """An action of `lifecycle.actions`."""

    action: str
    total: int = Field(description="Actions over the whole input.")
    days: Sequence[DayCount] = Field(description="The days with this action among the latest 92, ascending.")


class Responses(Model):
    """Promises of an answer (`respond_within`), by the queue of the hand-over. Each promise has exactly one fate: kept,
    late, missed, open, withdrawn or unmeasured."""

    queue: str | None = Field(description="Queue of the hand-over; null: none.")
    promises: int = Field(description="Hand-overs with a promise.")
    kept: int = Field(description="Answered before `respond_by`.")
    late: int = Field(description="Answered at `respond_by` or later.")
    missed: int = Field(description="Not answered, and `respond_by` has passed.")
    open: int = Field(description="Not answered, and `respond_by` is still ahead.")
    withdrawn: int = Field(description="Ended before `respond_by` without an answer, such as a return.")
    unmeasured: int = Field(description="Answered, by an activity from before the hand-over was decided.")
    median_seconds: float | None = Field(
        description="Median time from hand-over to answer; business time if `in_business_time`."
    )
    p90_seconds: float | None = Field(
        description="90 % of the answers took at most this long; business time if `in_business_time`."
    )
    escalations: int = Field(description="Escalations: one for each level that a promise reached.")
    kept_share: float | None = Field(description="kept / (kept + late + missed)")


class Waiting(Model):
    """Leads that wait for an answer now."""

    open: int = Field(description="Leads with an open promise.")
    overdue: int = Field(description="Of these, leads whose promise is broken.")
    hot_untouched: int = Field(description="Of these, hot leads.")


class HotLead(Model):
    """A hot lead that waits for its first response."""

    lead_id: str
    queue: str | None = Field(description="Where it waits now; null: no queue.")
    since: str = Field(description="When it was handed over.")
    due: str = Field(description="`respond_by` of the hand-over.")


class Named(Model):
    """How often a name was given."""

    name: str
    times: int


class Ranking(Model):
    """Names that senders invent, the most frequent first."""

    total: int = Field(description="All, with and without a name.")
    unstated: int = Field(description="Without a name.")
    named: Sequence[Named] = Field(description="The most frequent names.")
    other: int = Field(description="With other names.")
    other_names: int = Field(description="Number of other names; at least this many.")


class RuleLift(Model):
    """What a rule says about the outcome. Leads count as they were just before their first outcome.

    `lift`: the win rate of leads on which the rule applied, over that of all leads. `low` and `high`: its 95 %
    confidence interval (delta method on the logarithm). `few`: too few leads for a conclusion.
    """

    criterion: str
    rule: str
    reason: str
    points: int = Field(description="Points of the rule; of a signal, for one activity.")
    won: int = Field(description="Won leads on which the rule applied.")
    lost: int = Field(description="Lost leads on which the rule applied.")
    won_share: float | None = Field(description="won / all won leads")
    lost_share: float | None = Field(description="lost / all lost leads")
    rate: float | None = Field(description="won / (won + lost)")
    lift: float | None = Field(description="rate / win rate of all leads with an outcome")
    low: float | None = Field(description="Lower bound of the 95 % interval of the lift.")
    high: float | None = Field(description="Upper bound of the 95 % interval of the lift.")
    few: bool = Field(description="Too few leads for a conclusion.")


class OutcomeFigures(Model):
    """What won leads had and lost leads lacked."""

    won: int = Field(description="Leads whose first outcome was won.")
    lost: int = Field(description="Leads whose first outcome was lost.")
    unjudged: int = Field(description="Leads of which nothing was known before; not in the rules below.")
    win_rate: float | None = Field(description="won / (won + lost)")
    rules: Sequence[RuleLift] = Field(description="Rules that applied, the clearest first.")


class ClosingRate(Model):
    """What a better closing rate is worth in a year or in the days of the input, with the same opportunities and
    deals."""

    basis: Literal["targets", "year"] = Field(
        description="`targets`: their figures for a year. `year`: the hand-overs of the last 365 days and their deals."
    )
    days: int = Field(description="Days of these figures: 365, or those of the input if it has fewer.")
    opportunities: float = Field(description="Opportunities in these days.")
    average_deal: float = Field(description="Average value of a deal.")
    rate: float = Field(description="Closing rate.")
    deals: float = Field(description="opportunities x rate")
    revenue: float = Field(description="deals x average_deal")
    better_rate: float = Field(description="1.1 x rate, at most 1")
    better_deals: float = Field(description="opportunities x better_rate")
    better_revenue: float = Field(description="better_deals x average_deal")
    plus: float = Field(description="better_revenue - revenue")


class Missing(Model):
    """A part that is left out."""

    part: str
    how: str = Field(description="What to do to get it.")


class Report(Model):
    """The key figures of lead management: for people, and as JSON."""

    headline: Sequence[str] = Field(description="The answer in sentences.")
    ruleset: str
    revision: str
    zone: str = Field(description="Time zone of days and periods.")
    input: ReportInput
    production: Production | None = Field(description="Null without the section `targets`.")
    periods: Sequence[PeriodFigures] = Field(description="One for each period, ascending, the latest 120.")
    total: HandOversOfPeriod = Field(description="All hand-overs, and what became of them.")
    waiting: Waiting
    hot_leads: Sequence[HotLead] = Field(
        description="The hot leads that wait longest for a first response: at most 20, the longest first."
    )
    base: Base
    funnel: Sequence[PhaseReached] | None = Field(description="Over all periods; null without stages.")
    ratings: Transitions
    statuses: Transitions
    stages: Transitions | None = Field(description="Null without `lifecycle.phases`.")
    unknown_stages: Sequence[UnknownStage] = Field(
        description="Stages that are in no phase, the most frequent first; empty without `lifecycle.phases`."
    )
    unusual: Sequence[Unusual] = Field(description="The most frequent first.")
    actions: Sequence[SalesAction] = Field(description="In order of the rules.")
    in_business_time: bool = Field(
        description="Whether the times of answers are in business time, because the rules have a calendar."
    )
    responses: Sequence[Responses] = Field(description="By queue.")
    outcomes: OutcomeFigures | None = Field(description="Null without outcomes.")
    reasons_lost: Ranking
    competitors: Ranking
    reasons_returned: Ranking
    closing_rate: Sequence[ClosingRate] = Field(description="What a better closing rate is worth.")
    missing: Sequence[Missing] = Field(description="Parts that are left out.")
