"""Which values a field could have, as far as rules can tell them apart: one example of each kind.

No answer is taken back: a field that is known stays known. Only what somebody could say or do is varied: not the lead's
latest activity, nor our own hand-over.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from scorer.domain.statements import MILESTONES
from scorer.evaluation.evaluator import Evaluator
from scorer.rules.catalogue import LEAD_FIELDS, Catalogue
from scorer.rules.condition import FieldType, FieldValues, Op, Test
from scorer.rules.ruleset import Criterion

_DAYS_SINCE = "days_since."
_OURS = "handed_over"
_META = re.compile(r"[\\.+*?()\[\]{}|^$]")


def settable(field: str) -> bool:
    """Whether an activity could give the field another value."""
    name = field.removeprefix(_DAYS_SINCE)
    return name == field or (name in MILESTONES and name != _OURS)


def choices(
    field: str, tests: Iterable[Test], criteria: Sequence[Criterion], facts: FieldValues, evaluator: Evaluator
) -> list[object]:
    """One value of each kind that the criteria's tables tell apart; the present one (None: unknown) comes first.

    `tests` are the comparisons of the field in these criteria.
    """
    present = facts.get(field)
    found: dict[tuple[object, ...], object] = {}
    for value in (present, *_candidates(field, list(tests), present, evaluator.ruleset.own_fields)):
        if value is None and value is not present:
            continue
        kind = tuple(evaluator.codes(criterion, {field: value}) for criterion in criteria)
        found.setdefault(kind, value)
    return list(found.values())


def _candidates(field: str, tests: Sequence[Test], present: object, own: Catalogue) -> Iterable[object]:
    if not settable(field):
        return
    if field.startswith(_DAYS_SINCE):
        yield 0.0
        return
    known = LEAD_FIELDS.get(field) or own.get(field)
    if known is not None and known.choices:
        yield from (each for each in known.choices if each != _OURS)
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
    found: list[object] = []
    for test in tests:
        if test.op is not Op.EXISTS:
            found += test.operand if isinstance(test.operand, tuple) else (test.operand,)
    return found


def _texts(tests: Sequence[Test]) -> Iterable[str]:
    by_op: dict[Op, list[str]] = {}
    for test in tests:
        by_op.setdefault(test.op, []).extend(str(each) for each in _constants([test]))
    samples = [each for pattern in by_op.pop(Op.MATCHES, []) for each in _samples(pattern)]
    constants = [each for op in by_op for each in by_op[op]]
    yield from constants
    yield from samples
    # Texts that meet two comparisons at once.
    for start in by_op.get(Op.STARTS_WITH, [""]):
        for middle in ["", *by_op.get(Op.CONTAINS, [])]:
            for end in by_op.get(Op.ENDS_WITH, [""]):
                yield f"{start}{middle}{end}"
    yield "other"


def _samples(pattern: str) -> Iterable[str]:
    """Texts that a simple expression matches: alternatives without further signs. The table says whether they do."""
    plain = pattern.removeprefix("(?i)").removeprefix("^").removesuffix("$")
    if plain.startswith("(") and plain.endswith(")"):
        plain = plain[1:-1].removeprefix("?:").removeprefix("?i:")
    for each in plain.split("|"):
        text = each.replace("\\b", "").replace("\\.", ".").replace("\\s", " ").removeprefix("^").removesuffix("$")
        yield _META.sub("", text)


def _lists(tests: Sequence[Test], present: object) -> Iterable[list[str]]:
    has = [str(each) for each in present] if isinstance(present, (list, tuple)) else []
    members = list(dict.fromkeys(str(each) for each in _constants(tests)))
    for each in members:
        yield [*has, each]
        yield [item for item in has if item != each]
    yield [*has, *members]
    yield []


def _numbers(constants: Sequence[object], *, whole: bool, natural: bool) -> Iterable[int | float]:
    exact = sorted({each for each in constants if isinstance(each, (int, float))})
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
