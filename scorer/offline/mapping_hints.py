"""What the author of a mapping probably did not intend: paths that never have a value, and events of no kind."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scorer.domain.printable import counted, shortened
from scorer.domain.unfitting_keys import as_example
from scorer.offline.sent_values import WHOLE, data_paths, scopes, value_at
from scorer.rules.catalogue import suggestion
from scorer.sources.mapping.conditions import Condition, holds
from scorer.sources.mapping.converters import text
from scorer.sources.mapping.expression import Getter, along, getter, names_in
from scorer.sources.mapping.language import ActivitySection, KindSection, MappingFile

_MOST_CHOSEN: Final = 3
"""Paths of conditions that are named."""
_MOST_NEIGHBOURS: Final = 100
_LONGEST_PATH: Final = 100


@dataclass(slots=True)
class _Path:
    """A path of an activity's data. `holder`: the keys up to its last one; None if it does not only name keys.
    `neighbours`: the keys that the events have there instead."""

    key: str
    written: str
    get: Getter
    holder: tuple[str, ...] | None
    events: int = 0
    has_value: bool = False
    neighbours: set[str] = field(default_factory=set)

    def look(self, event: Mapping[str, Any]) -> None:
        if self.has_value:
            return
        self.events += 1
        self.has_value = value_at(self.get, event) not in (None, "")
        if self.holder is None or len(self.neighbours) > _MOST_NEIGHBOURS:
            return
        beside = along(self.holder)(event)
        self.neighbours.update(beside if isinstance(beside, dict) else ())

    def sentence(self, kind: str) -> str:
        of_key = "" if self.key in (WHOLE, self.written) else f" (for `{self.key}`)"
        times = "the only event" if self.events == 1 else f"any of {counted(self.events, 'event')}"
        last = (names_in(self.written) or ("",))[-1]
        return (
            f"`{shortened(self.written, _LONGEST_PATH)}`{of_key} had no value in {times} of kind {kind}"
            f"{shortened(suggestion(last, tuple(sorted(self.neighbours)), cutoff=0.75), _LONGEST_PATH)}"
        )


@dataclass(frozen=True, slots=True)
class _Kind:
    each: Getter | None
    sections: Sequence[tuple[Condition | None, Sequence[_Path]]]


class EmptyPaths:
    """Finds the paths of data that have no value in any event of their kind. `delivered`: the kinds of the mapping that
    the file extends. Only a file's own kinds are looked at."""

    def __init__(self, file: MappingFile, delivered: Sequence[KindSection] = ()) -> None:
        kinds = [*file.kinds, *([] if file.otherwise is None else [file.otherwise])]
        self._kinds = {
            kind.name: _Kind(
                None if kind.each is None else getter(kind.each),
                [(None, _paths(kind)), *((holds(further), _paths(further)) for further in kind.also)],
            )
            for kind in kinds
            if kind not in delivered
        }

    def note(self, event: Any, name: str) -> None:
        """Look at an event of this kind."""
        kind = self._kinds.get(name)
        if kind is None:
            return
        for scope in scopes(event, kind.each):
            for condition, paths in kind.sections:
                if condition is None or condition(scope):
                    for path in paths:
                        path.look(scope)

    def sentences(self) -> list[str]:
        """What was found, the paths of the most frequent kinds first."""
        empty = [
            (path.events, path.sentence(name))
            for name, kind in self._kinds.items()
            for _, paths in kind.sections
            for path in paths
            if path.events and not path.has_value
        ]
        return [sentence for _, sentence in sorted(empty, key=lambda found: -found[0])]


class Unchosen:
    """Tells why an event is of no kind."""

    def __init__(self, file: MappingFile) -> None:
        asked = Counter(path for kind in file.kinds for path in kind.when)
        self._wanted = {
            path: sorted({str(text(value)) for kind in file.kinds for value in kind.when.get(path, ())})
            for path, _ in asked.most_common(_MOST_CHOSEN)
        }
        self._getters = {path: getter(path) for path in self._wanted}

    def sentence(self, event: Any) -> str:
        """What the event has at the paths by which kinds are chosen."""
        if not self._wanted or not isinstance(event, dict):
            return "the conditions of no kind hold"
        values = {path: value_at(get, event) for path, get in self._getters.items()}
        shown = ", ".join(
            f"no value at `{path}`" if value is None else f"{path} = {as_example(value)}"
            for path, value in values.items()
        )
        meant = (
            suggestion(value, tuple(self._wanted[path]), cutoff=0.75)
            for path, value in values.items()
            if isinstance(value, str) and value not in self._wanted[path]
        )
        return f"no kind is for {shown}{next(filter(None, meant), '')}"


def _paths(section: KindSection | ActivitySection) -> list[_Path]:
    return [_Path(key, path, getter(path), _holder(path)) for key, path in data_paths(section).items()]


def _holder(path: str) -> tuple[str, ...] | None:
    names = names_in(path)
    return None if names is None else names[:-1]
