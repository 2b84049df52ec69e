"""The points where the fault tests make a worker die, stop or fail.

They are bound when the process starts. Without SCORER_FAULT_POINT, every point is one empty function and `assess` is
not wrapped, so production neither fails here nor pays for it.

The variable contains `point:when:action`, comma-separated. `when` is a count (`3`: the third time, `*3`: every third
time) or, for the point `assessing`, the id of an event. `action` is `kill` (SIGKILL), `stop` (SIGSTOP), `term`
(SIGTERM) or `fail` (raise).
"""

import os
import signal
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, cast

import structlog
from aiokafka.errors import RequestTimedOutError

from scorer.domain.activity import LeadActivity

VARIABLE: Final = "SCORER_FAULT_POINT"

Point = Literal["fencing", "fenced", "restoring", "begun", "sent", "offsets_sent", "committed"]
Assess = TypeVar("Assess", bound=Callable[..., Any])
"""A function of a lead and an activity."""

_POINTS: Final = ("fencing", "fenced", "restoring", "begun", "sent", "offsets_sent", "committed")
_ASSESSING: Final = "assessing"
_SIGNALS: Final = {"kill": "SIGKILL", "stop": "SIGSTOP", "term": "SIGTERM"}

log = structlog.get_logger()


def _nothing(point: Point) -> None:
    pass


def _unchanged(assess: Assess) -> Assess:
    return assess


class _Armed:
    def __init__(self, specification: str) -> None:
        self._rules: list[tuple[str, int, bool, str]] = []
        self._events: set[str] = set()
        self._counts: list[int] = []
        for rule in specification.split(","):
            point, when, action = rule.split(":")
            if point == _ASSESSING:
                self._events.add(when)
                continue
            if point not in _POINTS or action not in (*_SIGNALS, "fail"):
                raise ValueError(f"{VARIABLE}: {rule!r} is not a fault point")
            self._rules.append((point, int(when.removeprefix("*")), when.startswith("*"), action))
            self._counts.append(0)

    def reached(self, point: Point) -> None:
        for index, (where, number, repeated, action) in enumerate(self._rules):
            if where != point:
                continue
            self._counts[index] += 1
            count = self._counts[index]
            if count == number or (repeated and count % number == 0):
                log.warning("fault_point", point=point, count=count, action=action)
                if action == "fail":
                    raise RequestTimedOutError(f"fault point {point}")
                os.kill(os.getpid(), getattr(signal, _SIGNALS[action]))

    def poisoned(self, assess: Assess) -> Assess:
        def judge(lead: Any, activity: LeadActivity) -> Any:
            if activity.id in self._events:
                raise RuntimeError(f"fault point {_ASSESSING}")
            return assess(lead, activity)

        return cast(Assess, judge) if self._events else assess


reached: Callable[[Point], None] = _nothing
"""Report that a point is reached."""

poisoned: Callable[[Assess], Assess] = _unchanged
"""`assess`, or a version of it that fails on the events that the tests name."""

_specification = os.environ.get(VARIABLE)
if _specification:
    _armed = _Armed(_specification)
    reached, poisoned = _armed.reached, _armed.poisoned
    log.warning("fault_points_armed", specification=_specification)
