"""A TCP proxy between a worker and its brokers that can refuse, hang, and reset at a chosen step of the Kafka protocol.

Brokers tell their clients where to connect. The proxy puts its own addresses there, frame by frame, so that it works
with any broker that speaks plain text.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from aiokafka.admin import AIOKafkaAdminClient

from tests.integration.kafka import DEADLINE, Kafka

T = TypeVar("T")
Address = tuple[str, int]
Direction = Literal["request", "response"]

HOST: Final = "127.0.0.1"
PRODUCE: Final = 0
ADD_PARTITIONS: Final = 24
ADD_OFFSETS: Final = 25
END_TRANSACTION: Final = 26
OFFSET_COMMIT: Final = 28


class Proxy:
    """Use it as a context manager; everything it does runs on a thread of its own."""

    def __init__(self, kafka: Kafka) -> None:
        self._target = kafka.bootstrap
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._ports: dict[Address, int] = {}
        self._servers: dict[Address, asyncio.Server] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._released = asyncio.Event()
        self._held_step: int | None = None
        self._reset_step: tuple[int, Direction] | None = None
        self.held: Counter[int] = Counter()
        """How many requests of a kind wait at `hold`."""
        self.resets = 0
        """How often `reset_at` took effect."""

    @property
    def kafka(self) -> Kafka:
        """The brokers, reached through the proxy."""
        first = next(iter(self._ports.values()))
        return Kafka(f"{HOST}:{first}")

    def hold(self, step: int) -> None:
        """Hold requests of that API key until `release`; everything else passes."""
        self._do(self._set, "_held_step", step)

    def release(self) -> None:
        """Pass the held requests, and hold no more."""
        self._do(self._release)

    def hang(self) -> None:
        """Keep connections and accept new ones, but pass nothing until `heal`."""
        self._do(self._flowing.clear)

    def refuse(self) -> None:
        """Reset all connections and refuse new ones until `heal`."""
        self._await(self._refuse())

    def heal(self) -> None:
        """Pass everything again."""
        self._await(self._listen())
        self._do(self._flowing.set)

    def reset_at(self, step: int, direction: Direction) -> None:
        """Reset all connections once: when the next request of that API key arrives (it never reaches the broker), or
        when its response arrives (it never reaches the client)."""
        self._do(self._set, "_reset_step", (step, direction))

    def wait(self, happened: Callable[[], bool]) -> None:
        """Return once the condition is true; fail after a while."""
        deadline = time.monotonic() + DEADLINE
        while not happened():
            assert time.monotonic() < deadline, f"not within {DEADLINE} s: held {self.held}, resets {self.resets}"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        self._await(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._await(self._end())
        self._do(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, function: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def _set(self, name: str, value: object) -> None:
        setattr(self, name, value)

    def _release(self) -> None:
        self._held_step = None
        self._released.set()
        self._released = asyncio.Event()

    async def _start(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._target)
        await admin.start()
        try:
            brokers = (await admin.describe_cluster())["brokers"]
        finally:
            await admin.close()
        self._ports = {(broker["host"], broker["port"]): 0 for broker in brokers}
        await self._listen()
        self._flowing.set()

    async def _listen(self) -> None:
        for address, port in self._ports.items():
            if address in self._servers:
                continue

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: Address = address
            ) -> None:
                await self._serve(reader, writer, address)

            server = await asyncio.start_server(serve, HOST, port)
            self._servers[address] = server
            self._ports[address] = server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        self._reset()

    async def _end(self) -> None:
        await self._refuse()
        self._release()
        self._flowing.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _reset(self) -> None:
        for writer in self._writers:
            connection = writer.get_extra_info("socket")
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: Address) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            source, upstream = await asyncio.open_connection(*address)
            self._writers.add(upstream)
            steps: dict[int, int] = {}
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(reader, upstream, steps))
                both.create_task(self._responses(source, writer, steps))
        except* (OSError, EOFError):
            pass  # one side is gone, which ends the other
        finally:
            for end in (writer, upstream):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
            self._tasks.discard(task)

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, steps: dict[int, int]
    ) -> None:
        while True:
            frame = await _frame(reader)
            step, _, correlation = struct.unpack_from(">hhi", frame)
            steps[correlation] = step
            if step == self._held_step:
                self.held[step] += 1
                await self._released.wait()
                self.held[step] -= 1
            await self._pass(frame, writer, step, "request")

    async def _responses(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, steps: dict[int, int]
    ) -> None:
        while True:
            frame = await _frame(reader)
            (correlation,) = struct.unpack_from(">i", frame)
            await self._pass(self._readdressed(frame), writer, steps.pop(correlation, -1), "response")

    async def _pass(self, frame: bytes, writer: asyncio.StreamWriter, step: int, direction: Direction) -> None:
        await self._flowing.wait()
        if self._reset_step == (step, direction):
            self._reset_step = None
            self.resets += 1
            self._reset()
            return
        writer.write(struct.pack(">i", len(frame)) + frame)
        await writer.drain()

    def _readdressed(self, frame: bytes) -> bytes:
        for (host, port), own in self._ports.items():
            frame = frame.replace(_written(host, port), _written(HOST, own))
        return frame


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(length)


def _written(host: str, port: int) -> bytes:
    return struct.pack(">h", len(host)) + host.encode() + struct.pack(">i", port)
