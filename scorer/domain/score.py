"""Scores, ratings and grades, and the bounds that turn numbers into words."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Rating(StrEnum):
    """How likely the lead is to buy (the CRM's standard Lead Rating)."""

    COLD = "cold"
    WARM = "warm"
    HOT = "hot"


class Route(StrEnum):
    """What becomes of the lead: dropped, cared for by direct marketing, handed over to sales."""

    DISCARD = "discard"
    NURTURE = "nurture"
    SALES = "sales"


class Score(NamedTuple):
    """Whole points: `fit` for who the lead is (the criteria), `engagement` for what it does (the signals), `total` for
    their sum."""

    fit: int
    engagement: int

    @property
    def total(self) -> int:
        """All points together."""
        return self.fit + self.engagement


@dataclass(frozen=True, slots=True)
class Ratings:
    """Lower bounds of `warm` and `hot` in points. A lead loses a rating only when its score falls below the bound minus
    `hysteresis`, so that a score that moves by one point does not alert sales again and again."""

    warm: int
    hot: int
    hysteresis: int = 0

    def rate(self, total: int, previous: Rating | None = None) -> Rating:
        """The rating of a score, given the previous rating."""
        reached = self._reached(total)
        if previous is None:
            return reached
        held = min(previous, self._reached(total + self.hysteresis), key=_ORDER.index)
        return max(reached, held, key=_ORDER.index)

    def _reached(self, total: int) -> Rating:
        if total >= self.hot:
            return Rating.HOT
        return Rating.WARM if total >= self.warm else Rating.COLD


_ORDER: Sequence[Rating] = (Rating.COLD, Rating.WARM, Rating.HOT)


class Grade(NamedTuple):
    """Fit as a letter A to D, engagement as a figure 1 to 4; A1 is best."""

    fit: str
    engagement: int

    def __str__(self) -> str:
        return f"{self.fit}{self.engagement}"


@dataclass(frozen=True, slots=True)
class Grades:
    """Lower bounds in points: A, B, C for fit and 1, 2, 3 for engagement. Below all bounds the grade is D and 4."""

    fit: tuple[int, int, int]
    engagement: tuple[int, int, int]

    def grade(self, score: Score) -> Grade:
        """The grade of a score."""
        fit, engagement = score
        a, b, c = self.fit
        letter = "A" if fit >= a else "B" if fit >= b else "C" if fit >= c else "D"
        first, second, third = self.engagement
        figure = 1 if engagement >= first else 2 if engagement >= second else 3 if engagement >= third else 4
        return Grade(letter, figure)
