"""Input that goes on arriving, whatever the brokers do."""

import asyncio
import contextlib
import threading
import time
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.faults.load import Load
from tests.faults.sizes import DRAIN_SECONDS
from tests.integration.kafka import Kafka

_SLICES_PER_SECOND: Final = 10


class Writer:
    """Writes `rate` records a second from a thread of its own until `stop`, or until `most` have arrived.

    What an outage keeps from arriving is not repeated: the tests compare with what the input topic has.
    """

    def __init__(self, kafka: Kafka, topic: str, load: Load, rate: int, most: int | None = None) -> None:
        self._kafka = kafka
        self._topic = topic
        self._load = load
        self._slice = max(1, rate // _SLICES_PER_SECOND)
        self._most = most
        self._stopping = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer")
        self.written = 0
        """Records that have arrived."""

    @property
    def done(self) -> bool:
        """Whether `most` records have arrived."""
        return self._most is not None and self.written >= self._most

    def await_more(self, count: int) -> None:
        """Return once `count` more records have arrived than now, or all of them."""
        wanted = self.written + count
        deadline = time.monotonic() + DRAIN_SECONDS
        while self.written < wanted and self._thread.is_alive():
            assert time.monotonic() < deadline, f"{self.written} of {wanted} records written within {DRAIN_SECONDS} s"
            time.sleep(0.05)

    def finish(self) -> int:
        """Wait until `most` records have arrived, and return how many they are."""
        assert self._most is not None
        self._thread.join()
        return self.stop()

    def stop(self) -> int:
        """Write no more, and return how many have arrived."""
        self._stopping.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed
        return self.written

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._write())
        except BaseException as error:  # noqa: BLE001 (raised by `stop`)
            self._failed = error

    async def _write(self) -> None:
        while not self._stopping.is_set() and not self.done:
            # After an error a producer may refuse everything: a new one goes on.
            with contextlib.suppress(KafkaError, TimeoutError):
                await self._write_with_one_producer()
            await asyncio.sleep(0.1)

    async def _write_with_one_producer(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka.bootstrap, acks="all", request_timeout_ms=10_000, max_request_size=1 << 24
        )
        await producer.start()
        try:
            while not self._stopping.is_set() and not self.done:
                records = self._load.take(self._slice)
                sent = [
                    await producer.send(self._topic, record.value, key=record.key, headers=list(record.headers))
                    for record in records
                ]
                await asyncio.gather(*sent)
                self.written += len(sent)
                await asyncio.sleep(1 / _SLICES_PER_SECOND)
        finally:
            # Without brokers it waits for what it could not deliver.
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(5.0):
                    await producer.stop()
