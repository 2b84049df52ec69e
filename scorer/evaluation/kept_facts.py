"""Which values of own fields a lead keeps: those that fit the field that rules declare. And what does not fit."""

from collections.abc import Callable, Collection, Mapping

from scorer.domain.activity import LISTING, LeadActivity
from scorer.domain.lead import ValueReaders
from scorer.domain.unfitting import CUSTOM, OTHER, Drop, Unfit, distinct, unknown
from scorer.rules.catalogue import Catalogue, Field
from scorer.rules.field_type import number_in_text, reader
from scorer.sources.rejected import Rejected, described

_WRONG_TYPE, _NO_CHOICE = Unfit("wrong_type"), Unfit("not_a_choice")
_WORDS = {
    "empty": "is an empty text",
    "malformed": "is malformed",
    "misspelt": "is probably meant by a key that nobody declares",
    "missing": "is missing",
    "not_a_choice": "is none of its choices",
    "out_of_range": "is out of range",
    "too_long": "is too long",
    "undeclared": "is not declared",
    "wrong_type": "is of another type",
}


class Unfitting(Rejected):
    """An activity with keys that do not fit, under rules that set such an activity aside as a whole."""

    def __init__(self, drops: Collection[Drop]) -> None:
        first = next(iter(drops))
        name = "a key" if first.field == OTHER else first.field
        sent = "" if first.reason == "missing" else f" ({described(first.value)})"
        more = f" (and {len(drops) - 1} more)" if len(drops) > 1 else ""
        super().__init__(
            "unfitting",
            f"{name}{sent} {_WORDS[first.reason]}{more}; the rules set such an activity aside "
            "(`unfitting: dead_letter`)",
        )
        self.drops = drops


def value_readers(own: Catalogue, others: Catalogue) -> ValueReaders:
    """How a lead keeps the values of each own field. What the rules themselves declare comes before what `others`
    declare, so that those never change what the rules know."""
    return {name: _reader(field) for name, field in {**others, **own}.items()}


def unfitting(activity: LeadActivity, kept: ValueReaders, names: frozenset[str]) -> tuple[Drop, ...]:
    """What of the activity does not fit the contract, or the own fields that a lead keeps. `names`: those of `kept`."""
    drops = list(activity.dropped)
    for index, drop in enumerate(drops):
        if drop.field == CUSTOM and drop.key != CUSTOM:
            is_known = drop.key in kept
            drops[index] = (
                drop._replace(field=drop.key) if is_known else unknown(drop.key, drop.value, names, frozenset())
            )
    custom = activity.data.get(CUSTOM) if activity.type in LISTING else None
    if isinstance(custom, Mapping):
        for name, value in custom.items():
            read = kept.get(name)
            if read is None:
                drops.append(unknown(name, value, names, custom.keys()))
            elif value is not None:
                known = read(value)
                if isinstance(known, Unfit):
                    drops.append(Drop(name, known.reason, name, value))
                elif known is None:
                    drops.append(Drop(name, "empty", name, value))
    return distinct(drops)


def _reader(field: Field) -> Callable[[object], object]:
    read, choices = reader(field.type), frozenset(field.choices)

    def typed(value: object) -> object:
        if read(value) is not None:
            return value
        return None if value is None or value == "" else _WRONG_TYPE

    def typed_or_text(value: object) -> object:
        number = number_in_text(value) if isinstance(value, str) else None
        return typed(value if number is None else number)

    def chosen(value: object) -> object:
        if not isinstance(value, str):
            return None if value is None else _WRONG_TYPE
        if value in choices:
            return value
        return _NO_CHOICE if value else None

    if choices:
        return chosen
    return typed_or_text if field.accept_text else typed
