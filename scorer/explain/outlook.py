"""What time alone does to a lead: points fade and spans run out. Found by judging it on every day to come."""

from itertools import pairwise

from scorer.domain.instant import DAY, day_of, to_text
from scorer.domain.lead import KEEP_DAYS, Lead
from scorer.evaluation.assessment import Evaluation, evaluate
from scorer.explain.story_model import Moment, Outlook
from scorer.rules.ruleset import Ruleset


def outlook(lead: Lead, ruleset: Ruleset, now: int, days: int = KEEP_DAYS) -> Outlook:
    """The days on which score, rating or route change if nothing happens, judged at 00:00 UTC of each.

    By default as far as counts are kept: after that nothing of them is left.
    """
    today = day_of(now)
    found = [(now, evaluate(lead, ruleset, now))]
    for day in range(today + 1, today + 1 + days):
        evaluation = evaluate(lead, ruleset, day * DAY)
        if _summary(evaluation) != _summary(found[-1][1]):
            found.append((day * DAY, evaluation))
    moments = [_moment(at, evaluation) for at, evaluation in found]
    ratings = [moment for before, moment in pairwise(moments) if before.rating is not moment.rating]
    return Outlook(until=to_text((today + days) * DAY), moments=moments, ratings=ratings)


def _moment(at: int, evaluation: Evaluation) -> Moment:
    scored, routing = evaluation
    return Moment(at=to_text(at), score=scored.score.total, rating=scored.rating, route=routing.route)


def _summary(evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.scored.score.total, evaluation.scored.rating, evaluation.routing.route
