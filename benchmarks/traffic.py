"""Activities as a marketing system sends them: mostly page views and mail, some answers and profiles; CloudEvents in
structured mode, 300 to 400 bytes each. The same seed gives the same traffic. Every lead has a history of activities
before the measured traffic begins, so the traffic is about known leads.

Leads act in episodes (see `episodes`), and those of many leads overlap. `even` gives single activities instead, each of
a random lead at any time, in the same mix: then a lead is rarely in a batch twice.
"""

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count as numbers
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from aiokafka.partitioner import murmur2

from benchmarks.episodes import MEAN_LENGTH, Step, episode, single
from scorer.domain.instant import DAY, SECOND, from_datetime, to_text
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.cloudevents import parse_record

RULES = Path(__file__).parents[1] / "rules" / "b2b"
PARTITIONS = 4
HISTORY = 20
"""Activities of a lead before the traffic begins."""
HEADERS = [("content-type", b"application/cloudevents+json")]

_START = from_datetime(datetime(2025, 3, 3, tzinfo=UTC))
HISTORY_DAYS = 60
_TRAFFIC_DAYS = 14
_SAMPLE = 1_000

_encode = msgspec.json.Encoder().encode


def lead_name(number: int) -> str:
    """The id of a lead."""
    return f"lead-{number:08}"


def partition_of(lead_id: str, partitions: int = PARTITIONS) -> int:
    """The partition of a lead: of its activities, and of its state. Clients of Kafka choose the same by default, and so
    does the service where it writes activities itself."""
    digest: int = murmur2(lead_id.encode()) & 0x7FFFFFFF
    return digest % partitions


def encoded(name: str, lead_id: str, time: int, kind: str, data: dict[str, Any]) -> bytes:
    """An activity as the value of its record. `time` in microseconds since the epoch."""
    return _encode(
        {
            "specversion": "1.0",
            "id": name,
            "source": "https://marketing.example.com/automation",
            "type": kind,
            "time": to_text(time),
            "subject": lead_id,
            "datacontenttype": "application/json",
            "data": data,
        }
    )


def traffic(count: int, leads: int, seed: int = 1, *, even: bool = False) -> Iterator[tuple[str, bytes]]:
    """That many activities over two weeks, in order of time, each as (lead id, value). Random leads act in episodes, or
    with `even` at any time."""
    random = Random(seed)
    start = _START + HISTORY_DAYS * DAY
    made = _singles(random, count, leads) if even else _interleaved(random, count, leads)
    for number, (after, lead, kind, data) in zip(range(count), made, strict=False):
        lead_id = lead_name(lead)
        yield lead_id, encoded(f"t{number:09}", lead_id, start + after, kind, data)


_Made = tuple[int, int, str, dict[str, Any]]
"""Microseconds after the start, lead, type, data."""


def _singles(random: Random, count: int, leads: int) -> Iterator[_Made]:
    step = _TRAFFIC_DAYS * DAY // count
    for number in range(count):
        yield number * step, random.randrange(leads), *single(random)


def _interleaved(random: Random, count: int, leads: int) -> Iterator[_Made]:
    """Episodes that begin at random (Poisson), at a rate at which `count` activities take two weeks. Endless."""
    every = _TRAFFIC_DAYS * DAY / count * MEAN_LENGTH
    waiting: list[tuple[int, int, int, str, dict[str, Any]]] = []
    order = numbers()
    begins = 0.0
    while True:
        begins += random.expovariate(1 / every)
        while waiting and waiting[0][0] < begins:
            after, _, lead, kind, data = heapq.heappop(waiting)
            yield after, lead, kind, data
        lead = random.randrange(leads)
        for after, kind, data in episode(random):
            heapq.heappush(waiting, (int(begins) + after, next(order), lead, kind, data))


def histories(
    sample: int = _SAMPLE,
    seed: int = 2,
    evaluator: Evaluator | None = None,
    *,
    even: bool = False,
    start: int = _START,
) -> list[Lead]:
    """Leads with a history of HISTORY_DAYS from `start` (microseconds since the epoch). To get a large number of leads,
    use these repeatedly."""
    evaluator = evaluator or Evaluator(load_ruleset(RULES), default_engine())
    leads = []
    for number in range(sample):
        random = Random(f"{seed}-{number}")
        lead_id = lead_name(number)
        lead = Lead(lead_id)
        past = _single_past(random) if even else _past(random)
        for index, (after, kind, data) in enumerate(past):
            value = encoded(f"h{number}-{index}", lead_id, start + after, kind, data)
            activity = parse_record(value, lead_id.encode(), HEADERS, start + after)
            lead = evaluator.assess(lead, activity).lead
        leads.append(lead)
    return leads


def past(leads: int, seed: int = 3) -> Iterator[tuple[str, bytes]]:
    """The activities of such histories, each as (lead id, value), lead by lead: for those who start without states."""
    for number in range(leads):
        random = Random(f"{seed}-{number}")
        lead_id = lead_name(number)
        for index, (after, kind, data) in enumerate(_past(random)):
            yield lead_id, encoded(f"p{number}-{index}", lead_id, _START + after, kind, data)


def _single_past(random: Random) -> Iterator[Step]:
    times = sorted(random.randrange(HISTORY_DAYS * 86_400) for _ in range(HISTORY))
    for seconds in times:
        yield seconds * SECOND, *single(random)


def _past(random: Random) -> list[Step]:
    """HISTORY activities, in as many episodes as needed; the last one may be cut."""
    steps: list[Step] = []
    while len(steps) < HISTORY:
        begins = random.randrange(HISTORY_DAYS * 86_400 - 7_200) * SECOND
        steps += [(begins + after, kind, data) for after, kind, data in episode(random)]
    return sorted(steps[:HISTORY], key=lambda step: step[0])
