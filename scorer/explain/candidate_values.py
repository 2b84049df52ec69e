"""The values that a field could have, one example for each kind that the rules distinguish.

A known field stays known, because no lead takes an answer back. Only what somebody could say or do is varied. The
time of the lead's latest activity and our own hand-over are not.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from scorer.domain.lifecycle import STATUS, TIMES_RETURNED
from scorer.domain.statements import FIRST_LEAD_SOURCE, MILESTONES
from scorer.evaluation.evaluator import Evaluator
from scorer.rules.catalogue import LEAD_FIELDS, Catalogue, is_timed
from scorer.rules.condition import FieldType, FieldValues, Op, Test
from scorer.rules.ruleset import Criterion

_DAYS_SINCE = "days_since."
_OURS = frozenset({"new", "nurturing", "handed_over", "discarded"})
"""What only our own decisions say."""
_META = re.compile(r"[\\.+*?()\[\]{}|^$]")


def settable(field: str) -> bool:
    """Whether an activity could change the value of the field."""
    if field.startswith(_DAYS_SINCE):
        name = field.removeprefix(_DAYS_SINCE)
        return name in MILESTONES and name not in _OURS
    return not is_timed(field) and field not in (TIMES_RETURNED, FIRST_LEAD_SOURCE)


def choices(
    field: str, tests: Iterable[Test], criteria: Sequence[Criterion], facts: FieldValues, evaluator: Evaluator
) -> list[object]:
    """One value of each kind that the tables of the criteria distinguish. The present value, or None, comes first.

    `tests` are the comparisons of the field in these criteria.
    """
    present = facts.get(field)
    value_of_kind: dict[tuple[object, ...], object] = {}
    for value in (present, *_candidates(field, list(tests), present, evaluator.ruleset.own_fields)):
        if value is None and value is not present:
            continue
        kind = tuple(evaluator.codes(criterion, {field: value}) for criterion in criteria)
        value_of_kind.setdefault(kind, value)
    return list(value_of_kind.values())


def _candidates(field: str, tests: Sequence[Test], present: object, own: Catalogue) -> Iterable[object]:
    if not settable(field):
        return
    if field.startswith(_DAYS_SINCE):
        yield 0.0
        return
    known = LEAD_FIELDS.get(field) or own.get(field)
    if known is not None and known.choices:
        yield from (choice for choice in known.choices if field != STATUS or choice not in _OURS)
        return
    match tests[0].type:
        case FieldType.BOOLEAN:
            yield from (True, False)
        case FieldType.STRING:
            yield from _texts(tests)
        case FieldType.STRINGS:
            yield from _lists(tests, present)
        case kind:
            yield from _numbers(_constants(tests), whole=kind is FieldType.INTEGER, natural=field in LEAD_FIELDS)


def _constants(tests: Iterable[Test]) -> list[object]:
    constants: list[object] = []
    for test in tests:
        if test.op is not Op.EXISTS:
            constants += test.operand if isinstance(test.operand, tuple) else (test.operand,)
    return constants


def _texts(tests: Sequence[Test]) -> Iterable[str]:
    by_op: dict[Op, list[str]] = {}
    for test in tests:
        by_op.setdefault(test.op, []).extend(str(constant) for constant in _constants([test]))
    samples = [sample for pattern in by_op.pop(Op.MATCHES, []) for sample in _samples(pattern)]
    constants = [constant for group in by_op.values() for constant in group]
    yield from constants
    yield from samples
    # Texts for which several comparisons hold at once.
    for start in by_op.get(Op.STARTS_WITH, [""]):
        for middle in ["", *by_op.get(Op.CONTAINS, [])]:
            for end in by_op.get(Op.ENDS_WITH, [""]):
                yield f"{start}{middle}{end}"
    yield "other"


def _samples(pattern: str) -> Iterable[str]:
    """Texts that a simple pattern may match: its alternatives without special characters. The table decides whether
    they match."""
    plain = pattern.removeprefix("(?i)").removeprefix("^").removesuffix("$")
    if plain.startswith("(") and plain.endswith(")"):
        plain = plain[1:-1].removeprefix("?:").removeprefix("?i:")
    for alternative in plain.split("|"):
        text = alternative.replace("\\b", "").replace("\\.", ".").replace("\\s", " ")
        yield _META.sub("", text.removeprefix("^").removesuffix("$"))


def _lists(tests: Sequence[Test], present: object) -> Iterable[list[str]]:
    present_items = [str(item) for item in present] if isinstance(present, (list, tuple)) else []
    members = list(dict.fromkeys(str(constant) for constant in _constants(tests)))
    for member in members:
        yield [*present_items, member]
        yield [item for item in present_items if item != member]
    yield [*present_items, *members]
    yield []


def _numbers(constants: Sequence[object], *, whole: bool, natural: bool) -> Iterable[int | float]:
    exact = sorted({number for number in constants if isinstance(number, (int, float))})
    yield from exact
    for low, high in pairwise(exact):
        yield int(low) + 1 if whole else (low + high) / 2
    if exact:
        first, last = exact[0], exact[-1]
        step = 1 if whole or max(abs(first), abs(last)) > 1 else 0.05
        if first - step >= 0 or not natural:
            yield first - step
        elif first > 0:
            yield 0
        yield last + step
