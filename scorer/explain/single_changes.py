"""The single changes that could give a lead points: which rules would start to hold, with which values, for how many
points.

Fields that no rule uses together do not influence each other. Therefore they are varied separately, in *blocks*. A
block joins the fields of a rule, all fields of a `first` table, and all fields connected with these. Within a block,
every combination of values that the tables distinguish is tried. Combinations that change the fewest fields come first.
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
from scorer.explain.candidate_values import choices
from scorer.rules.condition import Test, tests
from scorer.rules.ruleset import Criterion, HitPolicy, ScoringRule, Signal

MOST = 3
"""The search covers sets of up to this many changes."""

_COMBINATIONS = 10_000

Field = str
Held = dict[str, tuple[ScoringRule, ...]]
"""The rules that hold, by criterion name."""


@dataclass(frozen=True, slots=True)
class Option:
    """A change. `cost` is the number of rules or signals in it. Options of one block exclude each other.

    `raw` holds the change in points: by criterion before its limits, and by signal after its limits. `upper` is the
    most points that the change can give after limits.
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
    """Every change of at most `MOST` rules that could give points, the best first.

    The second value is False if a block has more combinations than are tried.
    """
    possible: list[Option] = []
    complete = True
    for fields, criteria in _blocks(evaluator.ruleset.criteria):
        block, all_seen = _of_block(fields, criteria, evaluator, evaluation)
        possible += block
        complete &= all_seen
    possible += _of_signals(lead, evaluation)
    return sorted(possible, key=lambda option: (-option.upper, option.cost, option.block)), complete


def _blocks(criteria: Sequence[Criterion]) -> Iterator[tuple[list[Field], list[Criterion]]]:
    """Connected fields, with the criteria that use them."""
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
            # Combinations with the fewest changed fields come first and stay unless a later one is better.
            if key not in best or option.upper > best[key].upper:
                best[key] = option
    return list(best.values()), True


def _changes(fields: Sequence[Field], values: Mapping[Field, Sequence[object]]) -> Iterator[dict[str, object]]:
    for size in range(1, len(fields) + 1):
        for chosen in combinations(fields, size):
            for combination in product(*(values[field] for field in chosen)):
                yield dict(zip(chosen, combination, strict=True))


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
    """Whether the rule ceases because another starts to hold: through the hit policy or through the same new value."""
    if criterion.hit_policy is HitPolicy.FIRST:
        return bool(list(gives))
    changed = set(rule.fields) & set(change)
    return any(changed & set(new_rule.fields) for new_rule in gives)


def _of_signals(lead: Lead, evaluation: Evaluation) -> Iterator[Option]:
    """For each signal, the gain from one to `MOST` more activities today."""
    today = day_of(evaluation.now)
    for signal in evaluation.ruleset.signals.values():
        days = lead.signals.get(signal.id, {})
        counted = days.get(today, ())
        present = signal_points(signal, counts_of(days), today) if days else 0
        for times in range(1, min(MOST, signal.daily_cap - len(counted)) + 1):
            gain = signal_points(signal, counts_of({**days, today: (*counted, *range(times))}), today) - present
            if gain > 0:
                yield Option(f"signal {signal.id}", times, {signal.id: gain}, gain, signal=signal, times=times)
