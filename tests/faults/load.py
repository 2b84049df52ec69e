"""The input of the fault tests: a realistic market with late arrivals, made worse."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count, islice
from random import Random

from scorer.demo.market import activities
from tests.integration.kafka import Record

START = datetime(1990, 1, 1, tzinfo=UTC)
"""Long ago, so that no activity is in the future."""

_REPEATED = 0.05


class Load:
    """An endless stream of records, a slice at a time. In addition to the market, many are repeated soon after, so that
    repeats occur in one batch and across a crash. Many are broken, because a batch that is processed twice shows best
    in its dead letters: the state of a lead ignores repeated events."""

    def __init__(self, random: Random, leads: int = 500, broken_every: int = 5) -> None:
        self._records = _worse(random, leads, broken_every)

    def take(self, count: int) -> list[Record]:
        """The next `count` records."""
        return list(islice(self._records, count))


def _worse(random: Random, leads: int, broken_every: int) -> Iterator[Record]:
    market = activities(random.randrange(1_000_000), leads, START)
    recent: deque[Record] = deque(maxlen=100)
    for number in count():
        if number % broken_every == 0:
            yield Record(b"L-%06d" % random.randrange(leads), b"broken %d" % number)
        elif recent and random.random() < _REPEATED:
            yield random.choice(recent)
        else:
            recent.append(Record(*next(market)))
            yield recent[-1]
