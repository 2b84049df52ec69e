"""The result of a backtest, and its summary in a few sentences. Pure: from counts to figures and words."""

from collections.abc import Sequence
from dataclasses import dataclass

from scorer.backtest.impact import Changes, Side, between, changes, side
from scorer.backtest.outcomes import SideOutcomes, ratio, side_outcomes
from scorer.backtest.tally import DealOutcome, Tally
from scorer.domain import rounding
from scorer.domain.instant import to_text
from scorer.domain.unfitting_keys import UnfittingKey
from scorer.offline.translation import Translated
from scorer.rules.ruleset import Ruleset

FEW = 30
"""With fewer won or lost leads than this, figures from them are only a hint."""
MANY_REJECTED = 0.1
"""If at least this share of the input is unusable, the summary starts with it."""
CAUTION = (
    "These are the results as if the new rules had always been in effect. After a real change, a lead keeps its rating "
    "within the hysteresis. Therefore not every lead that moves here will move at once."
)


@dataclass(frozen=True, slots=True)
class Input:
    """The input that was read. `lines`: how many activities were read, good or bad; each event of a batch
    counts. `rejected` counts the bad ones by reason. `unfitting`: what the new rules drop from the good ones, the most
    frequent first."""

    files: Sequence[str]
    lines: int
    activities: int
    rejected: dict[str, int]
    leads: int
    first: str | None
    last: str | None
    unfitting: Sequence[UnfittingKey] = ()

    @property
    def unfitting_sentences(self) -> list[str]:
        """What was dropped, for a person."""
        return [key.sentence(self.lines) for key in self.unfitting]


@dataclass(frozen=True, slots=True)
class TranslatedInput(Input):
    """Activities that were translated from the records of another sender. `events`: how many the records had.
    `dropped`: what translation left out of the activities."""

    events: int = 0
    dropped: Sequence[UnfittingKey] = ()

    @property
    def unfitting_sentences(self) -> list[str]:
        """What was dropped by translation and by the rules, for a person."""
        found = [(key.activities, key.sentence(self.events, "event")) for key in self.dropped]
        found += [(key.activities, key.sentence(self.lines)) for key in self.unfitting]
        return [sentence for _, sentence in sorted(found, key=lambda entry: -entry[0])]


@dataclass(frozen=True, slots=True)
class Deals:
    """Numbers of deals, by the rulesets that handed them over before the outcome."""

    both: int
    only_old: int
    only_new: int
    neither: int


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The outcomes of leads, and how well the rulesets predicted them. `unjudged` counts leads of which nothing was
    known before their outcome."""

    won: int
    lost: int
    unjudged: int
    base_rate: float | None
    new: SideOutcomes
    old: SideOutcomes | None
    won_deals: Deals | None
    lost_deals: Deals | None


@dataclass(frozen=True, slots=True)
class Backtest:
    """The whole result of a backtest. `old` and `changes` are None unless two rulesets were compared. `outcomes` is
    None if the activities contain no outcomes."""

    headline: Sequence[str]
    input: Input
    new: Side
    old: Side | None
    changes: Changes | None
    outcomes: Outcomes | None


def backtest(
    tally: Tally,
    rulesets: Sequence[Ruleset],
    files: Sequence[str],
    lines: int,
    rejected: dict[str, int],
    translated: Translated | None = None,
) -> Backtest:
    """The result, from counts over all leads. `rulesets` holds the new one and, if two were compared, the old one.
    `translated`: what came of another sender's records beside the activities."""
    weeks = sorted(tally.weeks)
    listed = between([*weeks, *(week for side_tally in tally.sides for week in side_tally.handovers)])
    sides = [side(counts, ruleset, weeks, listed) for counts, ruleset in zip(tally.sides, rulesets, strict=True)]
    new, old = sides[0], sides[1] if len(sides) > 1 else None
    first, last = (None if time is None else to_text(time) for time in (tally.first, tally.last))
    activities, reasons = tally.activities.total(), dict(sorted(rejected.items()))
    counted = (files, lines, activities, reasons, tally.leads, first, last, list(tally.unfitting))
    read = (
        Input(*counted)
        if translated is None
        else TranslatedInput(*counted, translated.events, list(translated.dropped))
    )
    changed = changes(tally, rulesets[1], rulesets[0]) if len(rulesets) > 1 else None
    outcomes = _outcomes(tally, rulesets)
    return Backtest(_headline(read, new, old, changed, outcomes, tally.one_sided), read, new, old, changed, outcomes)


def _outcomes(tally: Tally, rulesets: Sequence[Ruleset]) -> Outcomes | None:
    if not tally.outcomes.total():
        return None
    sides = [side_outcomes(counts, ruleset) for counts, ruleset in zip(tally.sides, rulesets, strict=True)]
    counted = tally.sides[0].outcome_sales
    won, lost = (counted[outcome, True] + counted[outcome, False] for outcome in ("won", "lost"))
    compared = len(sides) > 1
    return Outcomes(
        won,
        lost,
        tally.unjudged,
        ratio(won, won + lost),
        sides[0],
        sides[1] if compared else None,
        _deals(tally, "won") if compared else None,
        _deals(tally, "lost") if compared else None,
    )


