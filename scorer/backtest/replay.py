"""The activities of a shard's leads under one ruleset or two, and what is to be counted of it.

Every lead is judged at one moment: at its latest activity or, where the file tells how it ended, just before. *Before*
goes by the time of the events, not by their place in the file: what happened at the time of the first outcome or later
does not count, so that no score knows the outcome it is measured against.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from scorer.backtest.tally import DealOutcome, JudgedLead, Mover, SideTally, Tally, Week, compare, most
from scorer.domain.activity import LeadActivity
from scorer.domain.instant import DAY, day_of, to_datetime
from scorer.domain.lead import Lead
from scorer.engines.engine import EngineName, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.decisions import Rejection
from scorer.rules.loader import RuleFiles, parse_ruleset
from scorer.sources.cloudevents import parse_line
from scorer.sources.rejected import Rejected
from scorer.state.shelf import LeadShelf

OUTCOMES: Final[dict[str, DealOutcome]] = {"lead.opportunity_won": "won", "lead.opportunity_lost": "lost"}

FIND_OUTCOMES: Final = "find outcomes"
REPLAY: Final = "replay"
"""The two tasks of a shard; all lines that may be outcomes go through the first before any goes through the second."""

_MAY_BE_OUTCOME: Final = re.compile(rb"opportunity_|\\u00[2-7]")
"""The word itself, or a character of ASCII that is escaped: only with one can the word be written otherwise."""


class Ending(NamedTuple):
    """The first outcome of a lead; the smallest by time, then id, is the first."""

    time: int
    id: str
    source: str
    outcome: DealOutcome


class _Side:
    """One ruleset, the leads under it, and what was counted."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.leads = LeadShelf()
        self.judged = LeadShelf()
        """Leads as they were before their outcome; the others are judged as they are."""
        self.handed_over: set[str] = set()
        """Leads that were handed over before their outcome."""
        self.tally = SideTally()


