"""What would make a lead warm or hot: the smallest sets of rules and signals that raise its score to the bound.

The search is exact for sets of up to three. It calculates with points after hit policies and limits, skips only sets
that cannot be enough, and reports if it stopped early. Each suggestion is then verified: the values are put into a copy
of the lead, and `evaluate` must give the better rating.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scorer.domain.counts import counts_of
from scorer.domain.facts import Fact, Facts, Stamp
from scorer.domain.instant import day_of
from scorer.domain.lead import Lead
from scorer.domain.score import Rating
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Evaluation
from scorer.explain.single_changes import MOST, Option, options
from scorer.explain.story_model import Suggestion, Target, WantedRule
from scorer.explain.wording import condition_text, evidence
from scorer.rules.ruleset import BEHAVIOUR, Ruleset

SHOWN = 10
_STEPS = 200_000
_ORDER = (Rating.COLD, Rating.WARM, Rating.HOT)
_DAYS_SINCE = "days_since."

Chosen = tuple[Option, ...]


def targets(lead: Lead, evaluator: Evaluator, evaluation: Evaluation) -> list[Target]:
    """How the lead could reach each better rating as of the time of the evaluation, the next rating first."""
    better = _ORDER[_ORDER.index(evaluation.rating) + 1 :]
    if not better:
        return []
    search = _Search(evaluation, *options(lead, evaluator, evaluation))
    return [_target(rating, lead, evaluator, search) for rating in better]


def needed_for(rating: Rating, ruleset: Ruleset, previous: Rating | None) -> int:
    """The lowest score that gives the rating. `previous` is the last published rating, for the hysteresis."""
    ratings = ruleset.ratings
    bound = ratings.hot if rating is Rating.HOT else ratings.warm
    kept = previous is not None and _ORDER.index(previous) >= _ORDER.index(rating)
    return bound - ratings.hysteresis if kept else bound


def changed(lead: Lead, chosen: Sequence[Option], now: int) -> Lead:
    """The lead as it would be if the changes happened at `now`."""
    stamp = Stamp(now, "", "")
    facts, signals = dict(lead.facts), dict(lead.signals)
    for option in chosen:
        for field, value in (option.values or {}).items():
            if field.startswith(_DAYS_SINCE):
                facts[f"at.{field.removeprefix(_DAYS_SINCE)}"] = Fact(True, stamp)
            else:
                facts[field] = Fact(value, stamp)
        if option.signal is not None:
            days, today = signals.get(option.signal.id, {}), day_of(now)
            hashes = (*range(option.times), *days.get(today, ()))
            signals[option.signal.id] = {**days, today: hashes}
    return Lead(
        lead.id,
        clock=lead.clock,
        facts=Facts(facts),
        counted={name: counts_of(days) for name, days in signals.items()},
        erased_at=lead.erased_at,
        published=lead.published,
        rules_at_return=lead.rules_at_return,
        lifecycle=lead.lifecycle,
    )


def _target(rating: Rating, lead: Lead, evaluator: Evaluator, search: "_Search") -> Target:
    evaluation = search.evaluation
    needed = needed_for(rating, evaluator.ruleset, None if lead.published is None else lead.published.rating)
    size, sets, suggestions = None, [], []
    for size in range(1, MOST + 1):
        sets = sorted(search.sufficient(size, needed), key=lambda chosen: (-search.total(chosen), _names(chosen)))
        suggestions = list(_verified(sets, rating, lead, evaluator, evaluation.now))
        if suggestions:
            break
    return Target(
        rating=rating,
        needed=needed,
        missing=needed - evaluation.score.total,
        size=size if suggestions else None,
        suggestions=suggestions,
        found=len(sets) if suggestions else 0,
        most=search.most(),
        exhaustive=search.exhaustive,
    )


def _verified(
    sets: Sequence[Chosen], rating: Rating, lead: Lead, evaluator: Evaluator, now: int
) -> Iterator[Suggestion]:
    shown = 0
    for chosen in sets:
        evaluation = evaluator.evaluate(changed(lead, chosen, now), now)
        if _ORDER.index(evaluation.rating) < _ORDER.index(rating):
            continue
        yield Suggestion(
            wanted=[wanted for option in chosen for wanted in _wanted(option)],
            example={
                field: shown_value
                for option in chosen
                for field, value in (option.values or {}).items()
                if (shown_value := evidence(value)) is not None
            },
            replaced=[rule for option in chosen for rule in option.replaced],
            score=evaluation.score.total,
            rating=evaluation.rating,
            route=evaluation.routing.route,
            routing_rule=evaluation.routing.id,
        )
        shown += 1
        if shown == SHOWN:
            return


def _wanted(option: Option) -> Iterator[WantedRule]:
    for rules, ceases in ((option.came, False), (option.ceased, True)):
        for criterion, rule in rules:
            yield WantedRule(
                criterion=criterion.name,
                rule=rule.id,
                points=-rule.points if ceases else rule.points,
                reason=rule.reason,
                condition=condition_text(rule.condition),
                ceases=ceases,
                times=1,
            )
    if option.signal is not None:
        yield WantedRule(
            criterion=BEHAVIOUR,
            rule=option.signal.id,
            points=option.upper,
            reason=option.signal.reason,
            condition=option.signal.activity,
            ceases=False,
            times=option.times,
        )


def _names(chosen: Chosen) -> tuple[str, ...]:
    return tuple(f"{wanted.rule} {wanted.times}" for option in chosen for wanted in _wanted(option))


@dataclass(slots=True)
class _Search:
    """Calculates the score for sets of options without a full evaluation of each set."""

    evaluation: Evaluation
    options: Sequence[Option]
    exhaustive: bool

    def total(self, chosen: Chosen) -> int:
        """The score with these changes and with limits applied."""
        raw: dict[str, int] = {}
        for option in chosen:
            for name, points in option.raw.items():
                raw[name] = raw.get(name, 0) + points
        score = self.evaluation.score.total + sum(raw.values())
        for rated in self.evaluation.criteria:
            change = raw.get(rated.criterion.name)
            if change is not None:
                before = sum(rule.points for rule in rated.rules)
                after = before + change
                low, high = rated.criterion.min, rated.criterion.max
                if high is not None:
                    after = min(high, after)
                if low is not None:
                    after = max(low, after)
                score += after - rated.points - change
        return score

    def sufficient(self, size: int, needed: int) -> list[Chosen]:
        """Every set of that size with which the score is at least `needed`."""
        missing = needed - self.evaluation.score.total
        return [chosen for chosen in self._sets(size, lambda: missing, exact=True) if self.total(chosen) >= needed]

    def most(self) -> int:
        """The highest score that up to three changes can reach."""
        now = self.evaluation.score.total
        best = [now]
        # Every better set raises the number of missing points, so that more of the remaining sets are skipped.
        for chosen in self._sets(MOST, lambda: best[0] - now + 1, exact=False):
            best[0] = max(best[0], self.total(chosen))
        return best[0]

    def _sets(self, size: int, missing: Callable[[], int], *, exact: bool) -> Iterator[Chosen]:
        """Sets whose upper bounds reach the missing points. They cost `size`, or at most `size` if not `exact`."""
        ceilings = self._ceilings(size)
        steps = 0

        def extend(chosen: Chosen, start: int, room: int, upper: int) -> Iterator[Chosen]:
            nonlocal steps
            for index in range(start, len(self.options)):
                steps += 1
                if steps > _STEPS:
                    self.exhaustive = False
                    return
                option = self.options[index]
                left, reach = room - option.cost, upper + option.upper
                if left < 0 or reach + ceilings[left] < missing() or any(o.block == option.block for o in chosen):
                    continue
                more = (*chosen, option)
                if (left == 0 or not exact) and reach >= missing():
                    yield more
                if left:
                    yield from extend(more, index + 1, left, reach)

        return extend((), 0, size, 0)

    def _ceilings(self, size: int) -> list[int]:
        """The most points that options with a total cost of up to 0, 1, … can give."""
        single = [max((o.upper for o in self.options if o.cost == cost), default=0) for cost in range(size + 1)]
        ceilings = [0]
        for cost in range(1, size + 1):
            ceilings.append(max(ceilings[cost - 1], *(single[c] + ceilings[cost - c] for c in range(1, cost + 1))))
        return ceilings