def _deals(tally: Tally, outcome: DealOutcome) -> Deals:
    pairs = [(True, True), (True, False), (False, True), (False, False)]
    return Deals(*(tally.sales[outcome, old, new] for old, new in pairs))


def _headline(
    read: Input, new: Side, old: Side | None, changed: Changes | None, outcomes: Outcomes | None, one_sided: int
) -> list[str]:
    if not read.leads:
        return ["No lead was found in the input."]
    sentences = []
    rejected = sum(read.rejected.values())
    if rejected and rejected >= MANY_REJECTED * read.lines:
        sentences.append(f"Caution: {rejected:,} of {plural(read.lines, 'activity')} could not be used.")
    if old is None or changed is None:
        sentences.append(f"Sales would get {_a_week(new)}.")
        if outcomes is not None and outcomes.won:
            won = outcomes.new.sales.won
            sentences.append(
                f"{won:,} of {plural(outcomes.won, 'won deal')} would have been handed over before the outcome."
            )
    elif old.revision == new.revision:
        sentences.append(f"The two rulesets are the same (revision {new.revision[:12]}).")
    elif changed.scores_changed == changed.otherwise == 0:
        sentences.append("No lead changes: all scores, ratings, routes, queues and grades are the same.")
    else:
        sentences.append(_handed_over(new, old))
        if outcomes is not None and outcomes.won_deals is not None and outcomes.won:
            sentences.append(_won_deals(outcomes.won_deals, outcomes.won))
        leads = sum(new.ratings.values())
        sentences.append(
            f"{changed.otherwise:,} of {plural(leads, 'lead')} ({percent(changed.share)}) would get another rating, "
            f"route, queue or grade: rating {changed.ratings.changed:,}, route {changed.routes.changed:,}, "
            f"queue {changed.queues.changed:,}, grade {changed.grades.changed:,}."
        )
    if one_sided:
        sentences.append(
            f"{plural(one_sided, 'lead')} left out: only one ruleset accepts the sources of any activity about "
            f"{'it' if one_sided == 1 else 'them'} (`allowed_sources`)."
        )
    if outcomes is not None:
        sentences += _prediction(outcomes)
    return sentences


def _handed_over(new: Side, old: Side) -> str:
    if new.handovers.total == old.handovers.total:
        return f"Sales would get {_a_week(new)}, as many as today."
    if _week_figure(new) == _week_figure(old):
        more = new.handovers.total - old.handovers.total
        change = f"{abs(more):,} {'more' if more > 0 else 'fewer'} in total"
        return f"Sales would get {_a_week(new)}, nearly as many as today ({change})."
    return f"Sales would get {_a_week(new)} instead of {_week_figure(old)}."


def _won_deals(deals: Deals, won: int) -> str:
    parts = []
    if deals.only_old:
        parts.append(f"sales would miss {deals.only_old:,} of {plural(won, 'won deal')} that it gets today")
    if deals.only_new:
        parts.append(f"sales would gain {plural(deals.only_new, 'won deal')} that it does not get today")
    if not parts:
        return f"Sales would miss none of {plural(won, 'won deal')}."
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


def _prediction(outcomes: Outcomes) -> list[str]:
    new, old = outcomes.new, outcomes.old
    sentences = []
    if outcomes.won and new.sales.precision is not None:
        before = "" if old is None or old.sales.precision is None else f" (today {percent(old.sales.precision)})"
        sentences.append(
            f"Of the leads handed over, {percent(new.sales.precision)}{before} were won; "
            f"of all leads with an outcome, {percent(outcomes.base_rate)} were."
        )
    if min(outcomes.won, outcomes.lost) < FEW:
        ends = f"{plural(outcomes.won, 'won deal')} and {plural(outcomes.lost, 'lost deal')}"
        sentences.append(f"Only {ends} are known, so figures about deals are only a hint.")
    return sentences


def _a_week(side: Side) -> str:
    figure = _week_figure(side)
    return f"{figure} {'lead' if figure == '1' else 'leads'} a week"


def _week_figure(side: Side) -> str:
    return a_week(side.handovers.per_week or 0.0)


def a_week(mean: float) -> str:
    """Leads a week, in the style of the report: whole from 10, with one decimal below (0.4 must not look like 0)."""
    return f"{mean:,.0f}" if mean >= 10 else f"{mean:.1f}".removesuffix(".0")


def plural(number: int, noun: str) -> str:
    """`1 lead`, `2,000 leads`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def percent(share: float | None) -> str:
    """A share, in the style of the report: whole percents, with one decimal near 0 % and near 100 %."""
    is_near_an_end = share is not None and (share < 0.1 or share > 0.99)
    return rounding.percent(share, 1 if is_near_an_end else 0).replace(".0%", "%")
