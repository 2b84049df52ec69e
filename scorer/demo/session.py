"""The demo from start to end: broker, topics, service, activities, view."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from scorer.demo.broker import BrokerError, EmbeddedBroker
from scorer.demo.errors import DemoError
from scorer.demo.folder import own_folder
from scorer.demo.market import Record, activities
from scorer.demo.playing import file_records, play
from scorer.demo.screen import Screen
from scorer.demo.service import ServiceProcess
from scorer.demo.state import DemoState, with_rules
from scorer.demo.watching import ACTIVITY, DEAD_LETTERS, GROUP, PARTITIONS, ROUTING, Watch
from scorer.domain.printable import counted

FOLDER: Final = ".scorer-demo"

_FRAME: Final = 0.25  # seconds
_SAMPLE: Final = 1.0
_STANDSTILL: Final = 60.0
_CLOSE: Final = 2.0
_BROKER_ENDED: Final = "the embedded broker ended; start the demo again"
_YEARS_BACK: Final = timedelta(days=2 * 365)
_EVENTS_A_LEAD: Final = 8
_MOST_LEADS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """What to play. `events` None: until it is stopped or the input ends. `rate`: activities a second; 0 means as
    fast as the service processes them. `leads` None: derived from the number of events."""

    rules: Path
    engine: str
    events: int | None = None
    input: Path | None = None
    seed: int = 7
    leads: int | None = None
    rate: float = 500.0

    def records(self, today: datetime, left_out: list[str]) -> Iterator[Record]:
        """The records to play; those that cannot be played go to `left_out`, one line each. The market's events end
        at the midnight before `today`, because the service rejects events from the future."""
        if self.input is not None:
            return islice(file_records(self.input, left_out), self.events)
        leads = self.leads
        if leads is None:
            leads = _MOST_LEADS if self.events is None else self.events // _EVENTS_A_LEAD
            leads = max(25, min(_MOST_LEADS, leads))
        midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
        return activities(self.seed, leads, midnight - _YEARS_BACK, until=midnight, events=self.events)


async def run_session(options: Options, state: DemoState, screen: Screen, folder: Path | None = None) -> None:
    """Play until everything is processed. No process and no file is left, not even after cancellation.

    Raises `DemoError` if it cannot continue. `folder`: the demo's own, absolute; None means ./.scorer-demo.
    """
    try:
        async with AsyncExitStack() as stack:
            place = stack.enter_context(own_folder(folder or Path.cwd() / FOLDER))
            stack.enter_context(screen)
            await _Session(options, state, screen, stack, place).run()
    except (BrokerError, KafkaError) as error:
        raise _explained(error) from error
    except ExceptionGroup as group:
        # The tasks of a session fail together; report the error that is meant for people.
        known, unknown = group.split((DemoError, KafkaError))
        if known is None or unknown is not None:
            raise
        raise _explained(_leaf(known)) from group


def _leaf(error: Exception) -> Exception:
    return _leaf(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


def _explained(error: Exception) -> DemoError:
    if isinstance(error, DemoError):
        return error
    return DemoError(str(error) if isinstance(error, BrokerError) else f"the broker failed: {error!r}")


@contextmanager
def _knowing(broker: EmbeddedBroker) -> Iterator[None]:
    """Report plainly that a client failed because the broker is gone."""
    try:
        yield
    except KafkaError as error:
        if broker.running:
            raise
        raise DemoError(_BROKER_ENDED) from error


async def _stop(producer: AIOKafkaProducer) -> None:
    # Records not yet delivered when the demo stops are not worth waiting for.
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE):
            await producer.stop()


async def _create_input(bootstrap: str) -> None:
    """The activities arrive at their own times, because the demo plays years in minutes."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        config = {"message.timestamp.type": "CreateTime"}
        await admin.create_topics([NewTopic(ACTIVITY, PARTITIONS, 1, topic_configs=config)])
    finally:
        await admin.close()