class ReplayShard:
    """Replays the leads of one shard. `now` in microseconds since the epoch: what lies far ahead is rejected."""

    def __init__(self, evaluators: Sequence[Evaluator], now: int) -> None:
        """`evaluators`: by the new ruleset, and by the old one if two are compared."""
        self._sides = [_Side(evaluator) for evaluator in evaluators]
        self._now = now
        self._endings: dict[str, Ending] = {}
        self._tally = Tally([side.tally for side in self._sides])

    def handle(self, task: str, numbers: Sequence[int], lines: Sequence[bytes]) -> list[Rejection]:
        """Do one of the two tasks; the second names the lines that are no activities."""
        rejected = []
        take = self._find_outcome if task == FIND_OUTCOMES else self._replay
        for number, line in zip(numbers, lines, strict=True):
            try:
                take(parse_line(line, self._now))
            except Rejected as error:
                rejected.append(Rejection(number, error.reason, error.detail))
        return rejected

    def finish(self) -> Tally:
        """Judge every lead and count."""
        tally = self._tally
        ids = sorted(self._sides[0].leads.ids())
        movers: list[Mover] = []
        for lead_id in ids:
            ending = self._endings.get(lead_id)
            judged = [self._judged(side, lead_id) for side in self._sides]
            tally.leads += 1
            if ending is not None:
                tally.outcomes[ending.outcome] += 1
            if judged[0].published is None:
                tally.unjudged += 1
                continue
            outcome = None if ending is None else ending.outcome
            verdicts = [self._count(side, lead, outcome) for side, lead in zip(self._sides, judged, strict=True)]
            if len(verdicts) == 2:
                self._compare(lead_id, outcome, verdicts[1], verdicts[0], movers)
                if len(movers) > 1000:
                    movers = most(movers)
        tally.movers = most(movers)
        return tally

    def _find_outcome(self, activity: LeadActivity) -> None:
        outcome = OUTCOMES.get(activity.type)
        if outcome is not None:
            ending = Ending(activity.time, activity.id, activity.source, outcome)
            known = self._endings.get(activity.lead_id)
            self._endings[activity.lead_id] = ending if known is None else min(known, ending)

    def _replay(self, activity: LeadActivity) -> None:
        tally = self._tally
        tally.activities[activity.type] += 1
        tally.seen(activity.time)
        if activity.type not in OUTCOMES:
            tally.weeks.add(week_of(activity.time))
        ending = self._endings.get(activity.lead_id)
        for side in self._sides:
            self._apply(side, activity, ending)

    def _apply(self, side: _Side, activity: LeadActivity, ending: Ending | None) -> None:
        lead_id = activity.lead_id
        lead = side.leads.get(lead_id) or Lead(lead_id)
        judged = None if ending is None else side.judged.get(lead_id)
        before_the_end = ending is None or activity.time < ending.time
        if not before_the_end and judged is None:
            side.judged.put(lead)
        after, handed_over = _step(lead, activity, side)
        if after.published is not lead.published:
            side.tally.decisions += 1
            if handed_over and after.published is not None:
                side.tally.handovers[week_of(after.published.decided_at)] += 1
        if judged is not None and before_the_end:
            # It arrived late: what is judged and what goes on have parted already.
            judged, handed_over = _step(judged, activity, side)
            side.judged.put(judged)
        if handed_over and before_the_end:
            side.handed_over.add(lead_id)
        side.leads.put(after)

    def _judged(self, side: _Side, lead_id: str) -> Lead:
        lead = side.judged.get(lead_id) if lead_id in self._endings else None
        return lead or side.leads.get(lead_id) or Lead(lead_id)

    def _count(self, side: _Side, lead: Lead, outcome: DealOutcome | None) -> JudgedLead:
        verdict = judge(lead, side.evaluator)
        tally = side.tally
        tally.scores[verdict.score] += 1
        tally.ratings[verdict.rating] += 1
        tally.routes[verdict.route] += 1
        for criterion, rule, _ in verdict.points:
            tally.fired[criterion, rule, outcome] += 1
        if outcome is not None:
            tally.outcome_scores[outcome, verdict.score] += 1
            tally.outcome_ratings[outcome, verdict.rating] += 1
            tally.outcome_sales[outcome, lead.id in side.handed_over] += 1
        return verdict

    def _compare(
        self, lead_id: str, outcome: DealOutcome | None, old: JudgedLead, new: JudgedLead, movers: list[Mover]
    ) -> None:
        tally = self._tally
        tally.ratings[old.rating, new.rating] += 1
        tally.routes[old.route, new.route] += 1
        tally.grades[old.grade, new.grade] += 1
        tally.queues[old.queue, new.queue] += 1
        otherwise = old[1:5] != new[1:5]  # all but score and points
        tally.otherwise += otherwise
        tally.differences[new.score - old.score] += 1
        if old.points != new.points:
            for criterion, rule, before, after in compare(old, new):
                tally.rules[criterion, rule, (after or 0) - (before or 0)] += 1
        if otherwise or old.score != new.score:
            movers.append(Mover(lead_id, old, new))
        if outcome is not None:
            before_, after_ = (lead_id in side.handed_over for side in reversed(self._sides))
            tally.sales[outcome, before_, after_] += 1


def may_be_outcomes(lines: Sequence[bytes]) -> list[bytes]:
    """The lines that may tell how a lead ended: all that do, and few others. Much cheaper than reading them."""
    return [line for line in lines if _MAY_BE_OUTCOME.search(line) is not None]


def judge(lead: Lead, evaluator: Evaluator) -> JudgedLead:
    """The score of a lead as of its latest activity, and rating, route, grade and queue as published last."""
    said = lead.published
    if said is None:
        raise ValueError(f"nothing was ever said of {lead.id!a}")
    evaluation = evaluator.evaluate(lead, lead.clock)
    points = tuple(evaluation.points)
    return JudgedLead(evaluation.score.total, said.rating, said.route, str(said.grade), said.queue, points)


def week_of(instant: int) -> Week:
    """ISO year and week of an instant, UTC."""
    return _week(day_of(instant))


@lru_cache(maxsize=4096)
def _week(day: int) -> Week:
    year, week, _ = to_datetime(day * DAY).isocalendar()
    return year, week


def _step(lead: Lead, activity: LeadActivity, side: _Side) -> tuple[Lead, bool]:
    """The lead after the activity, and whether that handed it over to sales."""
    assessment = side.evaluator.assess(lead, activity)
    return assessment.lead, assessment.handed_over is not None


def replay_shard(rulesets: tuple[RuleFiles, ...], engine: EngineName | None, now: int) -> ReplayShard:
    """A shard that replays under one ruleset or two. `now` in microseconds since the epoch."""
    return ReplayShard([Evaluator(parse_ruleset(files), default_engine(engine)) for files in rulesets], now)
