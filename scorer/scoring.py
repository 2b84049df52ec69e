"""Points, rating and grade of a lead: decision tables over what is known of it, arithmetic over what it does.

Pure. A lead keeps what the tables said of its facts as long as the facts are the same, so that a page view costs the
signals it touches and not every table.
"""

from collections.abc import Mapping
from math import copysign, floor, fsum
from typing import NamedTuple

from scorer.domain.instant import day_of
from scorer.domain.lead import Days, Fact, Lead, days_between
from scorer.domain.score import Grade, Rating, Score
from scorer.rules.ruleset import Criterion, Ruleset, ScoringRule, Signal


class Rated(NamedTuple):
    """A criterion with the rules that matched and its points, limits applied."""

    criterion: Criterion
    rules: tuple[ScoringRule, ...]
    points: int


class Scored(NamedTuple):
    """What the scoring makes of a lead as of an instant (`now`, microseconds since the epoch)."""

    now: int
    facts: Mapping[str, object]
    criteria: tuple[Rated, ...]
    signals: tuple[tuple[Signal, int], ...]
    score: Score
    rating: Rating
    grade: Grade


class Fit(NamedTuple):
    """What follows from a lead's facts alone, whatever the time: kept with the lead until its facts change."""

    facts: Mapping[str, Fact]
    ruleset: Ruleset
    values: Mapping[str, object]
    rated: tuple[Rated, ...]
    points: int


def fit(lead: Lead, ruleset: Ruleset) -> Fit:
    """The criteria that do not depend on time, remembered or anew."""
    known = lead.memo
    # Facts are never changed in place: the same mapping means the same facts.
    if isinstance(known, Fit) and known.facts is lead.facts and known.ruleset is ruleset:
        return known
    values = {name: fact.value for name, fact in lead.facts.items()}
    rated = tuple(_rate(criterion, ruleset, values) for criterion in ruleset.lasting_criteria)
    return Fit(lead.facts, ruleset, values, rated, sum(each.points for each in rated))


def score(lead: Lead, ruleset: Ruleset, now: int) -> Scored:
    """Score, rate and grade the lead as of `now` (microseconds since the epoch)."""
    lasting = fit(lead, ruleset)
    facts = {**lasting.values, **_days_since(lead, ruleset, now)}
    timed = tuple(_rate(criterion, ruleset, facts) for criterion in ruleset.timed_criteria)
    signals = _signals(lead, ruleset, day_of(now))
    total = Score(lasting.points + sum(each.points for each in timed), sum(points for _, points in signals))
    rating = ruleset.ratings.rate(total.total, None if lead.published is None else lead.published.rating)
    return Scored(now, facts, lasting.rated + timed, signals, total, rating, ruleset.grades.grade(total))


def signal_points(signal: Signal, days: Days, today: int, after_day: int | None = None) -> int:
    """Whole points of a signal as of UTC day `today`; with `after_day` only of what was counted after that day.

    Each day gives min(count, daily_cap) x points x 0.5 ** (age in days / half_life); the sum, limited to max_points,
    is rounded half away from zero.
    """
    weights, cap, points = signal.weights, signal.daily_cap, signal.points
    terms = []
    for day, counted in days.items():
        age = today - day
        if 0 <= age < len(weights) and (after_day is None or day > after_day):
            terms.append(min(len(counted), cap) * points * weights[age])
    # fsum: the result must not depend on the order in which the days were first seen.
    total = fsum(terms)
    if signal.max_points is not None:
        total = max(-signal.max_points, min(signal.max_points, total))
    return int(copysign(floor(abs(total) + 0.5), total))


def _signals(lead: Lead, ruleset: Ruleset, today: int) -> tuple[tuple[Signal, int], ...]:
    found = []
    for name, days in lead.signals.items():
        signal = ruleset.signals.get(name)
        if signal is not None:
            points = signal_points(signal, days, today)
            if points:
                found.append((signal, points))
    return tuple(found)


def _rate(criterion: Criterion, ruleset: Ruleset, facts: Mapping[str, object]) -> Rated:
    matched = ruleset.engine.match(criterion.table, criterion.table.encode(facts))
    rules = tuple([criterion.rules[index] for index in matched])
    points = sum([rule.points for rule in rules])
    low, high = criterion.min, criterion.max
    if high is not None and points > high:
        points = high
    elif low is not None and points < low:
        points = low
    return Rated(criterion, rules, points)


def _days_since(lead: Lead, ruleset: Ruleset, now: int) -> Mapping[str, object]:
    found: dict[str, object] = {}
    for field, fact in ruleset.days_since:
        if fact is None:
            found[field] = days_between(lead.clock, now)
        elif (happened := lead.facts.get(fact)) is not None:
            found[field] = days_between(happened.stamp.time, now)
    return found
