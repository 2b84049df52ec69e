"""Answers that are kept for the next time they are asked for, within a bound."""

from typing import Final, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

ROOM: Final = 4_096
"""Answers in one memory; there are that many only where values vary without end. A full one begins anew: to know which
are asked for would cost more than it saves."""


def keep(memory: dict[_Key, _Value], key: _Key, value: _Value, room: int | None = None) -> _Value:
    """Put an answer into the memory, which takes `room` of them (default: ROOM); returns it."""
    if len(memory) >= (room or ROOM):
        memory.clear()
    memory[key] = value
    return value
