"""What an event of another sender had where its mapping looks.

Translation tells only names and reasons, so that logs and metrics quote nobody. These values are for people who look at
their own files.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scorer.domain.unfitting_keys import NOT_KNOWN
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.company.converter import Unfit
from scorer.sources.mapping.expression import Getter, getter
from scorer.sources.mapping.language import ActivitySection, KindSection, MappingFile, ValueSection
from scorer.sources.mapping.records import Records
from scorer.sources.mapping.translation import ITEM, MOST_ITEMS
from scorer.sources.rejected import Rejected

WHOLE = "data"
"""The key of an object that is the data of an activity as it is."""


class SentValues:
    """The values of the events of one mapping."""

    def __init__(self, file: MappingFile) -> None:
        self._records = Records(file)
        self._encoded = [(path, getter(path)) for path in file.json_text]
        kinds = [*file.kinds, *([] if file.otherwise is None else [file.otherwise])]
        self._each = {kind.name: getter(kind.each) for kind in kinds if kind.each is not None}
        self._getters = {kind.name: _getters(kind) for kind in kinds}

    def events(self, record: bytes) -> Sequence[Any]:
        """The events of a record, in its order; none if it is not of the format of the mapping."""
        try:
            return self._records.events(record, MAX_BYTES).events
        except Rejected:
            return ()

    def of(self, event: Any, kind: str, key: str) -> Any:
        """What the event had for a key that its kind leaves out; `NOT_KNOWN` if it cannot be told."""
        getters = [get for name, get in [*self._getters.get(kind, ()), *self._encoded] if name == key]
        for scope in scopes(event, self._each.get(kind)):
            for get in getters:
                if (value := value_at(get, scope)) is not None:
                    return value
        return NOT_KNOWN


def data_paths(section: KindSection | ActivitySection) -> Mapping[str, str]:
    """The paths of an activity's data by key, with a point before a key of an inner object. Constants have none."""
    if isinstance(section.data, str):
        return {WHOLE: section.data}
    return {key: entry.path for key, entry in _entries(section.data, "") if entry.path is not None}


def scopes(event: Any, each: Getter | None) -> Iterator[Mapping[str, Any]]:
    """What the paths of a kind are asked of: the event, or the event with each item of its list."""
    if not isinstance(event, dict):
        return
    if each is None:
        yield event
        return
    items = value_at(each, event)
    for item in items[:MOST_ITEMS] if isinstance(items, list) else ():
        yield {**event, ITEM: item}


def value_at(get: Getter, event: Mapping[str, Any]) -> Any:
    """The value of an expression; None if it has none, or does not fit the event."""
    try:
        return get(event)
    except Unfit:
        return None


def _getters(kind: KindSection) -> list[tuple[str, Getter]]:
    sections: Sequence[KindSection | ActivitySection] = (kind, *kind.also)
    return [(key, getter(path)) for section in sections for key, path in data_paths(section).items()]


def _entries(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, ValueSection]]:
    for key, entry in data.items():
        if isinstance(entry, ValueSection):
            yield f"{prefix}{key}", entry
        else:
            yield from _entries(entry, f"{prefix}{key}.")
