"""The capacity model of docs/capacity.md: the resources for a load, calculated from measured parts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.results import Result
from benchmarks.service import CPU, SINGLE
from benchmarks.traffic import HEADERS, RULES, histories, traffic
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.runtime.settings import Settings
from scorer.sources.cloudevents import parse_record
from scorer.state.codec import encode_lead
from scorer.stream.outbox import decision_message

LOADS = ((1_000, 1_000_000), (10_000, 10_000_000), (100_000, 100_000_000))
"""(activities a second, leads)."""
BUSY = 0.6
"""Share of a core that the usual load may use; the rest is for peaks, restoring and catching up."""
REPLICAS = 3
OVERHEAD = 60
"""Bytes of a record besides its value: key, headers, its share of the batch header. Those of decisions are counted."""
PROCESS = 120_000_000
"""Bytes of memory of a worker without leads."""
SCHEDULED = 102
"""Bytes of a lead's place in the schedule of reviews (`benchmarks.reviews`, a million leads)."""
DECODED = 7_100
"""Bytes of a decoded lead with its cached table results (tracemalloc, leads with 20 activities)."""
CORE_PRICE = 30
"""Assumed price of a core with 4 GB for a month, in the reader's currency."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Measured values. Sizes in bytes, times in seconds; `decisions` and `states` are shares of the activities."""

    cpu: float
    activity: float
    decision: float
    decisions: float
    state: float
    states: float
    memory: float
    restore: float

    @classmethod
    def of(cls, results: Iterable[Result]) -> "Parts":
        """From the results of `service` and `restore`. Raises `KeyError` if one is missing.

        The CPU is that of single activities if it was measured: at such loads a batch ends before a visit continues, so
        a lead is rarely in a batch twice.
        """
        by_part = {result.part: result for result in results}
        cpu = {f.name: f.absolute for f in by_part["service"].figures if f.group == CPU}
        restore = by_part["restore"].figures
        memory = [f.absolute for f in restore if f.name == "memory (RSS) of a lead"]
        rates = [f.absolute for f in restore if f.name == "restore"]
        return cls(cpu=cpu.get(SINGLE, cpu["ours"]) / 1e6, memory=memory[-1], restore=rates[-1], **sizes())


def sizes(count: int = 5_000, leads: int = 500) -> Mapping[str, float]:
    """Mean sizes of records and their number per activity, for the traffic that `service` measures.

    A state is written once for each batch of a partition. With many leads, a lead is rarely in a batch twice, so there
    are as many states as activities that change something.
    """
    evaluator = Evaluator(load_ruleset(RULES), default_engine())
    known = {lead.id: lead for lead in histories(leads, evaluator=evaluator)}
    values, decisions, states = 0, [], []
    for lead_id, value in traffic(count, leads):
        values += len(value) + OVERHEAD
        activity = parse_record(value, lead_id.encode(), HEADERS, 1 << 60)
        assessment = evaluator.assess(known[lead_id], activity)
        if assessment.lead is not known[lead_id]:
            states.append(len(encode_lead(assessment.lead)) + OVERHEAD)
        if assessment.decision is not None:
            message = decision_message(assessment.decision, Settings().routing_topic, "lead-scorer", 0)
            headers = sum(len(name) + len(header or b"") + 4 for name, header in message.headers)
            decisions.append(len(message.key or b"") + len(message.value or b"") + headers)
        known[lead_id] = assessment.lead
    return {
        "activity": values / count,
        "decision": sum(decisions) / len(decisions),
        "decisions": len(decisions) / count,
        "state": sum(states) / len(states),
        "states": len(states) / count,
    }


def workers(parts: Parts, rate: float) -> int:
    """Workers with one core each that are BUSY at this rate."""
    return max(2, math.ceil(rate * parts.cpu / BUSY))


def partitions(parts: Parts, rate: float) -> int:
    """Twice the workers, as a power of two. The number cannot be changed later without reading the input again."""
    return 1 << math.ceil(math.log2(2 * workers(parts, rate)))


def markdown(results: Sequence[Result]) -> str:
    """The measured parts and the model, as Markdown."""
    try:
        parts = Parts.of(results)
    except (KeyError, StopIteration):
        return "Run `python -m benchmarks.service` and `python -m benchmarks.restore` first.\n"
    measured = [
        ("CPU for an activity (`benchmarks.service`)", f"{parts.cpu * 1e6:.0f} µs"),
        ("an activity, with key and headers", f"{parts.activity:.0f} bytes"),
        ("a decision, with key and headers", f"{parts.decision:,.0f} bytes"),
        ("decisions for an activity", f"{parts.decisions:.2f}"),
        ("a state, with its key", f"{parts.state:.0f} bytes"),
        ("states written for an activity, at most", f"{parts.states:.2f}"),
        ("memory for a lead (`benchmarks.restore`, largest size)", f"{parts.memory:.0f} bytes"),
        ("restoring, one partition (`benchmarks.restore`)", f"{parts.restore:,.0f} leads/s"),
    ]
    lines = ["| Measured | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in measured), ""]
    columns = [modelled(parts, rate, leads) for rate, leads in LOADS]
    lines.append("| Model | " + " | ".join(f"{rate:,}/s, {leads // 10**6} M leads" for rate, leads in LOADS) + " |")
    lines.append("|---|" + "---:|" * len(LOADS))
    lines += [f"| {name} | " + " | ".join(column[name] for column in columns) + " |" for name in columns[0]]
    return "\n".join(lines) + "\n"


def modelled(parts: Parts, rate: float, leads: int) -> dict[str, str]:
    """A column of the table."""
    count, divided = workers(parts, rate), partitions(parts, rate)
    read = rate * parts.activity
    written = rate * (parts.decisions * parts.decision + parts.states * parts.state)
    kept = leads * parts.state * REPLICAS
    batch = Settings().max_records
    cached = min(Settings().cache_leads, leads / divided) * divided * DECODED
    memory = leads * (parts.memory + SCHEDULED) + cached
    return {
        "cores at full load": f"{rate * parts.cpu:.1f}",
        f"workers, a core each, {BUSY:.0%} busy": f"{count:,}",
        "partitions": f"{divided:,}",
        "most that one partition can take": f"{1 / parts.cpu:,.0f}/s",
        "memory of a worker": size(PROCESS + memory / count),
        "memory of all": size(count * PROCESS + memory),
        "a partition restored in": f"{leads / divided / parts.restore:,.0f} s",
        "a worker restored in": f"{leads / count / parts.restore:,.0f} s",
        "all lost for 10 minutes: caught up in": f"{600 * BUSY / (1 - BUSY) / 60:.0f} min",
        "read from Kafka": f"{size(read)}/s",
        "written to Kafka": f"{size(written)}/s",
        f"taken in by the brokers, {REPLICAS} replicas": f"{size(REPLICAS * (read + written))}/s",
        f"changelog on disk when compacted, {REPLICAS} replicas": size(kept),
        f"transactions, at full batches of {batch:,}": f"{rate / batch:,.1f}/s",
        f"workers' cost a month at {CORE_PRICE} a core": f"{count * CORE_PRICE:,}",
    }


def size(count: float) -> str:
    """Bytes, for people."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"
