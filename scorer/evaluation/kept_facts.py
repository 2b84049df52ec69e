"""Which values of own fields a lead keeps: those that have the type that rules declare."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import ValueTests
from scorer.rules.catalogue import Catalogue
from scorer.rules.field_type import FieldType, reader


def value_tests(*catalogues: Catalogue) -> Mapping[str, Callable[[object], bool]]:
    """For each own field, whether a value has a type that one of the rulesets declares for it. A value of another type
    is unknown to all of them."""
    types: dict[str, set[FieldType]] = {}
    for catalogue in catalogues:
        for name, field in catalogue.items():
            types.setdefault(name, set()).add(field.type)
    return {name: _test(declared) for name, declared in types.items()}


def dropped_facts(activities: Iterable[LeadActivity], kept: ValueTests) -> Counter[str]:
    """How many custom facts of these activities a lead does not keep: `undeclared` under a name that no rules declare,
    `wrong_type` with a value that has none of the declared types."""
    dropped: Counter[str] = Counter()
    for activity in activities:
        custom = activity.data.get("custom")
        if isinstance(custom, Mapping):
            for name, value in custom.items():
                has_type = kept.get(name)
                if has_type is None:
                    dropped["undeclared"] += 1
                elif value is not None and not has_type(value):
                    dropped["wrong_type"] += 1
    return dropped


def _test(types: set[FieldType]) -> Callable[[object], bool]:
    readers = [reader(type_) for type_ in sorted(types)]
    if len(readers) > 1:
        return lambda value: any(read(value) is not None for read in readers)
    (only,) = readers
    return lambda value: only(value) is not None
