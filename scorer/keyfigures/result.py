"""From counts to the report. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from itertools import accumulate
from math import ceil
from typing import Final, Literal, NamedTuple

from scorer.backtest.outcomes import ratio
from scorer.backtest.tally import Tally
from scorer.domain.instant import SECOND, day_of, day_to_text, to_text
from scorer.domain.lifecycle import STATUSES
from scorer.domain.score import Rating
from scorer.figures.contributions import NONE, OTHER, PHASES, WON_AND_LOST, Key
from scorer.figures.periods import Periods, PeriodSpan
from scorer.figures.report_model import (
    Base,
    ClosingRate,
    DayCount,
    HandOversOfPeriod,
    HotLead,
    Missing,
    Named,
    PeriodFigures,
    PhaseReached,
    Production,
    Ranking,
    Report,
    ReportInput,
    Responses,
    SalesAction,
    Transitions,
    UnknownStage,
    Unusual,
    Waiting,
)
from scorer.keyfigures.headline import YEAR, headline
from scorer.keyfigures.lifts import outcome_figures
from scorer.keyfigures.names import Names
from scorer.keyfigures.tally import Fate, KeyTally, Kind
from scorer.keyfigures.worth import Worth, worth, worth_of
from scorer.rules.ruleset import ACTION, Ruleset

MOST_PERIODS: Final = 120
"""Earlier periods are not listed; what happened in them is in the totals."""
LEAST_ELAPSED: Final = 0.1
"""Before this share of a period has passed, a few hand-overs more or less would change its forecast too much."""
MOST_DAYS: Final = 92
"""The days up to now whose sales actions are listed."""
MOST_NAMES: Final = 10
MOST_UNUSUAL: Final = 20

_FATES: Final[tuple[Fate, ...]] = ("kept", "late", "missed", "open", "withdrawn", "unmeasured")


class Read(NamedTuple):
    """What was read: names of files or the topic, lines, and rejected ones by reason. `as_of`: the instant of the
    figures, in microseconds since the epoch; None if there is no activity."""

    files: Sequence[str]
    lines: int
    rejected: Mapping[str, int]
    as_of: int | None


def report(figures: KeyTally, outcomes: Tally, ruleset: Ruleset, read: Read) -> Report:
    """The report, from the counts over all leads."""
    periods = Periods.of(ruleset)
    listed = _listed(figures, periods, read.as_of)
    by_period = _by_period(figures.dated, periods)
    total: Counter[Key] = Counter()
    for counts in by_period.values():
        total.update(counts)
    values = _values_by_period(figures, periods)
    of_periods = [
        _period(span, by_period.get(span.first_day, {}), values[span.first_day], periods, read.as_of) for span in listed
    ]
    first, last = (None if time is None else to_text(time) for time in (outcomes.first, outcomes.last))
    has_phases = bool(ruleset.lifecycle.phases)
    has_stages = has_phases and any(key[0] == "reached" for key in total)
    result = Report(
        headline=[],
        ruleset=ruleset.name,
        revision=ruleset.revision,
        zone=periods.zone_name,
        input=ReportInput(
            files=read.files,
            lines=read.lines,
            activities=outcomes.activities.total(),
            rejected=dict(sorted(read.rejected.items())),
            leads=outcomes.leads,
            first=first,
            last=last,
            as_of=None if read.as_of is None else to_text(read.as_of),
        ),
        production=_production(ruleset, of_periods[-1]) if of_periods else None,
        periods=of_periods,
        total=_hand_overs(total),
        waiting=Waiting(
            open=figures.waiting["open"], overdue=figures.waiting["overdue"], hot_untouched=figures.waiting["hot"]
        ),
        hot_leads=[
            HotLead(lead_id=lead.lead_id, queue=lead.queue, since=to_text(lead.since), due=to_text(lead.due))
            for lead in figures.hot
        ],
        base=_base(figures, ruleset, listed),
        funnel=_phases(total) if has_stages else None,
        ratings=_transitions(figures, "rating", [rating.value for rating in Rating]),
        statuses=_transitions(figures, "status", STATUSES),
        stages=_transitions(figures, "stage", [NONE, *_stages(ruleset), OTHER]) if has_phases else None,
        unknown_stages=[
            UnknownStage(stage=named.name, times=named.times, meant=_meant(named.name, _stages(ruleset)))
            for named in _ranking(figures.unknown_stages).named
        ],
        unusual=_unusual(figures.unusual),
        actions=[_action(name.removeprefix(ACTION), figures.actions, read.as_of) for name in ruleset.lifecycle.actions],
        in_business_time=ruleset.calendar is not None,
        responses=[_responses(queue, figures) for queue in sorted(figures.promises, key=lambda name: name or "")],
        outcomes=outcome_figures(outcomes, ruleset),
        reasons_lost=_ranking(figures.reasons_lost),
        competitors=_ranking(figures.competitors),
        reasons_returned=_ranking(figures.reasons_returned),
        closing_rate=list(_closing_rates(figures, ruleset, periods, outcomes.first, read.as_of)),
        missing=list(_missing(ruleset, figures, outcomes, has_stages=has_stages)),
    )
    return result.model_copy(update={"headline": headline(result)})


def _listed(figures: KeyTally, periods: Periods, as_of: int | None) -> list[PeriodSpan]:
    """The periods to list, ascending: from the first in which something happened to that of `as_of`."""
    if as_of is None:
        return []
    days = {day for day, _ in figures.dated} | {day for _, _, day in figures.moves} | set(figures.values)
    last_day = max(days | {periods.day_of(as_of)})
    first_day = min(days | {last_day})
    listed = [periods.period_of(last_day)]
    while listed[-1].first_day > first_day and len(listed) < MOST_PERIODS:
        listed.append(periods.period_before(listed[-1]))
    return listed[::-1]


def _by_period(dated: Mapping[tuple[int, Key], int], periods: Periods) -> dict[int, Counter[Key]]:
    """What leads contributed, by the first day of the period."""
    firsts: dict[int, int] = {}
    counts: dict[int, Counter[Key]] = {}
    for (day, key), times in dated.items():
        first = firsts.get(day)
        if first is None:
            first = firsts[day] = periods.period_of(day).first_day
        counts.setdefault(first, Counter())[key] += times
    return counts


def _values_by_period(figures: KeyTally, periods: Periods) -> defaultdict[int, Fraction]:
    values: defaultdict[int, Fraction] = defaultdict(Fraction)
    for day, value in figures.values.items():
        values[periods.period_of(day).first_day] += value
    return values


def _period(
    span: PeriodSpan, counts: Mapping[Key, int], value: Fraction, periods: Periods, as_of: int | None
) -> PeriodFigures:
    def said(status: str) -> int:
        return counts.get(("said", status), 0)

    return PeriodFigures(
        label=span.label,
        starts=day_to_text(span.first_day),
        ends=day_to_text(span.last_day),
        elapsed=0.0 if as_of is None else periods.elapsed_share(span, as_of),
        hand_overs=_hand_overs(counts),
        accepted=said("accepted"),
        returned=said("returned"),
        won=said("won"),
        lost=said("lost"),
        value_won=float(value),
        phases=_phases(counts),
    )


def _hand_overs(counts: Mapping[Key, int]) -> HandOversOfPeriod:
    became: Counter[str] = Counter()
    for key, times in counts.items():
        if key[0] == "handed_over":
            became[key[2]] += times
    handed_over = became["handed_over"]
    decided = became["won"] + became["lost"] - became[WON_AND_LOST]
    return HandOversOfPeriod(
        handed_over=handed_over,
        accepted=became["accepted"],
        returned=became["returned"],
        won=became["won"],
        lost=became["lost"],
        acceptance_rate=ratio(became["accepted"], handed_over),
        return_rate=ratio(became["returned"], handed_over),
        decided=decided,
        win_rate=ratio(became["won"], handed_over),
        decided_win_rate=ratio(became["won"], decided),
    )


def _phases(counts: Mapping[Key, int]) -> list[PhaseReached]:
    phases = []
    for phase in PHASES:
        reached, went_on = (counts.get((kind, phase.value), 0) for kind in ("reached", "went_on"))
        phases.append(PhaseReached(phase=phase.value, reached=reached, went_on=went_on, ratio=ratio(went_on, reached)))
    return phases


def _production(ruleset: Ruleset, period: PeriodFigures) -> Production | None:
    targets = ruleset.targets
    if targets is None:
        return None
    handed_over = period.hand_overs.handed_over
    return Production(
        period=period.label,
        revenue=float(targets.revenue),
        average_deal=float(targets.average_deal),
        closing_rate=float(targets.closing_rate),
        needed=float(targets.needed),
        handed_over=handed_over,
        elapsed=period.elapsed,
        forecast=handed_over / period.elapsed if period.elapsed >= LEAST_ELAPSED else None,
        revenue_won=period.value_won,
        revenue_share=period.value_won / float(targets.revenue),
    )


def _base(figures: KeyTally, ruleset: Ruleset, listed: Sequence[PeriodSpan]) -> Base:
    categories = [category.id for category in ruleset.lifecycle.categories]
    return Base(
        periods=[span.label for span in listed],
        by_category=_standing(figures, "category", [*categories, NONE], listed) if categories else {},
        by_status=_standing(figures, "status", STATUSES, listed),
        by_rating=_standing(figures, "rating", [rating.value for rating in Rating], listed),
    )


def _standing(
    figures: KeyTally, kind: Kind, names: Sequence[str], listed: Sequence[PeriodSpan]
) -> Mapping[str, Sequence[int]]:
    """Leads at the end of each period by name; names that no lead ever had are left out."""
    ends = [span.last_day for span in listed]
    counts = {}
    for name in names:
        by_day = {day: times for (which, moved, day), times in figures.moves.items() if (which, moved) == (kind, name)}
        if not by_day:
            continue
        steps = [0] * len(ends)
        for day, times in by_day.items():
            steps[next((index for index, end in enumerate(ends) if day <= end), len(ends) - 1)] += times
        counts[name] = list(accumulate(steps))
    return counts


def _transitions(figures: KeyTally, kind: str, names: Sequence[str]) -> Transitions:
    pairs = {(before, after): times for (which, before, after), times in figures.changes.items() if which == kind}
    used = {name for pair in pairs for name in pair}
    shown = [name for name in names if name in used or name not in (NONE, OTHER)]
    table = {before: {after: pairs.get((before, after), 0) for after in shown} for before in shown}
    return Transitions(names=shown, counts=table, total=sum(pairs.values()))


def _stages(ruleset: Ruleset) -> list[str]:
    """The stages in the order of their phases."""
    phases = ruleset.lifecycle.phases
    return sorted(phases, key=lambda stage: PHASES.index(phases[stage]))


def _meant(name: str, stages: Sequence[str]) -> str | None:
    spelled = {stage.casefold(): stage for stage in stages}
    close = get_close_matches(name.casefold(), spelled, n=1)
    return spelled[close[0]] if close else None


def _unusual(counts: Mapping[tuple[str, str], int]) -> list[Unusual]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Unusual(before=before, after=after, times=times) for (before, after), times in ordered[:MOST_UNUSUAL]]


def _action(name: str, counted: Mapping[tuple[str, int], int], as_of: int | None) -> SalesAction:
    days = sorted((day, times) for (action, day), times in counted.items() if action == name)
    first = 0 if as_of is None else day_of(as_of) - MOST_DAYS + 1
    return SalesAction(
        action=name,
        total=sum(times for _, times in days),
        days=[DayCount(day=day_to_text(day), times=times) for day, times in days if day >= first],
    )


def _responses(queue: str | None, figures: KeyTally) -> Responses:
    fates = {fate: figures.fates[queue, fate] for fate in _FATES}
    times = sorted(figures.answers[queue]) if queue in figures.answers else []
    return Responses(
        queue=queue,
        promises=figures.promises[queue],
        median_seconds=_median(times),
        p90_seconds=times[ceil(0.9 * len(times)) - 1] / SECOND if times else None,
        escalations=figures.escalations[queue],
        kept_share=ratio(fates["kept"], fates["kept"] + fates["late"] + fates["missed"]),
        **fates,
    )


def _median(times: Sequence[int]) -> float | None:
    if not times:
        return None
    middle = len(times) // 2
    return (times[middle] + times[(len(times) - 1) // 2]) / 2 / SECOND


def _ranking(names: Names) -> Ranking:
    ordered = sorted(names.counts.items(), key=lambda item: (-item[1], item[0]))
    rest = ordered[MOST_NAMES:]
    return Ranking(
        total=names.unstated + names.counts.total() + names.others,
        unstated=names.unstated,
        named=[Named(name=names.spelling(name), times=times) for name, times in ordered[:MOST_NAMES]],
        other=sum(times for _, times in rest) + names.others,
        other_names=len(rest) + (not names.is_complete),
    )


def _closing_rates(
    figures: KeyTally, ruleset: Ruleset, periods: Periods, first: int | None, as_of: int | None
) -> Iterator[ClosingRate]:
    targets = ruleset.targets
    if targets is not None:
        yield _closing_rate("targets", YEAR, worth_of(targets))
    if first is None or as_of is None:
        return
    last = periods.day_of(as_of)
    days = range(last - YEAR + 1, last + 1)
    handed_over, won = (
        sum(
            times
            for (day, key), times in figures.dated.items()
            if key[0] == "handed_over" and key[2] == became and day in days
        )
        for became in ("handed_over", "won")
    )
    deals = sum(times for day, times in figures.deals.items() if day in days)
    value = sum((value for day, value in figures.values.items() if day in days), Fraction())
    average = value / deals if deals else None if targets is None else targets.average_deal
    if handed_over and won and average is not None:
        passed = min(YEAR, max(1, last - periods.day_of(first) + 1))
        yield _closing_rate("year", passed, worth(Fraction(handed_over), average, Fraction(won, handed_over)))


def _closing_rate(basis: Literal["targets", "year"], days: int, of: Worth) -> ClosingRate:
    return ClosingRate(
        basis=basis,
        days=days,
        opportunities=float(of.opportunities),
        average_deal=float(of.average_deal),
        rate=float(of.rate),
        deals=float(of.deals),
        revenue=float(of.revenue),
        better_rate=float(of.better_rate),
        better_deals=float(of.better_deals),
        better_revenue=float(of.better_revenue),
        plus=float(of.better_revenue - of.revenue),
    )


def _missing(ruleset: Ruleset, figures: KeyTally, outcomes: Tally, *, has_stages: bool) -> Iterator[Missing]:
    lifecycle = ruleset.lifecycle
    if ruleset.targets is None:
        yield Missing(
            part="opportunities needed and their forecast",
            how="name revenue, average deal and closing rate in the section `targets` of the rules",
        )
    if not lifecycle.phases:
        yield Missing(
            part="funnel and transitions between stages",
            how="name the stages of the CRM by phase under `phases` in the section `lifecycle` of the rules",
        )
    elif not has_stages and outcomes.leads:
        yield Missing(part="funnel", how="send `stage_changed` activities with the stages that the rules name")
    if not lifecycle.categories:
        yield Missing(
            part="base by category",
            how="name the categories under `categories` in the section `lifecycle` of the rules",
        )
    if not lifecycle.actions:
        yield Missing(
            part="sales actions by day", how="name the actions under `actions` in the section `lifecycle` of the rules"
        )
    if not any(rule.respond_within for rule in ruleset.routing):
        yield Missing(part="response times", how="write `respond_within` in the routing rules that hand leads over")
    elif not figures.promises and outcomes.leads:
        yield Missing(part="response times", how="no lead was handed over with a promise in this input")
    if not outcomes.outcomes.total() and outcomes.leads:
        yield Missing(
            part="what won leads had, reasons of loss and competitors",
            how="send `opportunity_won` and `opportunity_lost` activities",
        )
