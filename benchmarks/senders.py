"""Streams of marketing platforms through the whole service: what an activity costs, against our own CloudEvents.

The same behaviour is written in three ways: as our CloudEvents in the input topic, as events of Segment in a topic of
its own, and as arrays of HubSpot in one. An activity of a platform is translated into the input and then scored from
there, like any other. So there are three costs, all in CPU time of the worker:

- `scored from the input`: the activities that translation makes are in the input already.
- `translated and scored`: the same, and the time of translation alone (`Source.outcomes`, in this process).
- `with re-keying`: the platform's topic through the whole service, which also reads that topic and writes the
  activities into the input, in a transaction. What it costs more than the second one is shown apart.

The runs take turns, on Apache Kafka. Each one begins with an empty broker and leads with a history.

    .venv/bin/python -m benchmarks.senders
    .venv/bin/python -m benchmarks.senders --events 1000000 --leads 50000 --rounds 3
    .venv/bin/python -m benchmarks.senders --translation    # only the time of translation, without a broker
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import cycle, islice
from typing import Any, Final

import msgspec
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.kafka import (
    DEAD,
    INPUT,
    KAFKA,
    QUIET,
    WorkerError,
    broker,
    committed_outputs,
    cores,
    fill,
    fill_changelog,
    sample_states,
    stay_with_broker,
)
from benchmarks.measuring import progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.runs import Committed, Run, wait_until_done, watch
from benchmarks.traffic import HEADERS, PARTITIONS, RULES, lead_name, partition_of, traffic
from benchmarks.worker import ours, wait_until_shared
from scorer.demo.broker import free_port
from scorer.domain.instant import MILLISECOND, from_datetime
from scorer.offline.source_files import load_source
from scorer.sources.cloudevents import parse_record
from scorer.sources.source import Outcome, Source

OWN, SEGMENT, HUBSPOT = "our own CloudEvents", "segment", "hubspot"
FOREIGN: Final = "bench.sender"
SCORED, BOTH, WHOLE = "scored from the input", "translated and scored", "with re-keying"
BOUND: Final = 1.3
_ARRAY: Final = 20
"""Events of a record of HubSpot, which sends up to 100."""
_FIRST: Final = 400
_MAX_BYTES: Final = 1 << 20
_MEASURED: Final = 20_000
"""Events whose translation is measured in a round, at most."""

Record = tuple[str, int, str | None, bytes, Any]
"""Topic, partition, key, value, headers."""
Event = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_AT_SEGMENT: Final = {
    "lead.email_opened": "Email Opened",
    "lead.email_clicked": "Email Link Clicked",
    "lead.form_submitted": "Form Submitted",
}
_PROPERTIES: Final = {
    "company": "company",
    "industry": "industry",
    "employees": "numemployees",
    "country": "country",
}
"""The property of a contact in HubSpot, by the key of a profile."""
_TOLD: Final = {"lead.page_viewed", "lead.profile_updated", *_AT_SEGMENT}
"""What both platforms can say: 92 of a hundred activities."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a run gets. `source`: None for activities in the input itself. `events`: how many activities come of it;
    `leads`: their ids."""

    source: str | None
    records: Sequence[Record]
    events: int
    leads: Sequence[str]


def behaviour(count: int, leads: int) -> Iterator[tuple[str, bytes]]:
    """This number of activities that all senders can say, each as (lead id, value)."""
    told = ((lead, value) for lead, value in traffic(2 * count, leads) if _decode(value)["type"] in _TOLD)
    return islice(told, count)


def segment(event: Event) -> dict[str, Any]:
    """The event as Segment passes on what its library in a browser sent: 18 or 19 keys and a context."""
    data, time_text = event["data"], event["time"]
    page = {
        "url": data.get("url", "https://www.example.com/"),
        "path": "/pricing",
        "referrer": data.get("referrer", ""),
        "search": "?utm_source=mail",
        "title": "Pricing",
    }
    sent = {
        "messageId": f"ajs-next-1741000000000-{event['id']}",
        "anonymousId": f"2f6c6d0e-9a3c-4a53-8d0c-{event['subject']}",
        "userId": event["subject"],
        "originalTimestamp": time_text,
        "sentAt": time_text,
        "receivedAt": time_text,
        "timestamp": time_text,
        "channel": "client",
        "context": {
            "ip": "192.0.2.17",
            "locale": "de-DE",
            "timezone": "Europe/Berlin",
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "page": page,
            "campaign": {"source": "newsletter", "medium": "email", "name": "spring"},
            "library": {"name": "analytics.js", "version": "npm:next-1.76.0"},
        },
        "integrations": {"All": True},
        "writeKey": "WRITE-KEY",
        "projectId": "2fqdmcRLXW",
        "version": 2,
        "_metadata": {"bundled": ["Segment.io"], "unbundled": [], "bundledIds": []},
    }
    match event["type"]:
        case "lead.page_viewed":
            return {**sent, "type": "page", "name": "Pricing", "category": "Site", "properties": page}
        case "lead.profile_updated":
            company = {"name": data["company"], "industry": data["industry"], "employee_count": data["employees"]}
            traits = {
                "email": f"{event['subject']}@example.com",
                "firstName": "Ada",
                "lastName": "Byron",
                "title": "Head of IT",
                "address": {"city": "Stuttgart", "country": data["country"]},
                "company": company,
            }
            return {**sent, "type": "identify", "traits": traits}
        case kind:
            properties = {
                "campaign_name": data.get("campaign"),
                "form_name": data.get("form"),
                "link_url": data.get("url"),
                "email_subject": "Plan the spring",
            }
            return {**sent, "type": "track", "event": _AT_SEGMENT[kind], "properties": properties}


def hubspot(event: Event) -> dict[str, Any]:
    """The event as a change of one property of a contact; of a profile, one of its keys."""
    data, number = event["data"], int(event["id"][1:])
    occurred = from_datetime(datetime.fromisoformat(event["time"])) // MILLISECOND
    match event["type"]:
        case "lead.page_viewed":
            name, value = "hs_analytics_last_url", data["url"]
        case "lead.form_submitted":
            name, value = "recent_conversion_event_name", data["form"]
        case "lead.profile_updated":
            key, name = list(_PROPERTIES.items())[number % len(_PROPERTIES)]
            value = str(data[key])
        case kind:
            name = "hs_email_last_open_date" if kind == "lead.email_opened" else "hs_email_last_click_date"
            value = str(occurred)
    return {
        "eventId": 1_400_000_000 + number,
        "subscriptionId": 2881001,
        "portalId": 44120077,
        "appId": 3300123,
        "occurredAt": occurred,
        "subscriptionType": "contact.propertyChange",
        "attemptNumber": 0,
        "objectId": _contact(event["subject"]),
        "propertyName": name,
        "propertyValue": value,
        "changeSource": "CRM_UI",
        "sourceId": "userId:7001",
    }


def _contact(lead_id: str) -> int:
    return 128_830_000_000 + int(lead_id.removeprefix("lead-"))


def of_segment(events: Sequence[tuple[str, bytes]]) -> list[Record]:
    """A record an event, keyed by the lead, so that its events stay in order."""
    return [(FOREIGN, partition_of(lead), lead, _encode(segment(_decode(value))), []) for lead, value in events]


def of_hubspot(events: Sequence[tuple[str, bytes]]) -> list[Record]:
    """Arrays without a key, on the partitions in turn."""
    made = [hubspot(_decode(value)) for _, value in events]
    arrays = [made[first : first + _ARRAY] for first in range(0, len(made), _ARRAY)]
    return [(FOREIGN, number % PARTITIONS, None, _encode(array), []) for number, array in enumerate(arrays)]


SENDERS: Final[Mapping[str, Callable[[Sequence[tuple[str, bytes]]], list[Record]]]] = {
    SEGMENT: of_segment,
    HUBSPOT: of_hubspot,
}


def streams(count: int, leads: int) -> dict[str, Stream]:
    """The streams by name: ours, each platform's, and the activities that come of it.

    Raises `SystemExit` if an event of a platform gives no activity, because then the behaviour is another one.
    """
    events = list(behaviour(count, leads))
    names = [lead_name(number) for number in range(leads)]
    own = [(INPUT, partition_of(lead), lead, value, HEADERS) for lead, value in events]
    found = {OWN: Stream(None, own, len(own), names)}
    for name, written in SENDERS.items():
        known = [f"hubspot:{_contact(lead)}" for lead in names] if name == HUBSPOT else names
        records, scored = written(events), []
        for outcome in translated(load_source(name, RULES), records):
            scored += [
                (INPUT, partition_of(one.lead_id), one.lead_id, one.value, HEADERS) for one in outcome.activities
            ]
        if len(scored) != count:
            raise SystemExit(f"{name}: {count:,} events give {len(scored):,} activities; expected as many")
        found[f"{name}, {SCORED}"] = Stream(None, scored, count, known)
        found[name] = Stream(name, records, count, known)
    return found


def translated(source: Source, records: Sequence[Record]) -> Iterator[Outcome]:
    """What comes of the events of these records."""
    now = time.time_ns() // 1_000
    for record in records:
        yield from source.outcomes(record[3], (), now, _MAX_BYTES)


class Drained:
    """Progress by the committed records of a topic, and one more if the input has nothing left."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic, self._input = Committed(bootstrap, topic=topic), Committed(bootstrap)

    def done(self) -> int:
        """The number."""
        # In this order: what is committed of the topic is in the input.
        done = self._topic.done()
        return done + self._input.reached_the_end()

    def close(self) -> None:
        """Disconnect."""
        self._topic.close()
        self._input.close()


