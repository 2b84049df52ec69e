"""What stays hand-made for speed, each piece beside the plain form of the same.

    .venv/bin/python -m benchmarks.hand_made [--rounds 15]

The ratio is the time of the plain form divided by that of ours. Both give the same answers, which is checked first.
"""

import argparse
import functools
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as PlainHistogram

from benchmarks.measuring import progress, ratio, take_turns
from benchmarks.results import Figure, Result
from benchmarks.traffic import HEADERS, RULES, histories, traffic
from scorer.domain.activity import LeadActivity, path_of, validate_data
from scorer.domain.counts import event_digest
from scorer.domain.decision import RoutingDecision
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.engines.cache import BoundedCache
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.signal_points import SignalPoints, signal_points
from scorer.offline.ruleset_files import load_ruleset
from scorer.runtime.metrics import ASSESS_BUCKETS, Histogram
from scorer.sources.attributes import is_type
from scorer.sources.cloudevents import parse_record

FAR = 1 << 60
Work = Callable[[int], None]


class Pair(NamedTuple):
    """Our form and the plain one."""

    name: str
    ours: Work
    plain: Work


@dataclass(frozen=True)
class _FrozenActivity:
    id: str
    source: str
    type: str
    time: int
    lead_id: str
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _FrozenLead:
    id: str
    clock: int
    facts: object
    counted: object
    erased_at: int | None = None
    published: object = None
    rules_at_return: tuple[str, ...] = ()
    notes: object = field(default=None, compare=False, repr=False)


def _over(items: Iterable[Any], call: Callable[[Any], object]) -> Work:
    known = list(items)

    def work(count: int) -> None:
        for number in range(count):
            call(known[number % len(known)])

    return work


def _plain_path(url: str) -> str:
    return urlsplit(url).path or "/"


def _plain_json(decision: RoutingDecision) -> bytes:
    parts = msgspec.structs.replace(decision, contributions=list(decision.contributions))
    return parts.to_json()


def pairs() -> list[Pair]:
    """Every hand-made piece with its plain form."""
    evaluator = Evaluator(load_ruleset(RULES), default_engine("compiled"))
    leads = histories(60, evaluator=evaluator, even=True)
    known = {lead.id: lead for lead in leads}
    records = list(traffic(600, 60, even=True))
    activities = [parse_record(value, lead_id.encode(), HEADERS, FAR) for lead_id, value in records]
    assessments = [evaluator.assess(known[activity.lead_id], activity) for activity in activities]
    decisions = [assessment.decision for assessment in assessments if assessment.decision is not None]
    urls = [str(activity.data["url"]) for activity in activities if "url" in activity.data]
    payloads = [(activity.type, dict(activity.data)) for activity in activities]
    parts = [msgspec.structs.astuple(activity) for activity in activities]
    lead_parts = [(lead.id, lead.clock, lead.facts, lead.counted) for lead in leads]
    signals = evaluator.ruleset.signals
    today = max(lead.clock for lead in leads) // DAY
    counted = [
        (table := SignalPoints(signals[name]), signals[name], counts, table.worth(counts, today))
        for lead in leads
        for name, counts in lead.counted.items()
        if name in signals
    ]
    batches = [[1e-5 * (number + offset) for number in range(500)] for offset in range(20)]
    ours_histogram = Histogram("ours", "Ours.", ASSESS_BUCKETS, CollectorRegistry())
    plain_histogram = PlainHistogram("plain", "Plain.", buckets=ASSESS_BUCKETS, registry=CollectorRegistry())
    bounded, least_recent = BoundedCache[int, int](4_096), functools.lru_cache(4_096)(lambda number: number)
    for number in range(1_000):
        bounded.keep(number, number)
        least_recent(number)

    def observe_each(values: list[float]) -> None:
        for value in values:
            plain_histogram.observe(value)

    for activity in activities:
        assert _plain_digest(activity) == event_digest(activity)
    for decision in decisions:
        assert _plain_json(decision) == decision.to_json()
    for points, signal, counts, yesterday in counted:
        assert points.worth(counts, today + 1, yesterday)[1] == signal_points(signal, counts, today + 1)
    values = [(value, lead_id.encode()) for lead_id, value in records]
    types = [activity.type for activity in activities]
    plain_type = is_type.__wrapped__
    return [
        Pair(
            "event: msgspec, pydantic in doubt",
            _over(values, lambda record: parse_record(record[0], record[1], HEADERS, FAR)),
            _over(
                zip(values, payloads, strict=True),
                lambda pair: (msgspec.json.decode(pair[0][0]), validate_data(*pair[1])),
            ),
        ),
        Pair("path of a page: cached", _over(urls, path_of), _over(urls, _plain_path)),
        Pair("activity type: cached", _over(types, is_type), _over(types, plain_type)),
        Pair(
            "activity: struct, not dataclass",
            _over(parts, lambda part: LeadActivity(*part)),
            _over(parts, lambda part: _FrozenActivity(*part)),
        ),
        Pair(
            "lead: dataclass not frozen",
            _over(lead_parts, lambda part: Lead(*part)),
            _over(lead_parts, lambda part: _FrozenLead(*part)),
        ),
        Pair(
            "digest: copied, not new",
            _over(activities, event_digest),
            _over(activities, _plain_digest),
        ),
        Pair(
            "signal: law of decay, not formula",
            _over(counted, lambda item: item[0].worth(item[2], today + 1, item[3])),
            _over(counted, lambda item: signal_points(item[1], item[2], today + 1)),
        ),
        Pair(
            "decision: JSON from templates",
            _over(decisions, lambda decision: decision.to_json()),
            _over(assessments_again(evaluator, known, activities), lambda again: again()),
        ),
        Pair(
            "cache: dict, not lru_cache",
            _over(range(1_000), bounded.get),
            _over(range(1_000), least_recent),
        ),
        Pair(
            "histogram: 500 values at once",
            _over(batches, ours_histogram.observe),
            _over(batches, observe_each),
        ),
    ]


def _plain_digest(activity: LeadActivity) -> bytes:
    from hashlib import blake2b

    return blake2b(f"{activity.source}\n{activity.id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def assessments_again(
    evaluator: Evaluator, known: Mapping[str, Lead], activities: Iterable[LeadActivity]
) -> list[Callable[[], bytes]]:
    """For each decision: write it from its list of contributions."""
    works: list[Callable[[], bytes]] = []
    for activity in activities:
        assessment = evaluator.assess(known[activity.lead_id], activity)
        if assessment.decision is not None and assessment.evaluation is not None:
            works.append(partial(_explained, evaluator, assessment.evaluation, assessment.decision))
    return works


def _explained(evaluator: Evaluator, evaluation: Any, decision: RoutingDecision) -> bytes:
    return msgspec.structs.replace(decision, contributions=evaluator.explain(evaluation)).to_json()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    result = Result("hand_made", "What is hand-made for speed", "plain form / ours", vars(options))
    for pair in pairs():
        progress(pair.name)
        times = take_turns({"ours": pair.ours, "plain": pair.plain}, rounds=options.rounds, seconds=0.05)
        against = ratio(times["plain"], times["ours"])
        figure = Figure.of(pair.name, 1e6 * statistics.median(times["ours"]), "µs", against)
        result.figures.append(figure)
    result.finish()


if __name__ == "__main__":
    main()
