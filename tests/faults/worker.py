"""A worker with armed fault points: `python -m tests.faults.worker run`. The wheel does not contain it.

SCORER_FAULT_POINT contains `point:when:action`, comma-separated. `when` is a count (`3`: the third time, `*3`: every
third time) or, for the point `assessing`, the id of an event. `action` is `kill` (SIGKILL), `stop` (SIGSTOP), `term`
(SIGTERM) or `fail` (raise).

With SCORER_FAULT_BOUNDS the worker starts with rules under which a state or a decision can be too large, as if the
bounds that it computes for rules were wrong.

SCORER_FAULT_CLOCK is how many seconds the clock of the worker is ahead (negative: behind). Clocks that only measure
durations are right.
"""

import os
import signal
import time
from typing import Any, Final, cast

import structlog
from aiokafka.errors import RequestTimedOutError

from scorer.__main__ import main
from scorer.domain.activity import LeadActivity
from scorer.kafka import fault_points
from scorer.kafka.fault_points import Assess, Point

VARIABLE: Final = "SCORER_FAULT_POINT"
CLOCK_VARIABLE: Final = "SCORER_FAULT_CLOCK"
BOUNDS_VARIABLE: Final = "SCORER_FAULT_BOUNDS"

_POINTS: Final = ("fencing", "fenced", "restoring", "begun", "sent", "offsets_sent", "committed")
_ASSESSING: Final = "assessing"
_SIGNALS: Final = {"kill": "SIGKILL", "stop": "SIGSTOP", "term": "SIGTERM"}

log = structlog.get_logger()


class Armed:
    """The points of one specification. Raises `ValueError` if it is wrong."""

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
        """Act if the specification says so."""
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
        """`assess`, failing on the events of the specification."""

        def judge(lead: Any, activity: LeadActivity, *when: Any) -> Any:
            if activity.id in self._events:
                raise RuntimeError(f"fault point {_ASSESSING}")
            return assess(lead, activity, *when)

        return cast(Assess, judge) if self._events else assess


def arm() -> None:
    """Set the clock and arm the fault points. The variables are taken away, because the service refuses them as
    unknown."""
    _set_clock(float(os.environ.pop(CLOCK_VARIABLE, "0")))
    specification, unchecked = os.environ.pop(VARIABLE, ""), os.environ.pop(BOUNDS_VARIABLE, "")
    if specification:
        armed = Armed(specification)
        fault_points.reached, fault_points.poisoned = armed.reached, armed.poisoned
        log.warning("fault_points_armed", specification=specification)
    if unchecked:
        # Imported last: what it imports takes the clock and the fault points as they are then.
        from scorer.service import compose

        setattr(compose, "too_large", lambda *_: [])  # noqa: B010 (the name is imported there, not exported)


def _set_clock(ahead: float) -> None:
    seconds, nanoseconds = time.time, time.time_ns
    if ahead:
        time.time = lambda: seconds() + ahead
        time.time_ns = lambda: nanoseconds() + round(ahead * 1e9)


if __name__ == "__main__":
    arm()
    main()
