"""Findings about ratings and grades that no lead can reach."""

from __future__ import annotations

from collections.abc import Sequence

from scorer.domain.score import Rating
from scorer.lint.limits import Range, Reach, figures_reached, ratings_reached
from scorer.lint.reporter import Reporter
from scorer.rules.language import RulesetFile
from scorer.rules.ruleset import Ruleset


def bounds_not_reached(ruleset: Ruleset, file: RulesetFile, reach: Reach, reporter: Reporter) -> None:
    """Report unreachable ratings, and unreachable grades if the ruleset sets their bounds."""
    low, high = reach.total
    made_of = f"fit {reach.fit[0]} to {reach.fit[1]}, engagement {reach.engagement[0]} to {reach.engagement[1]}"
    reached = ratings_reached(ruleset, reach.total)
    missed = [rating for rating in (Rating.WARM, Rating.HOT) if rating not in reached]
    if missed and high < ruleset.ratings.hot:
        bound = getattr(ruleset.ratings, missed[0])
        most = f"the score is at most {high}, but {missed[0]} starts at {bound}"
        message = f"no lead is ever {' or '.join(missed)}: {most} ({made_of})"
        reporter.report(("ratings", str(missed[0])), "rating-unreachable", message)
    cool = [rating for rating in (Rating.COLD, Rating.WARM) if rating not in reached]
    if cool and low >= ruleset.ratings.warm:
        message = f"no lead is ever {' or '.join(cool)}: the score is at least {low} ({made_of})"
        reporter.report(("ratings", "warm"), "rating-unreachable", message)
    if file.grades is not None:
        if ruleset.criteria:
            _grades("fit", list("ABCD"), ["A", "B", "C"], ruleset.grades.fit, reach.fit, reporter)
        # Without signals there is no engagement to grade, although the section requires the bounds.
        if ruleset.signals:
            keys: list[str | int] = [1, 2, 3]
            _grades("engagement", list("1234"), keys, ruleset.grades.engagement, reach.engagement, reporter)


def _grades(
    name: str,
    grades: Sequence[str],
    keys: Sequence[str | int],
    bounds: Sequence[int],
    points: Range,
    reporter: Reporter,
) -> None:
    reached = figures_reached(bounds, points)
    high = list(range(1, reached[0]))
    low = list(range(reached[-1] + 1, 5))
    if high:
        shown = " or ".join(grades[i - 1] for i in high)
        message = f"no lead is ever graded {shown} for {name}: {name} is at most {points[1]} points"
        reporter.report(("grades", name, keys[high[-1] - 1]), "grade-unreachable", message)
    if low:
        shown = " or ".join(grades[i - 1] for i in low)
        message = f"no lead is ever graded {shown} for {name}: {name} is at least {points[0]} points"
        reporter.report(("grades", name, keys[reached[-1] - 1]), "grade-unreachable", message)
