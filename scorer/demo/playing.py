"""Plays records into Kafka, at a steady rate or as fast as the service processes them."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from scorer.demo.market import HEADERS, Record
from scorer.demo.state import DemoState
from scorer.kafka.client_internals import record_size

MOST_AHEAD: Final = 20_000
"""How many activities may wait for the service; more would only fill the broker's memory."""

LARGEST: Final = 1_048_588
"""The largest batch in bytes, overhead included, that the embedded broker accepts: Kafka's `message.max.bytes`."""

_TICK: Final = 0.02  # seconds
_BURST: Final = 500


class _Subject(msgspec.Struct):
    subject: str


class _Profile(msgspec.Struct):
    class Data(msgspec.Struct):
        company: str | None = None

    subject: str
    data: Data


_subject = msgspec.json.Decoder(_Subject).decode
_profile = msgspec.json.Decoder(_Profile).decode


def file_records(path: Path, left_out: list[str]) -> Iterator[Record]:
    """The records of a JSON Lines file of activities, keyed by lead. Records too large for the broker are skipped and
    listed in `left_out`."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            value = line.strip()
            try:
                key = _subject(value).subject.encode()
            except (msgspec.DecodeError, UnicodeError):
                # Sent anyway: the service reports what is wrong with it.
                key = f"line-{number}".encode()
            # Checked here: after one refusal the broker accepts nothing more from an idempotent producer.
            if record_size(key, value, HEADERS) > LARGEST:
                left_out.append(f"{path}:{number}: too large for the embedded broker, not played")
                continue
            yield Record(key, value, HEADERS)


async def play(
    records: Iterator[Record], producer: AIOKafkaProducer, topic: str, rate: float, state: DemoState
) -> dict[TopicPartition, int]:
    """Send all records at `rate` a second; 0 means as fast as the service processes them. Returns the end offset of
    each partition. Raises aiokafka's error if a record cannot be delivered."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    ends: dict[TopicPartition, int] = {}
    behind = 0.0
    while True:
        due = _BURST if rate <= 0 else min(_BURST, int((loop.time() - began - behind) * rate) - state.sent)
        if state.sent - state.processed > MOST_AHEAD:
            paused = loop.time()
            await asyncio.sleep(_TICK)
            behind += loop.time() - paused  # so that no burst makes up for the pause
            continue
        burst = list(islice(records, max(0, due)))
        deliveries = []
        for record in burst:
            _learn_company(record, state)
            delivery = await producer.send(topic, record.value, key=record.key, headers=record.headers)
            deliveries.append(delivery)
        state.sent += len(burst)
        for sent in await asyncio.gather(*deliveries):
            ends[sent.topic_partition] = max(sent.offset + 1, ends.get(sent.topic_partition, 0))
        if due > 0 and len(burst) < due:
            return ends
        if rate > 0:
            await asyncio.sleep(_TICK)


def _learn_company(record: Record, state: DemoState) -> None:
    if b"profile_updated" not in record.value:
        return
    try:
        event = _profile(record.value)
    except msgspec.DecodeError:
        return
    if event.data.company:
        state.companies[event.subject] = event.data.company
