"""What time alone does to a lead: points decay, time spans end, and a promise breaks. The lead is evaluated for every
day to come."""

from itertools import pairwise

from scorer.domain.counts import KEEP_DAYS
from scorer.domain.instant import DAY, day_of, to_text
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Evaluation
from scorer.evaluation.retention import deletion
from scorer.explain.escalations import escalations
from scorer.explain.story_model import Escalation, Moment, Outlook


def outlook(lead: Lead, evaluator: Evaluator, now: int, days: int = KEEP_DAYS) -> Outlook:
    """The days on which score, rating or route change if nothing happens, evaluated at 00:00 UTC of each day, and the
    escalations until then, each at its own time.

    By default the days for which counts are kept, because no count is left after them, or until the lead is deleted.
    """
    today = day_of(now)
    end = deletion(lead, evaluator.ruleset.retention).instant
    days = min(days, end // DAY - today - 1)
    escalated: list[Escalation] = []
    changes = [(now, evaluator.evaluate(lead, now))]
    due = evaluator.refine(lead).instant
    for day in range(today + 1, today + 1 + days):
        if due <= day * DAY:
            # What the service will publish by then decides how far a rating may fall.
            caught_up = evaluator.catch_up(lead, day * DAY)
            lead = caught_up.lead
            escalated += escalations(caught_up.effects)
            due = evaluator.refine(lead).instant
        evaluation = evaluator.evaluate(lead, day * DAY)
        if _summary(evaluation) != _summary(changes[-1][1]):
            changes.append((day * DAY, evaluation))
    if due < end <= (today + 2 + days) * DAY:
        # Between the last midnight and the deletion no rating is shown, but a promise may break.
        escalated += escalations(evaluator.catch_up(lead, end - 1).effects)
    moments = [_moment(at, evaluation) for at, evaluation in changes]
    ratings = [moment for before, moment in pairwise(moments) if before.rating is not moment.rating]
    return Outlook(until=to_text((today + days) * DAY), moments=moments, ratings=ratings, escalations=escalated)


def _moment(at: int, evaluation: Evaluation) -> Moment:
    score, rating = evaluation.score.total, evaluation.rating
    return Moment(at=to_text(at), score=score, rating=rating, route=evaluation.routing.route)


def _summary(evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.score.total, evaluation.rating, evaluation.routing.route
