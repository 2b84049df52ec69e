"""Ratings, hysteresis and grades."""

import pytest

from scorer.domain.score import Grade, Grades, Rating, Ratings, Score

RATINGS = Ratings(warm=35, hot=70, hysteresis=5)


@pytest.mark.parametrize(
    ("total", "previous", "rating"),
    [
        (34, None, "cold"),
        (35, None, "warm"),
        (70, None, "hot"),
        (69, "hot", "hot"),
        (65, "hot", "hot"),
        (64, "hot", "warm"),
        (30, "hot", "warm"),
        (29, "hot", "cold"),
        (30, "warm", "warm"),
        (29, "warm", "cold"),
        (34, "cold", "cold"),
        (69, "warm", "warm"),
        (70, "cold", "hot"),
    ],
)
def test_a_lead_warms_at_the_bound_and_cools_below_the_bound_minus_hysteresis(
    total: int, previous: str | None, rating: str
) -> None:
    before = None if previous is None else Rating(previous)
    assert RATINGS.rate(total, before) is Rating(rating)


@pytest.mark.parametrize(
    ("fit", "engagement", "grade"),
    [(45, 30, "A1"), (44, 29, "B2"), (15, 10, "C3"), (14, 9, "D4"), (-5, -5, "D4")],
)
def test_each_bound_belongs_to_the_better_grade(fit: int, engagement: int, grade: str) -> None:
    actual = Grades((45, 30, 15), (30, 20, 10)).grade(Score(fit, engagement))
    assert str(actual) == grade
    assert actual == Grade(grade[0], int(grade[1]))
