"""Answers that are kept for the next time, within a bound."""

from collections.abc import Callable
from typing import Final, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

ROOM: Final = 4_096
"""Answers in one cache. There are that many only where values vary without end."""


class BoundedCache(dict[Key, Value]):
    """At most `room` answers by key.

    It is a `dict`, so that a look-up of a recent answer costs no call of ours: `get` it, then `recall` it, then compute
    and `keep` it. Answers are in two generations. When the young one is half of `room`, it becomes the old one, and
    what was not asked for since the last change is forgotten. That costs nothing per look-up and needs no order.
    `on_forgotten` gets each answer that leaves.
    """

    __slots__ = ("_half", "_old", "_on_forgotten")

    def __init__(self, room: int | None = None, on_forgotten: Callable[[Key, Value], None] | None = None) -> None:
        """`room`: 2 at least; default: ROOM."""
        super().__init__()
        self._half = max(1, (ROOM if room is None else room) // 2)
        self._old: dict[Key, Value] = {}
        self._on_forgotten = on_forgotten

    def recall(self, key: Key) -> Value | None:
        """An answer of the old generation, which becomes young again; None where there is none."""
        value = self._old.get(key)
        return None if value is None else self.keep(key, value)

    def look_up(self, key: Key) -> Value | None:
        """The answer, young or old; None where there is none."""
        value = self.get(key)
        return self.recall(key) if value is None else value

    def keep(self, key: Key, value: Value) -> Value:
        """Put an answer into the cache; returns it."""
        if key not in self:
            self._old.pop(key, None)
            if len(self) >= self._half:
                self._change_generation()
        self[key] = value
        return value

    def forget(self, key: Key) -> None:
        """Drop an answer, without `on_forgotten`."""
        self.pop(key, None)
        self._old.pop(key, None)

    def all_keys(self) -> set[Key]:
        """The keys of both generations."""
        return self.keys() | self._old.keys()

    def clear(self) -> None:
        """Forget everything at once."""
        super().clear()
        self._old = {}

    def _change_generation(self) -> None:
        forgotten, self._old = self._old, dict(self)
        super().clear()
        if self._on_forgotten is not None:
            for key, value in forgotten.items():
                self._on_forgotten(key, value)
