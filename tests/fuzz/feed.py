"""Writes records into the input in many forms of batches, and notes where each record is."""

import asyncio
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from random import Random
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from tests.fuzz.events import BROKEN_NAME
from tests.fuzz.records import LARGEST, FuzzRecord

_COMPRESSIONS: Final = (None, "gzip", "snappy", "lz4", "zstd")
_BATCH_BYTES: Final = 2_000_000
_BATCH_RECORDS: Final = (1, 10, 100, 400)
_YEAR_9999: Final = 253_402_300_799_000
_ROOM: Final = 1 << 20
_CRC: Final = slice(17, 21)
_BROKEN_BYTES: Final = b"\xff\xfe" * 5 + b"\xc0"


class Fed(NamedTuple):
    """A record that is visible in the input, and its place. `headers`: as a consumer reads them."""

    partition: int
    offset: int
    record: FuzzRecord
    headers: Sequence[tuple[str, bytes | None]]


class Feeder:
    """Writes to one topic. Every batch has another form: compression, timestamps, transaction.

    Records with equal keys are on one partition, in order. Aborted transactions lie between them.
    """

    def __init__(self, bootstrap: str, topic: str, partitions: int, random: Random) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._partitions = partitions
        self._random = random
        self._producers: dict[str | None, AIOKafkaProducer] = {}
        self._transactions = 0
        self.fed: list[Fed] = []
        self.ends = dict.fromkeys(range(partitions), 0)
        """The offset after the last visible record, by partition."""

    async def __aenter__(self) -> Self:
        for compression in _COMPRESSIONS:
            self._producers[compression] = await self._producer(compression_type=compression)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for producer in self._producers.values():
            await producer.stop()

    async def _producer(self, **settings: Any) -> AIOKafkaProducer:
        size = LARGEST + _ROOM
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, max_request_size=size, max_batch_size=size, **settings
        )
        await producer.start()
        return producer

    async def write(self, records: Sequence[FuzzRecord]) -> None:
        """Write the records. They are in the input when this returns."""
        by_partition: dict[int, list[FuzzRecord]] = defaultdict(list)
        for record in records:
            by_partition[zlib.crc32(record.key or b"") % self._partitions].append(record)
        await asyncio.gather(*(self._write(partition, part) for partition, part in by_partition.items()))

    async def _write(self, partition: int, records: Sequence[FuzzRecord]) -> None:
        for batch in self._batches(records):
            chance = self._random.random()
            if chance < 0.02:
                await self._transact(partition, batch, commit=False)
            if chance > 0.97:
                await self._transact(partition, batch, commit=True)
            else:
                compression = self._random.choice(_COMPRESSIONS)
                producer = self._producers[compression]
                sent = await self._send(producer, partition, batch, can_break=compression is None)
                self._note(partition, batch, *sent)

    def _batches(self, records: Sequence[FuzzRecord]) -> Iterator[Sequence[FuzzRecord]]:
        batch: list[FuzzRecord] = []
        size, count = 0, self._random.choice(_BATCH_RECORDS)
        for record in records:
            length = len(record.value or b"")
            if batch and (len(batch) == count or size + length > _BATCH_BYTES):
                yield batch
                batch, size, count = [], 0, self._random.choice(_BATCH_RECORDS)
            batch.append(record)
            size += length
        if batch:
            yield batch

    async def _transact(self, partition: int, batch: Sequence[FuzzRecord], *, commit: bool) -> None:
        """One transaction of a producer of its own. (A reader of noida-db may skip what a producer commits after it has
        aborted.)"""
        self._transactions += 1
        producer = await self._producer(transactional_id=f"{self._topic}-{self._transactions}")
        try:
            await producer.begin_transaction()
            offset, broken = await self._send(producer, partition, batch)
            if commit:
                await producer.commit_transaction()
                self._note(partition, batch, offset, broken)
            else:
                await producer.abort_transaction()
        finally:
            await producer.stop()

    async def _send(
        self, producer: AIOKafkaProducer, partition: int, records: Sequence[FuzzRecord], *, can_break: bool = False
    ) -> tuple[int, bool]:
        """The offset of the first record, and whether header names are broken. `can_break`: the batch is neither
        compressed nor in a transaction."""
        builder = producer.create_batch()
        timestamp = self._random.choice((None, None, None, 0, 1, _YEAR_9999))
        for record in records:
            added = builder.append(
                key=record.key, value=record.value, timestamp=timestamp, headers=list(record.headers)
            )
            assert added is not None, "the batch is full"
        broken = can_break and any(name == BROKEN_NAME for record in records for name, _ in record.headers)
        if broken:
            # The clients refuse such a name, so it is put into the finished batch.
            builder.close()
            raw = bytearray(bytes(builder._build()).replace(BROKEN_NAME.encode(), _BROKEN_BYTES))
            raw[_CRC] = struct.pack(">I", calc_crc32c(bytes(raw[21:])))
            builder._build = lambda: raw
        metadata = await (await producer.send_batch(builder, self._topic, partition=partition))
        return metadata.offset, broken

    def _note(self, partition: int, batch: Sequence[FuzzRecord], offset: int, broken: bool) -> None:
        for number, record in enumerate(batch):
            headers = record.headers
            if broken:
                read = _BROKEN_BYTES.decode(errors="backslashreplace")
                headers = [(read if name == BROKEN_NAME else name, value) for name, value in headers]
            self.fed.append(Fed(partition, offset + number, record, headers))
        self.ends[partition] = offset + len(batch)
