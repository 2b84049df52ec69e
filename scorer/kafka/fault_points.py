"""The points where the fault tests make a worker die, stop or fail.

Here every point is one empty function and `assess` is not wrapped, so the service neither fails here nor pays for it.
No setting changes that. The fault tests start a worker with an entry module of their own, which replaces both functions
before the modules that use them are imported.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

Point = Literal["fencing", "fenced", "restoring", "begun", "sent", "offsets_sent", "committed"]
Assess = TypeVar("Assess", bound=Callable[..., Any])
"""A function of a lead and an activity."""


def _nothing(point: Point) -> None:
    pass


def _unchanged(assess: Assess) -> Assess:
    return assess


reached: Callable[[Point], None] = _nothing
"""Report that a point is reached."""

poisoned: Callable[[Assess], Assess] = _unchanged
"""`assess`, or a version of it that fails on the events that the tests name."""
