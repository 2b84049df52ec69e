"""Replays the activities of a shard's leads under one or two rulesets, and counts the results.

Every lead is evaluated once: as of when it was judged last or, if the file contains its outcome, just before it.
*Before* means the time of the events, not their place in the file. Events at the time of the first outcome or later do
not count, so that no score depends on the outcome with which it is compared.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from scorer.backtest.tally import DealOutcome, JudgedLead, Mover, SideTally, Tally, Week, compare, most
from scorer.domain.activity import LeadActivity
from scorer.domain.effects import Decided, HandedOver
from scorer.domain.instant import DAY, day_of, from_datetime, to_datetime
from scorer.domain.lead import Lead
from scorer.engines.engine import EngineName, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.offline.activity_files import Block
from scorer.offline.place import Rejection, activity_at
from scorer.rules.loader import RuleFiles, parse_ruleset
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.rejected import Rejected
from scorer.state.shelf import LeadShelf

OUTCOMES: Final[dict[str, DealOutcome]] = {"lead.opportunity_won": "won", "lead.opportunity_lost": "lost"}

FIND_OUTCOMES: Final = "find outcomes"
REPLAY: Final = "replay"
"""The two tasks of a shard. The first task gets all lines that may be outcomes before the second task gets any line."""

_MAY_BE_OUTCOME: Final = re.compile(rb"opportunity_|\\u00[2-7]")
"""The word itself, or an escaped ASCII character, without which JSON cannot write the word in another way."""


class Ending(NamedTuple):
    """The first outcome of a lead. The first is the smallest by time, then by id."""

    time: int
    id: str
    source: str
    outcome: DealOutcome


class Watch(Protocol):
    """Sees what happens to the leads of a single ruleset."""

    def saw(self, before: Lead, after: Assessment, activity: LeadActivity | None, arrival: int) -> None:
        """The lead before and after its reviews until `arrival` and, if there is one, the activity that arrived."""

    def ended(self, lead: Lead, until: int) -> None:
        """The lead after its last activity and its reviews until `until`, unless it is deleted by then."""


class _Side:
    """One ruleset with its leads and counts."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.leads = LeadShelf()
        self.at_outcome = LeadShelf()
        """Leads with an outcome, as they were before it. All other leads are evaluated in their latest state."""
        self.handed_over: set[str] = set()
        """Leads that were handed over before their outcome."""
        self.tally = SideTally()


