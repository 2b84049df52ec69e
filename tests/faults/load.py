"""The input of the fault tests: a realistic market with late arrivals, made worse."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count, islice
from random import Random
from typing import Final

from scorer.demo.market import activities
from scorer.domain.instant import DAY, MINUTE, SECOND, to_text
from tests.integration.kafka import Record

START = datetime(1990, 1, 1, tzinfo=UTC)
"""Long ago, so that no activity is in the future."""

_REPEATED = 0.05
_TIME: Final = re.compile(rb'"time":"(?!2199)[^"]*"')


class Load:
    """An endless stream of records, a slice at a time. In addition to the market, many are repeated soon after, so that
    repeats occur in one batch and across a crash. Many are broken, because a batch that is processed twice shows best
    in its dead letters: the state of a lead ignores repeated events.

    `live`: the activities happen when they are taken, as their senders say it: most a moment ago, some late, and some
    by a clock that is ahead. Otherwise they are from `START` on.
    """

    def __init__(self, random: Random, leads: int = 500, broken_every: int = 5, *, live: bool = False) -> None:
        self._records = _worse(random, leads, broken_every, _now if live else _unchanged)

    def take(self, count: int) -> list[Record]:
        """The next `count` records."""
        return list(islice(self._records, count))


def _unchanged(record: Record, random: Random) -> Record:
    return record


def _now(record: Record, random: Random) -> Record:
    """The record of an activity that happens now."""
    draw = random.random()
    if draw < 0.7:
        ago = random.randrange(SECOND)
    elif draw < 0.9:
        ago = random.randrange(MINUTE)
    elif draw < 0.95:
        ago = random.randrange(30 * DAY)
    elif draw < 0.99:
        ago = -random.randrange(3 * SECOND)
    else:
        ago = -random.randrange(20 * MINUTE)
    own = to_text(time.time_ns() // 1000 - ago).encode()
    return record._replace(value=_TIME.sub(b'"time":"%b"' % own, record.value or b"", count=1))


def _worse(
    random: Random, leads: int, broken_every: int, dated: Callable[[Record, Random], Record]
) -> Iterator[Record]:
    market = activities(random.randrange(1_000_000), leads, START)
    recent: deque[Record] = deque(maxlen=100)
    for number in count():
        if number % broken_every == 0:
            yield Record(b"L-%06d" % random.randrange(leads), b"broken %d" % number)
        elif recent and random.random() < _REPEATED:
            yield random.choice(recent)
        else:
            recent.append(dated(Record(*next(market)), random))
            yield recent[-1]