class _Session:
    def __init__(self, options: Options, state: DemoState, screen: Screen, stack: AsyncExitStack, folder: Path) -> None:
        self._options = options
        self._state = state
        self._screen = screen
        self._stack = stack
        self._folder = folder
        self._began = 0.0

    async def run(self) -> None:
        self._enter("starting the broker")
        broker = self._stack.enter_context(EmbeddedBroker(self._folder))
        watch = await self._stack.enter_async_context(Watch(broker.bootstrap, self._state))
        with _knowing(broker):
            await _create_input(broker.bootstrap)
        self._enter("starting the service")
        service = self._stack.enter_context(ServiceProcess(self._folder, self._settings(broker.bootstrap)))
        self._state.service = self._state.service._replace(
            url=service.url, leads=service.leads_url, broker=broker.bootstrap
        )
        await service.ready()
        producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap, enable_idempotence=True, linger_ms=5, max_request_size=1 << 24
        )
        await producer.start()
        self._stack.push_async_callback(_stop, producer)
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(self._show(broker, service)),
                group.create_task(self._follow(broker, watch)),
                group.create_task(self._follow_rules(service)),
            ]
            self._began = asyncio.get_running_loop().time()
            self._enter("playing")
            records = self._options.records(datetime.now(UTC), self._state.left_out)
            with _knowing(broker):
                ends = await play(records, producer, ACTIVITY, self._options.rate, self._state)
                self._enter("waiting for the rest")
                await self._processed(watch, service, ends)
            self._state.seconds = asyncio.get_running_loop().time() - self._began
            for helper in helpers:
                helper.cancel()
        await watch.take_in_rest()
        self._enter("done")

    def _settings(self, bootstrap: str) -> dict[str, str]:
        return {
            "BOOTSTRAP_SERVERS": bootstrap,
            "ACTIVITY_TOPIC": ACTIVITY,
            "ROUTING_TOPIC": ROUTING,
            "DEAD_LETTER_TOPIC": DEAD_LETTERS,
            "TICK_SECONDS": "0",  # the demo plays at a time of its own
            "GROUP": GROUP,
            "TOPIC_PARTITIONS": str(PARTITIONS),
            "CREATE_TOPICS": "true",
            "RULES": str(self._options.rules.absolute()),
            "ENGINE": self._options.engine,
            "LOG_FORMAT": "console",
            # Somebody may start a second worker. That one refuses to go on, and the demo must not end because of it.
            "UNFENCED": "allow",
            "SHUTDOWN_TIMEOUT_S": "5",
        }

    def _enter(self, phase: str) -> None:
        self._state.phase = phase
        self._screen.show(self._state)

    async def _show(self, broker: EmbeddedBroker, service: ServiceProcess) -> None:
        loop = asyncio.get_running_loop()
        sampled, before = loop.time(), self._state.processed
        while True:
            service.check()
            if not broker.running:  # the clients would wait forever
                raise DemoError(_BROKER_ENDED)
            self._state.seconds = loop.time() - self._began
            if (elapsed := loop.time() - sampled) >= _SAMPLE:
                self._state.rates.append((self._state.processed - before) / elapsed)
                sampled, before = loop.time(), self._state.processed
            self._screen.show(self._state)
            await asyncio.sleep(_FRAME)

    async def _follow(self, broker: EmbeddedBroker, watch: Watch) -> None:
        with _knowing(broker):
            await watch.follow()

    async def _follow_rules(self, service: ServiceProcess) -> None:
        """Show the rules in effect, and a refused reload."""
        while True:
            self._state.service = with_rules(self._state.service, await service.told())
            await asyncio.sleep(_SAMPLE)

    async def _processed(self, watch: Watch, service: ServiceProcess, ends: dict[TopicPartition, int]) -> None:
        loop = asyncio.get_running_loop()
        moved, before = loop.time(), -1
        while True:
            committed = await watch.committed()
            if all(committed.get(partition, 0) >= end for partition, end in ends.items()):
                return
            if self._state.processed != before:
                moved, before = loop.time(), self._state.processed
            elif loop.time() - moved > _STANDSTILL:
                left = self._state.sent - self._state.processed
                raise DemoError(
                    f"the service has processed nothing for {_STANDSTILL:.0f} s, {counted(left, 'activity')} waiting; "
                    f"{service.last_words()}"
                )
            await asyncio.sleep(0.05)
