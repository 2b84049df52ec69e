"""Which values of own fields a lead keeps: those that have the type that rules declare."""

from collections.abc import Callable, Mapping

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


def _test(types: set[FieldType]) -> Callable[[object], bool]:
    readers = [reader(type_) for type_ in sorted(types)]
    if len(readers) > 1:
        return lambda value: any(read(value) is not None for read in readers)
    (only,) = readers
    return lambda value: only(value) is not None