def one_run(stream: Stream) -> Run:
    """The service alone on its core. It scores a few activities, is paused while the topic is filled, and is measured
    from then to its last commit. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    stay_with_broker()
    revision, states = sample_states()
    port, topic = free_port(), stream.records[0][0]
    size = len(stream.records) / stream.events
    first = round(_FIRST * size)
    with broker(broker_core, KAFKA) as running:
        bootstrap = running.bootstrap
        fill_changelog(bootstrap, zip(stream.leads, cycle(states), strict=False), revision)
        settings: dict[str, str] = {}
        if stream.source is not None:
            admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
            admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
            settings["sources"] = f"{topic}:{stream.source}"
        with ours(bootstrap, {worker_core}, http_port=str(port), **settings) as worker:
            wait_until_shared([port], [worker])
            with closing(Drained(bootstrap, topic)) as seen:
                before = fill(bootstrap, stream.records[:first])
                wait_until_done(seen, [worker], before + 1)
                worker.pause()
                total = before + fill(bootstrap, stream.records[first:])
                run = watch(seen, [worker], running.pid, before + 1, total + 1)
        if dead := committed_outputs(bootstrap, DEAD):
            raise WorkerError(f"{dead} of the activities were taken for broken")
    return replace(run, activities=stream.events - round(first / size))


def translation(stream: Stream) -> float:
    """CPU seconds of this process for the translation of an event of a platform, or for parsing one of ours."""
    if stream.source is None:
        some = stream.records[:_MEASURED]
        now = time.time_ns() // 1_000
        began = time.process_time()
        for _, _, key, value, headers in some:
            parse_record(value, str(key).encode(), headers, now)
        return (time.process_time() - began) / len(some)
    source = load_source(stream.source, RULES)
    some = stream.records[: max(1, _MEASURED * len(stream.records) // stream.events)]
    sum(1 for _ in translated(source, some[:100]))  # the lists of domains are read at the first one
    began = time.process_time()
    events = sum(1 for _ in translated(source, some))
    return (time.process_time() - began) / events


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--translation", action="store_true", help="only the time of translation, without a broker")
    options = parser.parse_args()
    shown = {"events": options.events, "leads": options.leads, "rounds": options.rounds}
    result = Result("senders", "Streams of marketing platforms, on Apache Kafka", "CPU an activity / ours", shown)
    all_streams = streams(options.events, options.leads)
    alone: dict[str, list[float]] = {name: [] for name in (OWN, *SENDERS)}
    runs: dict[str, list[float]] = {name: [] for name in all_streams}
    for number in range(options.rounds):
        for name in alone:
            alone[name].append(translation(all_streams[name]))
        for name, stream in all_streams.items() if not options.translation else ():
            try:
                run = one_run(stream)
            except WorkerError as error:
                raise SystemExit(f"{name}: {error}") from None
            runs[name].append(run.cpu)
            progress(f"  round {number + 1} of {options.rounds}  {name}: {run.cpu * 1e6:.0f} µs CPU")
    report_translation(result, alone)
    if options.translation:
        result.show()
        return
    result.figures.append(figure(OWN, runs[OWN], runs[OWN], "the worker"))
    for name in SENDERS:
        report(result, name, alone[name], runs)
    result.notes.append(
        "Every activity of a platform is translated and then scored from the input. Re-keying alone is what the whole "
        "service costs beyond that: reading the platform's topic, and writing the activities in transactions."
    )
    result.finish()


def report_translation(result: Result, alone: Mapping[str, Sequence[float]]) -> None:
    """The time of translation, against parsing an activity."""
    for name, seconds in alone.items():
        label = "parsing our own" if name == OWN else f"translating an event of {name}"
        result.figures.append(figure(label, seconds, alone[OWN], "without a broker (ratio: to parsing)"))


def report(result: Result, name: str, alone: Sequence[float], runs: Mapping[str, Sequence[float]]) -> None:
    """The three costs of an activity of a platform, and re-keying apart."""
    own, scored, whole = runs[OWN], runs[f"{name}, {SCORED}"], runs[name]
    both = [a + b for a, b in zip(scored, alone, strict=True)]
    rekeying = [a - b for a, b in zip(whole, both, strict=True)]
    costs = {SCORED: scored, BOTH: both, WHOLE: whole}
    result.figures += [figure(label, values, own, name) for label, values in costs.items()]
    result.figures.append(figure("re-keying alone", rekeying, own, name))
    result.targets += [
        Target(f"{name}, {label}: CPU of an activity / ours", BOUND, ratio(costs[label], own).median, at_least=False)
        for label in (SCORED, BOTH)
    ]


def figure(name: str, seconds: Sequence[float], own: Sequence[float], group: str) -> Figure:
    """A line of the table."""
    return Figure.of(name, 1e6 * statistics.median(seconds), "µs", ratio(seconds, own), group)


if __name__ == "__main__":
    main()
