"""The process whose instructions `test_assess_cost.py` counts: a fixed reference, then `assess` over fixed activities,
then the whole path of their records.

Its argument is a library with `start` and `stop`, which control the counter. Each pair of calls gives one count.
"""

import ctypes
import gc
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aiokafka import ConsumerRecord

from benchmarks.traffic import HEADERS, RULES, histories, traffic
from scorer.domain.activity import LeadActivity
from scorer.domain.instant import MILLISECOND
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.runtime.settings import Settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.sources.cloudevents import parse_record
from scorer.state.codec import encode_lead
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.jobs.key_figures import KeyFigures

LEADS = 30
ACTIVITIES = 150
"""Activities per count. The driver counts once and twice this number, so that the difference excludes fixed costs."""
REFERENCE = 1_000
BATCH = 25
"""Records that are processed together. An even number of batches makes `ACTIVITIES`."""


@dataclass(frozen=True, slots=True)
class _Point:
    x: int
    y: float
    name: str


def reference(count: int) -> None:
    """Work like that of `assess`. Its code never changes, so its cost is a stable unit."""
    names = {f"field.{number}": number for number in range(40)}
    keys = list(names)
    point = _Point(0, 0.0, "")
    for number in range(count):
        name = keys[number % 40]
        codes = tuple([names[key] for key in keys[:8]])
        point = replace(point, x=point.x + names.get(name, 0), y=point.y * 0.5 + codes[3], name=name)
        names = {**names, name: number}


def reviewed(
    leads: Mapping[str, Lead], activities: Sequence[LeadActivity], evaluator: Evaluator
) -> list[tuple[Lead, LeadActivity]]:
    """The lead before each activity as the reviews leave it in a running service: what time alone changes is done, and
    the next due instant is known."""
    states, pairs = dict(leads), []
    for activity in activities:
        lead = at_rest(states[activity.lead_id], activity.time, evaluator)
        pairs.append((lead, activity))
        states[lead.id] = evaluator.assess(lead, activity).lead
    return pairs


def at_rest(lead: Lead, now: int, evaluator: Evaluator) -> Lead:
    """The lead after its reviews that are due, with a bound after `now`."""
    lead = evaluator.catch_up(lead, now).lead
    if evaluator.due(lead) <= now:
        lead.due = evaluator.refine(lead, now).instant
    return lead


def fold(pairs: Sequence[tuple[Lead, LeadActivity]], evaluator: Evaluator, *, twice: bool = False) -> None:
    """Assess the activities. With `twice`, every other activity is assessed twice, which is 1.5 times the work."""
    for number, (lead, activity) in enumerate(pairs):
        if twice and number % 2:
            evaluator.assess(lead, activity)
        evaluator.assess(lead, activity)


def record(number: int, lead_id: str, value: bytes, arrival: int) -> "ConsumerRecord[bytes, bytes]":
    """An activity as the consumer returns it from a topic with LogAppendTime. `arrival`: microseconds."""
    key, stamp = lead_id.encode(), arrival // MILLISECOND
    return ConsumerRecord("lead.activity", 0, number, stamp, 1, key, value, None, len(key), len(value), HEADERS)


def handle(
    processor: BatchProcessor,
    evaluator: Evaluator,
    states: Mapping[str, bytes],
    records: "Sequence[ConsumerRecord[bytes, bytes]]",
    *,
    twice: bool = False,
) -> None:
    """Parse, assess and stage the records, encode the changed states, and keep the key figures. With `twice`, every
    other batch is processed twice, which is 1.5 times the work."""
    store = LeadStore()
    for lead_id, state in states.items():
        store.restore(lead_id, state)
    seconds = iter(range(1 << 30))
    figures = KeyFigures(lambda: evaluator, store, 0, TokenBucket(lambda: float(next(seconds))))
    while figures.remaining:
        figures.ready()
    for number in range(0, len(records), BATCH):
        batch = records[number : number + BATCH]
        if twice and number // BATCH % 2:
            processor.process(batch, store)
            store.discard()
        processor.process(batch, store)
        store.commit()


def main(library: str) -> None:
    """Count the reference, `assess`, slowed `assess`, the path of a record and that path slowed, each for a number of
    steps and for twice that number."""
    marks = ctypes.CDLL(library)
    evaluator = Evaluator(load_ruleset(RULES), default_engine("compiled"))
    leads = {lead.id: lead for lead in histories(LEADS, evaluator=evaluator, even=True)}
    later = 1_800_000_000_000_000
    values = list(traffic(2 * ACTIVITIES, LEADS, even=True))
    activities = [parse_record(value, lead_id.encode(), HEADERS, later) for lead_id, value in values]
    arrival = max(activity.time for activity in activities)
    records = [record(number, lead_id, value, arrival) for number, (lead_id, value) in enumerate(values)]
    processor = BatchProcessor(Settings(_env_file=None, group="g"), evaluator.assess, lambda: later)
    states = {lead.id: encode_lead(at_rest(lead, arrival, evaluator)) for lead in leads.values()}
    pairs = reviewed(leads, activities, evaluator)
    # Run once first, so that every answer is remembered: the counts are those of normal operation.
    fold(pairs, evaluator)
    handle(processor, evaluator, states, records)
    gc.collect()
    gc.disable()
    for count in (REFERENCE, 2 * REFERENCE):
        marks.start()
        reference(count)
        marks.stop()
    for twice in (False, True):
        for count in (ACTIVITIES, 2 * ACTIVITIES):
            marks.start()
            fold(pairs[:count], evaluator, twice=twice)
            marks.stop()
    for twice in (False, True):
        for count in (ACTIVITIES, 2 * ACTIVITIES):
            marks.start()
            handle(processor, evaluator, states, records[:count], twice=twice)
            marks.stop()


if __name__ == "__main__":
    main(sys.argv[1])
