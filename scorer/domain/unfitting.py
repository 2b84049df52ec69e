"""Keys of an activity that do not fit the contract or the rules. They are dropped, and the rest counts."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, Literal, NamedTuple

Reason = Literal[
    "ambiguous",
    "empty",
    "malformed",
    "misspelt",
    "missing",
    "not_a_choice",
    "out_of_range",
    "too_long",
    "undeclared",
    "wrong_type",
]
"""Why a key or its value does not fit. Metrics carry these names."""

OTHER: Final = "other"
"""The field of a key that neither the contract nor the rules name."""

CUSTOM: Final = "custom"
"""The field of an own fact until the rules have said whether they declare it."""

_LONGEST: Final = 64
"""Names have at most this many characters. Longer ones are no misspelt names, and comparing them is slow."""
_CLOSE: Final = 0.8
_MARKS: Final = str.maketrans("", "", "_- ")


class Drop(NamedTuple):
    """A key that was dropped or is missing, or an empty text that was taken as withdrawn. `field` is a name of the
    contract or of the rules, or `other`, so it may be shown anywhere. `key` and `value` are as they were sent: they can
    be personal. The value of a missing key is None. `section`: the key of the object that had the key; empty for `data`
    itself."""

    field: str
    reason: Reason
    key: str
    value: object
    section: str = ""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Instead of the value of an own fact that does not fit its field."""

    reason: Reason


@lru_cache(4096)
def meant(key: str, names: frozenset[str]) -> str | None:
    """The name that was probably meant by an unknown key; None if no name is close."""
    if len(key) > _LONGEST:
        return None
    written = _plain(key)
    for name in sorted(names):
        if _plain(name) == written:
            return name
    return next(iter(get_close_matches(key.lower(), sorted(names), n=1, cutoff=_CLOSE)), None)


def unknown(
    key: str, value: object, names: frozenset[str], sent: Collection[str], prefix: str = "", section: str = ""
) -> Drop:
    """The drop of a key that is none of the `names`. `sent`: all keys that were sent beside it; a name that is among
    them was not misspelt. `prefix`: what the field has before the name."""
    name = meant(key, names)
    if name is None or name in sent:
        return Drop(OTHER, "undeclared", key, value, section)
    return Drop(f"{prefix}{name}", "misspelt", key, value, section)


def as_sent(data: Mapping[str, object], drops: Iterable[Drop]) -> Mapping[str, object]:
    """The payload with what was dropped from it."""
    sent = dict(data)
    for drop in drops:
        if drop.reason == "missing":
            continue
        if drop.section:
            section = sent.get(drop.section)
            sent[drop.section] = {**(section if isinstance(section, Mapping) else {}), drop.key: drop.value}
        else:
            sent[drop.key] = drop.value
    return sent


def distinct(drops: Iterable[Drop]) -> tuple[Drop, ...]:
    """The first drop of each field and reason. So an activity with a thousand unknown keys has few. Own facts are not
    yet told apart by their field."""
    first: dict[tuple[str, ...], Drop] = {}
    for drop in drops:
        first.setdefault((drop.field, drop.reason, drop.key if drop.field == CUSTOM else ""), drop)
    return tuple(first.values())


def _plain(name: str) -> str:
    return name.lower().translate(_MARKS)
