"""The story of a lead: why it has its rating and route, what changed them, and what would change them. Pure."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from scorer.domain.decision import RulesetReference, ScoreView
from scorer.domain.effects import Effect
from scorer.domain.enrichment import COMPANY_PROFILE
from scorer.domain.instant import from_datetime, to_text
from scorer.domain.lead import NEVER, NO_CLOCK, Lead
from scorer.domain.score import Grades, Rating
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Evaluation
from scorer.evaluation.retention import deletion
from scorer.explain.escalations import escalations
from scorer.explain.lifecycle_part import lifecycle_part
from scorer.explain.outlook import outlook
from scorer.explain.routing_part import routing_part
from scorer.explain.story_model import GradePart, KnownValue, PublishedPart, RatingPart, Story
from scorer.explain.timeline import History
from scorer.explain.waterfall import StepEvents, criterion_part, event_of, known_value, signal_parts, steps
from scorer.explain.what_if import needed_for, targets
from scorer.explain.wording import evidence
from scorer.rules.catalogue import LEAD_FIELDS
from scorer.rules.ruleset import ACTION, Ruleset

NO_HISTORY = "There is no timeline, because the service keeps the state of a lead but not its history."
FIRST_YEAR, LAST_YEAR = 1970, 9000
_MOST_DROPPED = 20
"""Kinds of keys that do not fit which a story names."""
_CONSENT = ("consent.email", "consent.phone")


class NothingToExplain(Exception):  # noqa: N818 (an expected result, not a failure)
    """There is nothing to explain. `reason` is `unknown`, `erased` or `deleted`, and the message is a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_time(text: str) -> int:
    """The microseconds since the epoch of a time such as `2026-01-31T09:30:00Z`, or of a date (00:00 UTC).

    Raises `ValueError` with a message that says what is expected.
    """
    try:
        day = re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text)
        moment = datetime.fromisoformat(f"{text}T00:00:00Z" if day else text)
        instant = from_datetime(moment)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:60]!a} is not a time; write 2026-01-31T09:30:00Z or 2026-01-31 (00:00 UTC)") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        which = "late" if moment.year > LAST_YEAR else "early"
        raise ValueError(f"{text[:60]!a} is too {which}; write a time in the years {FIRST_YEAR} to {LAST_YEAR}")
    return instant


def explain_lead(lead: Lead, evaluator: Evaluator, now: int | None = None, history: History | None = None) -> Story:
    """The story of a lead as of `now`, in microseconds since the epoch, after what the service decides until then. The
    default is when it was judged last.

    `history` is the lead's history, if it is known. Raises `NothingToExplain` if nothing is known of the lead, or if it
    was erased or deleted.
    """
    ruleset = evaluator.ruleset
    end = deletion(lead, ruleset.retention).instant
    if now is not None and now >= end:
        raise NothingToExplain("deleted", f"everything about this lead is deleted as of {to_text(end)} (`retention`)")
    if lead.is_erased and lead.erased_at is not None:
        message = f"all data about this lead was erased at the person's request as of {to_text(lead.erased_at)}"
        raise NothingToExplain("erased", f"{message}; only the time of the erasure is kept")
    if lead.clock == NO_CLOCK:
        raise NothingToExplain("unknown", "nothing is known about this lead")
    effects: Sequence[Effect] = ()
    if now is None:
        now = lead.judged_at
    elif now > lead.judged_at:
        caught_up = evaluator.catch_up(lead, now)
        lead, effects = caught_up.lead, caught_up.effects
    evaluation = evaluator.evaluate(lead, now)
    facts, score = evaluation.facts, evaluation.score
    stated = {} if history is None else history.stated
    criteria = [criterion_part(rated, lead, facts, stated) for rated in evaluation.criteria]
    signals = signal_parts(lead, ruleset, evaluation, {} if history is None else history.events)
    merged = lead.value("lifecycle.merged_into")
    known = _known(lead, stated)
    return Story(
        lead_id=lead.id,
        as_of=to_text(evaluation.now),
        latest_activity=to_text(lead.clock),
        ruleset=RulesetReference(name=ruleset.name, revision=ruleset.revision),
        score=ScoreView(total=score.total, fit=score.fit, engagement=score.engagement),
        rating=_rating(lead, ruleset, evaluation),
        grade=_grade(ruleset.grades, evaluation),
        routing=routing_part(evaluator, evaluation),
        waterfall=steps(criteria, signals),
        criteria=criteria,
        signals=signals,
        uncounted_signals=sorted(
            name for name in lead.signals if name not in ruleset.signals and not name.startswith(ACTION)
        ),
        consent=[known_value(lead, field, facts, stated) for field in _CONSENT],
        erased_at=None if lead.erased_at is None else to_text(lead.erased_at),
        deleted_at=None if end >= NEVER else to_text(end),
        merged_into=None if merged is None else str(merged),
        lifecycle=lifecycle_part(
            lead, ruleset, [*([] if history is None else history.escalated), *escalations(effects)]
        ),
        known=known,
        meanings=_meanings(ruleset, [*known, *(e for part in criteria for rule in part.rules for e in rule.evidence)]),
        published=_published(lead),
        outlook=outlook(lead, evaluator, evaluation.now),
        targets=[] if merged is not None else targets(lead, evaluator, evaluation),
        timeline=None if history is None else history.entries,
        without_effect=0 if history is None else history.without_effect,
        notes=[
            *([NO_HISTORY] if history is None else _dropped(history)),
            *_differences(lead, evaluation),
        ],
    )