class ReplayShard:
    """Replays the leads of one shard. Activities far after `now` (microseconds since the epoch) are rejected, and so
    are those of more than `max_bytes`."""

    def __init__(
        self, evaluators: Sequence[Evaluator], now: int, max_bytes: int = MAX_BYTES, watch: Watch | None = None
    ) -> None:
        """`evaluators` holds the one for the new ruleset and, if two are compared, the one for the old one. `watch`
        sees the leads of the new one; then `finish` needs `until`."""
        self._evaluators = evaluators
        self._watch = watch
        self._now, self._max_bytes = now, max_bytes
        self._begin()

    def _begin(self) -> None:
        self._until: int | None = None
        self._sides = [_Side(evaluator) for evaluator in self._evaluators]
        self._endings: dict[str, Ending] = {}
        self._tally = Tally([side.tally for side in self._sides])

    def handle(self, task: str, places: Sequence[int], lines: Sequence[bytes]) -> list[Rejection]:
        """Do one of the two tasks. The second returns the lines that are not activities, or that the new rules refuse
        (`allowed_sources`)."""
        rejected = []
        take = self._find_outcome if task == FIND_OUTCOMES else self._replay
        for place, line in zip(places, lines, strict=True):
            try:
                activity, arrival = activity_at(place, line, self._now, self._max_bytes)
                take(activity, arrival)
            except Rejected as error:
                rejected.append(Rejection(place, error.reason, error.detail))
                continue
            if task == REPLAY:
                self._tally.unfitting.note(place, self._evaluators[0].unfitting(activity))
        return rejected

    def finish(self, until: int | None = None) -> Tally:
        """Evaluate every lead and count the results. Then all leads are forgotten.

        `until`, in microseconds since the epoch: what time alone decides until then about leads without an outcome
        counts too; None: only until their latest activities."""
        self._until = until
        tally = self._judge_all()
        self._begin()
        return tally

    def _judge_all(self) -> Tally:
        tally = self._tally
        ids = sorted(set().union(*(side.leads.ids() for side in self._sides)))
        movers: list[Mover] = []
        for lead_id in ids:
            ending = self._endings.get(lead_id)
            leads = [self._lead_to_judge(side, lead_id) for side in self._sides]
            tally.leads += 1
            if ending is not None:
                tally.outcomes[ending.outcome] += 1
            known = [lead.published is not None for lead in leads]
            if not any(known):
                tally.unjudged += 1
                continue
            if not all(known):
                tally.one_sided += 1
                continue
            outcome = None if ending is None else ending.outcome
            results = [self._count(side, lead, outcome) for side, lead in zip(self._sides, leads, strict=True)]
            if len(results) == 2:
                self._compare(lead_id, outcome, results[1], results[0], movers)
                if len(movers) > 1000:
                    movers = most(movers)
        tally.movers = most(movers)
        return tally

    def _find_outcome(self, activity: LeadActivity, _: int) -> None:
        outcome = OUTCOMES.get(activity.type)
        if outcome is not None:
            # How a lead ended must be the same for both rulesets; the new one says whom to believe.
            self._sides[0].evaluator.admit(activity)
            ending = Ending(activity.time, activity.id, activity.source, outcome)
            known = self._endings.get(activity.lead_id)
            self._endings[activity.lead_id] = ending if known is None else min(known, ending)

    def _replay(self, activity: LeadActivity, arrival: int) -> None:
        ending = self._endings.get(activity.lead_id)
        new, *others = self._sides
        for side in others:
            with suppress(Rejected):
                self._apply(side, activity, arrival, ending)
        self._apply(new, activity, arrival, ending)
        tally = self._tally
        tally.activities[activity.type] += 1
        tally.seen(activity.time)
        if activity.type not in OUTCOMES:
            tally.weeks.add(week_of(activity.time))

    def _apply(self, side: _Side, activity: LeadActivity, arrival: int, ending: Ending | None) -> None:
        lead_id, evaluator = activity.lead_id, side.evaluator
        evaluator.admit(activity)
        lead = side.leads.get(lead_id) or Lead(lead_id)
        lead_at_outcome = None if ending is None else side.at_outcome.get(lead_id)
        before_outcome = ending is None or activity.time < ending.time
        if ending is not None and not before_outcome and lead_at_outcome is None:
            # What time alone decides before the outcome was decided before it.
            reviewed = _kept(evaluator, lead, ending.time - 1)
            self._count_effects(side, reviewed, known_before_outcome=True)
            if self._watch is not None:
                self._watch.saw(lead, reviewed, None, ending.time - 1)
            lead = reviewed.lead
            side.at_outcome.put(lead)
        assessment = evaluator.assess(lead, activity, arrival)
        if self._watch is not None:
            self._watch.saw(lead, assessment, activity, arrival)
        self._count_effects(side, assessment, known_before_outcome=before_outcome and lead_at_outcome is None)
        if lead_at_outcome is not None and before_outcome:
            # The activity arrived late, after the lead at its outcome was set aside.
            late = evaluator.assess(lead_at_outcome, activity, arrival)
            if any(isinstance(effect, HandedOver) for effect in late.effects):
                side.handed_over.add(lead_id)
            side.at_outcome.put(late.lead)
        side.leads.put(assessment.lead)

    def _count_effects(self, side: _Side, assessment: Assessment, *, known_before_outcome: bool) -> None:
        decided_at = ""
        for effect in assessment.effects:
            if isinstance(effect, Decided):
                decided_at = effect.decision.decided_at
                side.tally.decisions += 1
            elif isinstance(effect, HandedOver):
                side.tally.handovers[week_of(from_datetime(datetime.fromisoformat(decided_at)))] += 1
                if known_before_outcome:
                    side.handed_over.add(assessment.lead.id)

    def _lead_to_judge(self, side: _Side, lead_id: str) -> Lead:
        at_outcome = side.at_outcome.get(lead_id) if lead_id in self._endings else None
        if at_outcome is not None and self._watch is None:
            return at_outcome
        lead = side.leads.get(lead_id) or Lead(lead_id)
        if self._until is not None and side.evaluator.due(lead) <= self._until:
            reviewed = _kept(side.evaluator, lead, self._until)
            if at_outcome is None:
                self._count_effects(side, reviewed, known_before_outcome=True)
            if self._watch is not None:
                self._watch.saw(lead, reviewed, None, self._until)
            lead = reviewed.lead
        if self._watch is not None and self._until is not None:
            self._watch.ended(lead, self._until)
        return lead if at_outcome is None else at_outcome

    def _count(self, side: _Side, lead: Lead, outcome: DealOutcome | None) -> JudgedLead:
        judged = judge(lead, side.evaluator)
        tally = side.tally
        tally.scores[judged.score] += 1
        tally.ratings[judged.rating] += 1
        tally.routes[judged.route] += 1
        for criterion, rule, _ in judged.points:
            tally.fired[criterion, rule, outcome] += 1
        if outcome is not None:
            tally.outcome_scores[outcome, judged.score] += 1
            tally.outcome_ratings[outcome, judged.rating] += 1
            tally.outcome_sales[outcome, lead.id in side.handed_over] += 1
        return judged

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
            old_side, new_side = (lead_id in side.handed_over for side in reversed(self._sides))
            tally.sales[outcome, old_side, new_side] += 1


def _kept(evaluator: Evaluator, lead: Lead, until: int) -> Assessment:
    """The lead after its reviews until then, or until just before it is deleted: what was published last counts."""
    return evaluator.catch_up(lead, min(until, evaluator.deletion(lead).instant - 1))


def may_be_outcomes(block: Block) -> Block:
    """The block with all its lines with outcomes, and a few others. Much cheaper than parsing the lines."""
    found = [
        (place, line)
        for place, line in zip(block.places, block.lines, strict=True)
        if _MAY_BE_OUTCOME.search(line) is not None
    ]
    return block._replace(places=[place for place, _ in found], lines=[line for _, line in found])


def judge(lead: Lead, evaluator: Evaluator) -> JudgedLead:
    """The score of a lead as of when it was judged last, and the last published rating, route, grade and queue."""
    published = lead.published
    if published is None:
        raise ValueError(f"no decision was ever published about {lead.id!a}")
    evaluation = evaluator.evaluate(lead, lead.judged_at)
    points = tuple(evaluation.points)
    return JudgedLead(
        evaluation.score.total, published.rating, published.route, str(published.grade), published.queue, points
    )


def week_of(instant: int) -> Week:
    """ISO year and week of an instant, UTC."""
    return _week(day_of(instant))


@lru_cache(maxsize=4096)
def _week(day: int) -> Week:
    year, week, _ = to_datetime(day * DAY).isocalendar()
    return year, week


def replay_shard(
    rulesets: tuple[RuleFiles, ...], engine: EngineName | None, now: int, max_bytes: int = MAX_BYTES
) -> ReplayShard:
    """A shard that replays under one or two rulesets. `now` and `max_bytes`: as in `ReplayShard`."""
    return ReplayShard([Evaluator(parse_ruleset(files), default_engine(engine)) for files in rulesets], now, max_bytes)
