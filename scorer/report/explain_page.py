"""The explanation of a lead as a page."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from markupsafe import Markup

from scorer.domain.score import Rating
from scorer.explain.story_model import Moment, Step, Story
from scorer.explain.wording import (
    DOES_NOT_HOLD,
    activity_text,
    by_text,
    coming,
    count_text,
    entry_steps,
    escalation_text,
    life_lines,
    moment_text,
    points_text,
    signal_text,
    since_texts,
    source_text,
    status_text,
    times_text,
    value_text,
    waiting_text,
)
from scorer.report.charts import Mark, Scale, Series, Tone, lines, track
from scorer.report.page import render

_TONES: dict[str, Tone] = {"limit": "cap"}


def explain_page(story: Story) -> str:
    """The page as self-contained HTML that fetches and runs nothing."""
    words: dict[str, Callable[..., object] | str] = {
        "DOES_NOT_HOLD": DOES_NOT_HOLD,
        "activity_text": activity_text,
        "by_text": by_text,
        "source_text": source_text,
        "count_text": count_text,
        "coming": coming,
        "entry_steps": entry_steps,
        "escalation_text": escalation_text,
        "life_lines": life_lines,
        "moment_text": moment_text,
        "points_text": points_text,
        "signal_text": signal_text,
        "waiting_text": waiting_text,
        "since_texts": since_texts,
        "status_text": status_text,
        "times_text": times_text,
        "value_text": value_text,
    }
    context: dict[str, Any] = {
        "story": story,
        "steps": [(step, bar, _evidence(story, step)) for step, bar in zip(story.waterfall, _bars(story), strict=True)],
        "scale": _scale(story),
        "outlook_chart": _outlook(story),
        "unmatched_criteria": [part.criterion for part in story.criteria if not part.rules],
        "decayed_signals": [part.signal for part in story.signals if not part.points],
    }
    return render("explain.html.j2", {**words, **context})


def _bars(story: Story) -> list[Markup]:
    ends = [0, *(step.end for step in story.waterfall)]
    bounds = [bound for _, bound in _bounds(story)]
    scale = Scale.over([*ends, *bounds])
    return [track(scale, step.start, step.end, _tone(step), bounds) for step in story.waterfall]


def _bounds(story: Story) -> list[tuple[Rating, int]]:
    """The bounds of ratings within the range of the waterfall."""
    ends = [0, *(step.end for step in story.waterfall)]
    bounds = ((Rating.WARM, story.rating.warm), (Rating.HOT, story.rating.hot))
    return [(rating, bound) for rating, bound in bounds if min(ends) <= bound <= max(ends)]


def _scale(story: Story) -> str:
    """The caption for the lines in the waterfall."""
    named = ", ".join(f"{rating} {bound}" for rating, bound in _bounds(story))
    return f"Lines: 0, {named}" if named else ""


def _tone(step: Step) -> Tone:
    return _TONES.get(step.kind) or ("plus" if step.points > 0 else "minus")


def _evidence(story: Story, step: Step) -> dict[str, Any]:
    """The rule or signal behind a step."""
    if step.kind == "signal":
        return {"signal": next(part for part in story.signals if part.signal == step.rule)}
    criterion = next(part for part in story.criteria if part.criterion == step.criterion)
    return {"rule": next((rule for rule in criterion.rules if rule.rule == step.rule), None)}


def _outlook(story: Story) -> Markup:
    moments = _while_moving(story.outlook.moments)
    first = _day(moments[0])
    # Continue a little beyond the last change, to show the final level.
    length = max(30, round((_day(moments[-1]) - first) * 1.15))
    points = [(float(_day(moment) - first), float(moment.score)) for moment in moments]
    points.append((float(length), points[-1][1]))
    low, high = min(y for _, y in points), max(y for _, y in points)
    bounds = ((story.rating.warm, Rating.WARM), (story.rating.hot, Rating.HOT))
    # Bounds far from the scores would flatten the curve.
    reach = max(10.0, high - low)
    marks: list[Mark] = []
    for bound, rating in bounds:
        if low - 2 * reach <= bound <= high + 2 * reach:
            marks.append(Mark(bound, f"{rating} from {bound}", "hot" if rating is Rating.HOT else "warm"))
    labels = [date.fromordinal(first + round(length * share / 4)).isoformat() for share in range(5)]
    describe = f"Score from {moments[0].score} now to {moments[-1].score} on {moments[-1].at[:10]}"
    return lines(
        [Series("score", "series-2", points=points)],
        x_labels=[labels[0], labels[2], labels[4]],
        describe=describe,
        marks=marks,
        steps=True,
    )


def _while_moving(moments: Sequence[Moment]) -> Sequence[Moment]:
    """The moments up to the last change of the score. Later ones change only the route, which is not drawn."""
    last = max(index for index, moment in enumerate(moments) if index == 0 or moment.score != moments[index - 1].score)
    return moments[: last + 1]


def _day(moment: Moment) -> int:
    return date.fromisoformat(moment.at[:10]).toordinal()
