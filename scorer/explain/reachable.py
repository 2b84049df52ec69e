"""What single changes there are: which rules could come to hold, by which values, and what that changes in points.

Fields that no rule looks at together cannot influence each other, so they are varied apart, in *blocks*: the fields of
one rule, all fields of a `first` table, and whatever hangs together through them. Within a block every combination of
values that the tables can tell apart is tried, those with the fewest changed fields first.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from scorer.domain.counts import counts_of
from scorer.domain.instant import day_of
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Evaluation
from scorer.evaluation.signal_points import signal_points
from scorer.explain.answers import choices
from scorer.rules.condition import Test, tests
from scorer.rules.ruleset import Criterion, HitPolicy, ScoringRule, Signal

MOST = 3
"""Larger sets of changes are not looked for."""

_COMBINATIONS = 10_000

Field = str
Held = dict[str, tuple[ScoringRule, ...]]
"""Criterion -> its rules that hold."""


@dataclass(frozen=True, slots=True)
class Option:
    """A change. `cost` is how many rules or signals it is made of; options of one block exclude each other.

    `raw` is the change in points by criterion before its limits, by signal after them; `upper` is what all of that can
    bring at most, limits applied.
    """

    block: str
    cost: int
    raw: Mapping[str, int]
    upper: int
    came: tuple[tuple[Criterion, ScoringRule], ...] = ()
    ceased: tuple[tuple[Criterion, ScoringRule], ...] = ()
    replaced: tuple[str, ...] = ()
    values: Mapping[str, object] | None = None
    signal: Signal | None = None
    times: int = 1


def options(lead: Lead, evaluator: Evaluator, evaluation: Evaluation) -> tuple[list[Option], bool]:
    """Every change of at most `MOST` rules that could bring points, the best first; False where a block has more
    combinations than are looked at."""
    found: list[Option] = []
    complete = True
    for fields, criteria in _blocks(evaluator.ruleset.criteria):
        block, all_seen = _of_block(fields, criteria, evaluator, evaluation)
        found += block
        complete &= all_seen
    found += _of_signals(lead, evaluation)
    return sorted(found, key=lambda each: (-each.upper, each.cost, each.block)), complete


def _blocks(criteria: Sequence[Criterion]) -> Iterator[tuple[list[Field], list[Criterion]]]:
    """Fields that hang together, with the criteria that look at them."""
    groups: list[set[Field]] = []
    for criterion in criteria:
        first = criterion.hit_policy is HitPolicy.FIRST
        for together in [criterion.fields] if first else [frozenset(rule.fields) for rule in criterion.rules]:
            if together:
                joined = [group for group in groups if group & together]
                groups = [group for group in groups if not group & together]
                groups.append(set(together).union(*joined))
    for group in groups:
        yield sorted(group), [criterion for criterion in criteria if criterion.fields & group]


def _of_block(
    fields: Sequence[Field], criteria: Sequence[Criterion], evaluator: Evaluator, evaluation: Evaluation
) -> tuple[list[Option], bool]:
    present = {rated.criterion.name: rated.rules for rated in evaluation.criteria}
    held = {criterion.name: present[criterion.name] for criterion in criteria}
    by_field: defaultdict[Field, list[Test]] = defaultdict(list)
    for criterion in criteria:
        for rule in criterion.rules:
            for test in tests(rule.condition) if rule.condition is not None else ():
                by_field[test.field].append(test)
    present_facts = evaluation.facts
    values = {field: choices(field, by_field[field], criteria, present_facts, evaluator)[1:] for field in fields}
    best: dict[object, Option] = {}
    for number, change in enumerate(_changes(fields, values)):
        if number == _COMBINATIONS:
            return list(best.values()), False
        facts = {**present_facts, **change}
        now: Held = {criterion.name: evaluator.rules_matching(criterion, facts) for criterion in criteria}
        option = _option(fields[0], criteria, held, now, change)
        if option is not None and option.upper > 0 and option.cost <= MOST:
            key = (option.cost, *((c.name, r.id) for c, r in (*option.came, *option.ceased)))
            # Fewest changed fields come first, and stay where nothing better is found.
            if key not in best or option.upper > best[key].upper:
                best[key] = option
    return list(best.values()), True


def _changes(fields: Sequence[Field], values: Mapping[Field, Sequence[object]]) -> Iterator[dict[str, object]]:
    for size in range(1, len(fields) + 1):
        for chosen in combinations(fields, size):
            for each in product(*(values[field] for field in chosen)):
                yield dict(zip(chosen, each, strict=True))


def _option(
    block: str, criteria: Sequence[Criterion], before: Held, after: Held, change: Mapping[str, object]
) -> Option | None:
    raw, upper = {}, 0
    came: list[tuple[Criterion, ScoringRule]] = []
    ceased: list[tuple[Criterion, ScoringRule]] = []
    replaced: list[str] = []
    for criterion in criteria:
        old, new = before[criterion.name], after[criterion.name]
        if old == new:
            continue
        points = sum(rule.points for rule in new) - sum(rule.points for rule in old)
        limited = criterion.min is not None or criterion.max is not None
        raw[criterion.name] = points
        upper += max(0, points) if limited else points
        gives = [rule for rule in new if rule not in old and rule.points > 0]
        came += [(criterion, rule) for rule in gives]
        for rule in old:
            if rule in new:
                continue
            if rule.points < 0 and not _follows(rule, gives, criterion, change):
                ceased.append((criterion, rule))
            else:
                replaced.append(rule.id)
    cost = len(came) + len(ceased)
    if not cost:
        return None
    return Option(block, cost, raw, upper, tuple(came), tuple(ceased), tuple(replaced), dict(change))


def _follows(
    rule: ScoringRule, gives: Iterable[ScoringRule], criterion: Criterion, change: Mapping[str, object]
) -> bool:
    """That the rule ceases is a consequence of another that comes: of the hit policy, or of the same new value."""
    if criterion.hit_policy is HitPolicy.FIRST:
        return bool(list(gives))
    changed = set(rule.fields) & set(change)
    return any(changed & set(each.fields) for each in gives)


def _of_signals(lead: Lead, evaluation: Evaluation) -> Iterator[Option]:
    """One to `MOST` more activities today that a signal counts."""
    today = day_of(evaluation.now)
    for signal in evaluation.ruleset.signals.values():
        days = lead.signals.get(signal.id, {})
        counted = days.get(today, ())
        present = signal_points(signal, counts_of(days), today) if days else 0
        for times in range(1, min(MOST, signal.daily_cap - len(counted)) + 1):
            gain = signal_points(signal, counts_of({**days, today: (*counted, *range(times))}), today) - present
            if gain > 0:
                yield Option(f"signal {signal.id}", times, {signal.id: gain}, gain, signal=signal, times=times)