def _rating(lead: Lead, ruleset: Ruleset, evaluation: Evaluation) -> RatingPart:
    ratings, total, rating = ruleset.ratings, evaluation.score.total, evaluation.rating
    previous = None if lead.published is None else lead.published.rating
    reached = ratings.rate(total)
    bounds = {Rating.WARM: ratings.warm, Rating.HOT: ratings.hot}
    kept = None if rating is Rating.COLD else needed_for(rating, ruleset, rating)
    if reached is not rating:
        why = f"{total} is below {bounds[rating]}, but the lead was {previous} and stays {rating} down to {kept}"
    elif rating is Rating.COLD:
        why = f"{total} is below {ratings.warm}, the bound for warm"
    elif rating is Rating.WARM:
        why = f"{total} is at least {ratings.warm}, the bound for warm, and below {ratings.hot}, the bound for hot"
    else:
        why = f"{total} is at least {ratings.hot}, the bound for hot"
    return RatingPart(
        rating=rating,
        warm=ratings.warm,
        hot=ratings.hot,
        hysteresis=ratings.hysteresis,
        reached=reached,
        previous=previous,
        kept_down_to=kept,
        because=why,
    )


def _grade(grades: Grades, evaluation: Evaluation) -> GradePart:
    fit, engagement = evaluation.score
    letters = dict(zip("ABC", grades.fit, strict=True))
    figures = dict(zip("123", grades.engagement, strict=True))
    letter, figure = evaluation.grade.fit, str(evaluation.grade.engagement)
    return GradePart(
        grade=str(evaluation.grade),
        fit_bounds=letters,
        engagement_bounds=figures,
        because=f"{_bound(letter, fit, letters, 'who it is')}; {_bound(figure, engagement, figures, 'what it does')}",
    )


def _bound(grade: str, points: int, bounds: dict[str, int], what: str) -> str:
    if grade in bounds:
        return f"{grade} needs {bounds[grade]} points for {what}, it has {points}"
    return f"{grade} is below {min(bounds.values())} points for {what}, it has {points}"


def _known(lead: Lead, steps: StepEvents) -> list[KnownValue]:
    return [
        KnownValue(field=name, value=evidence(fact.value), event=event_of(name, fact, steps))
        for name, fact in sorted(lead.facts.items())
    ]


def _meanings(ruleset: Ruleset, values: Iterable[KnownValue]) -> dict[str, str]:
    meanings = {}
    for field in sorted({value.field for value in values}):
        entry = LEAD_FIELDS.get(field) or ruleset.own_fields.get(field)
        if entry is not None:
            meanings[field] = entry.description
        elif field.endswith(".other"):
            meanings[field] = "The latest statement of the other kind, which does not count now."
        elif field.startswith("at."):
            meanings[field] = f"The latest {field.removeprefix('at.').replace('_', ' ')}; the event says when."
        elif field == "lifecycle.merged_into":
            meanings[field] = "The lead into which this one was merged."
        elif field == COMPANY_PROFILE:
            meanings[field] = "The company of the lead, and which profile of it the lead has."
        else:
            meanings[field] = ""
    return meanings


def _dropped(history: History) -> list[str]:
    """What did not fit, as it was sent."""
    found = list(history.unfitting)
    sentences = [f"Not used: {key.sentence(history.added)}." for key in found[:_MOST_DROPPED]]
    more = len(found) - _MOST_DROPPED
    return sentences if more <= 0 else [*sentences, f"And {more:,} more kinds of keys that do not fit."]


def _differences(lead: Lead, evaluation: Evaluation) -> list[str]:
    """How this explanation differs from the last published decision."""
    last = lead.published
    if last is None:
        return ["No decision about this lead has been published yet."]
    routing = evaluation.routing
    published, now = (last.rating, last.route, last.queue), (evaluation.rating, routing.route, routing.queue)
    if published == now:
        return []
    before, after = (" / ".join(map(str, filter(None, values))) for values in (published, now))
    return [
        f"The last published decision, as of {to_text(last.decided_at)}, is {before}. As of "
        f"{to_text(evaluation.now)}, the lead is {after}. This will be published when the lead changes next."
    ]


def _published(lead: Lead) -> PublishedPart | None:
    last = lead.published
    if last is None:
        return None
    return PublishedPart(
        at=to_text(last.decided_at),
        rating=last.rating,
        grade=str(last.grade),
        route=last.route,
        queue=last.queue,
        score=last.score.total,
    )
