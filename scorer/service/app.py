"""The composition root: settings and rules in, a running service out."""

import asyncio
import contextlib
import gc
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from aiokafka.errors import InvalidSessionTimeoutError, KafkaError

from scorer.domain.activity import LeadActivity
from scorer.domain.instant import to_text
from scorer.domain.lead import Lead
from scorer.engines.engine import MemoEngine, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.kafka.client_internals import tolerate_header_names
from scorer.kafka.topics import TopicError, ensure_topics
from scorer.offline.ruleset_files import load_ruleset
from scorer.rules.ruleset import Ruleset
from scorer.runtime.backoff import Backoff, pause_unless
from scorer.runtime.logs import configure_logs
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings, SettingsError
from scorer.runtime.token_bucket import TokenBucket
from scorer.service.http import HttpError, HttpServer, bind, build_asgi
from scorer.service.lead_explanations import LeadStories
from scorer.service.reload import Reload, Reloader, ruleset_fingerprint
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.jobs.job import Job
from scorer.stream.jobs.rescore import Rescorer, Sweep
from scorer.stream.partitions import Partitions
from scorer.stream.shadow import Shadow
from scorer.stream.subscriber import Subscription
from scorer.stream.worker import WorkerContext

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_CONFIGURATION: Final = 2

_WATCH_SECONDS: Final = 0.5
_TROUBLE_SECONDS: Final = 5.0

log = structlog.get_logger()


@dataclass(slots=True)
class LiveRules:
    """The rules in force, since when (seconds since the epoch), and how the last reload went."""

    evaluator: Evaluator
    loaded_at: float
    last_reload: Reload | None = None

    @property
    def ruleset(self) -> Ruleset:
        """The rules in force."""
        return self.evaluator.ruleset

    def details(self) -> Mapping[str, object]:
        """For people."""
        last = None if self.last_reload is None else self.last_reload.details()
        loaded_at = to_text(round(self.loaded_at) * 1_000_000)
        return {"revision": self.ruleset.revision, "loaded_at": loaded_at, "last_reload": last}


@dataclass(slots=True)
class Service:
    """The parts of the service, put together but not started."""

    settings: Settings
    rules: LiveRules
    reloaders: tuple[Reloader, ...]
    metrics: Metrics
    partitions: Partitions
    subscription: Subscription
    trouble: str | None = None

    def live(self) -> tuple[bool, Mapping[str, object]]:
        """False where only a restart helps."""
        if self.trouble is not None:
            return False, {"status": "dead", "reason": self.trouble}
        return True, {"status": "live"}

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """False while activities are not being processed."""
        ready, details = self.partitions.ready()
        rules = {"name": self.ruleset.name, "revision": self.ruleset.revision}
        return ready and self.trouble is None, {**details, "ruleset": rules, "rules": self.rules.details()}

    @property
    def ruleset(self) -> Ruleset:
        """The rules in force."""
        return self.rules.ruleset

    def reload(self, why: str) -> None:
        """Look whether the rules changed, and take them if they are fine."""
        if self.settings.reload == "off":
            log.warning("reload_is_off", why=why)
            return
        for reloader in self.reloaders:
            reloader.request(why)


def build(settings: Settings, context: dict[str, object] | None = None) -> Service:
    """Load the rules and wire everything. `context`: gets the `revision` in force, now and after every reload. Raises
    `RulesetError`, `SettingsError` or `EngineUnavailableError`."""
    tolerate_header_names()
    engine = default_engine(settings.engine)
    known = ruleset_fingerprint(settings.rules)
    live = LiveRules(Evaluator(load_ruleset(settings.rules), engine), time.time())
    metrics = Metrics()
    metrics.rules_loaded(True, live.loaded_at)

    def judge(lead: Lead, activity: LeadActivity) -> Assessment:
        return live.evaluator.assess(lead, activity)

    def announce() -> None:
        ruleset = live.ruleset
        metrics.ruleset(ruleset.name, ruleset.revision, live.evaluator.engine_name)
        if context is not None:
            context["revision"] = ruleset.revision[:12]

    def adopt(evaluator: Evaluator) -> None:
        live.evaluator, live.loaded_at = evaluator, time.time()
        announce()
        partitions.rules_changed()

    def report(done: Reload) -> None:
        live.last_reload = done
        metrics.reloaded(done.outcome, done.at)

    shadow = None if settings.shadow_rules is None else Shadow(settings)
    processor = BatchProcessor(settings, judge, _microseconds, shadow)
    pace = TokenBucket(time.monotonic)
    rescorer = Rescorer(settings, lambda: live.evaluator, _microseconds, pace, time.monotonic)

    def jobs(store: LeadStore, partition: int) -> list[Job]:
        return [Sweep(rescorer, store, partition)]

    partitions = Partitions(WorkerContext(settings, processor, metrics, jobs, lambda: live.evaluator))
    reloaders = [Reloader("rules", settings.rules, engine, settings.engine, lambda: live.ruleset, adopt, report, known)]
    if shadow is not None and settings.shadow_rules is not None:
        reloaders.append(_shadow_reloader(settings, settings.shadow_rules, engine, shadow, metrics))
    announce()
    return Service(settings, live, tuple(reloaders), metrics, partitions, Subscription(settings, partitions))


def _shadow_reloader(
    settings: Settings, location: Path, engine: MemoEngine, shadow: Shadow, metrics: Metrics
) -> Reloader:
    def adopt(evaluator: Evaluator) -> None:
        shadow.use(evaluator)
        ruleset = evaluator.ruleset
        metrics.shadow(ruleset.name, ruleset.revision)

    def report(done: Reload) -> None:
        metrics.shadow_loaded(done.outcome != "refused")

    known = ruleset_fingerprint(location)
    return Reloader("shadow_rules", location, engine, settings.engine, lambda: shadow.ruleset, adopt, report, known)


async def run_service(settings: Settings, *, stop: asyncio.Event | None = None) -> int:
    """Run until SIGTERM, SIGINT or `stop`; returns the exit status.

    The first signal commits what is in flight and leaves the group, the second ends the process at once. SIGHUP reloads
    the rules. Raises what `build` raises.
    """
    context: dict[str, object] = {}
    configure_logs(settings.log_level, settings.log_format, context)
    service = build(settings, context)
    # What is loaded now stays to the end. The collector need not look at it again: that would take it a tenth of a
    # second, in which nothing else happens, and a reload makes it look.
    gc.collect()
    gc.freeze()
    log.info("ruleset_loaded", ruleset=service.ruleset.name, engine=service.rules.evaluator.engine_name)
    if settings.engine is None and service.rules.evaluator.engine_name != "durable":
        log.warning("durable_rules_not_available", serving="compiled", python=platform.python_version())
    stop = stop or asyncio.Event()
    with _signals(stop, lambda: service.reload("SIGHUP")):
        try:
            sock = bind(settings.http_host, settings.http_port)
        except HttpError as error:
            log.error("http_failed", error=str(error))
            return EXIT_CONFIGURATION
        server = HttpServer(
            build_asgi(service.metrics, service, LeadStories(service.partitions, lambda: service.ruleset))
        )
        http = asyncio.create_task(server.serve(sockets=[sock]))
        address, port = sock.getsockname()[:2]
        log.info("http_listening", address=f"http://{address}:{port}", host=address, port=port)
        reloading = asyncio.create_task(_reload(service))
        try:
            return await _serve(service, stop)
        finally:
            reloading.cancel()
            await asyncio.wait([reloading], timeout=3.0)
            server.should_exit = True
            await asyncio.wait([http], timeout=3.0)
            sock.close()


def run(settings: Settings) -> int:
    """`run_service` in an event loop of its own."""
    # Not on uvloop: writing to a connection that was just reset raises RuntimeError there, and aiokafka dies of it.
    return asyncio.run(run_service(settings))


async def _serve(service: Service, stop: asyncio.Event) -> int:
    settings = service.settings
    failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    service.partitions.failure = failure
    try:
        if not await _start(service, stop):
            return EXIT_OK
    except TopicError as error:
        log.error("topics_wrong", error=str(error))
        return EXIT_CONFIGURATION
    except (KafkaError, OSError) as error:
        log.error(
            "kafka_unreachable",
            error=f"{error!r} (SCORER_BOOTSTRAP_SERVERS={settings.bootstrap_servers})",
            seconds=settings.startup_timeout_s,
        )
        return EXIT_FAILED
    watch = asyncio.create_task(_watch(service, failure))
    stopping = asyncio.create_task(stop.wait())
    ends: list[asyncio.Future[Any]] = [failure, stopping]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    watch.cancel()
    stopping.cancel()
    failed = failure.done()
    log.info("stopping", failed=failed)
    drained = await service.partitions.drain(settings.shutdown_timeout_s)
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(settings.shutdown_timeout_s):
            await service.subscription.stop()
    if not drained:
        log.error("not_drained", seconds=settings.shutdown_timeout_s)
    log.info("stopped", failed=failed)
    return EXIT_FAILED if failed or not drained else EXIT_OK


async def _reload(service: Service) -> None:
    """Follow the rules on disk. The shadow rules are loaded here in the first place: where they are wrong, the service
    goes on without them."""
    shadow = service.reloaders[1:]
    try:
        if service.settings.reload == "off":
            await asyncio.gather(*(reloader.reload() for reloader in shadow))
            return
        for reloader in shadow:
            reloader.request("start")
        await asyncio.gather(*(reloader.run() for reloader in service.reloaders))
    except Exception as error:  # the rules in force stay so
        log.error("reload_ended", error=repr(error), exc_info=error)


async def _start(service: Service, stop: asyncio.Event) -> bool:
    """Join the group, waiting for Kafka as long as the settings say. False where it was stopped before."""
    deadline = time.monotonic() + service.settings.startup_timeout_s
    backoff = Backoff(0.2, 5.0)
    while not stop.is_set():
        try:
            await ensure_topics(service.settings)
            service.partitions.attach(lambda: service.subscription.consumer)
            if not await _join(service, stop):
                break
        except InvalidSessionTimeoutError:
            await service.subscription.stop()
            given = f"SCORER_SESSION_TIMEOUT_MS={service.settings.session_timeout_ms}"
            limits = "group.min.session.timeout.ms and group.max.session.timeout.ms (6000 and 1800000 by default)"
            raise SettingsError(f"{given}: the brokers refuse it; they accept what lies between {limits}") from None
        except (KafkaError, OSError) as error:
            await service.subscription.stop()
            pause = backoff.failed()
            if time.monotonic() + pause > deadline:
                raise
            log.warning("kafka_not_yet", error=repr(error), servers=service.settings.bootstrap_servers)
            await pause_unless(stop, pause)
        else:
            return True
    return False


async def _join(service: Service, stop: asyncio.Event) -> bool:
    """Join the group; that takes as long as the group takes to agree. False where it was stopped meanwhile."""
    joining = asyncio.create_task(service.subscription.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([joining, stopping], return_when=asyncio.FIRST_COMPLETED)
        if joining.done():
            joining.result()
            return True
        return False
    finally:
        stopping.cancel()
        if not joining.done():
            joining.cancel()
            await asyncio.wait([joining], timeout=1.0)
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(service.settings.shutdown_timeout_s):
                    await service.subscription.stop()


async def _watch(service: Service, failure: "asyncio.Future[BaseException]") -> None:
    """Notice what FastStream and aiokafka keep to themselves: a dead background task."""
    since: float | None = None
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        service.partitions.measure()
        found = service.subscription.trouble
        # FastStream restarts its task now and then: only what lasts is trouble.
        since = None if found is None else (since or time.monotonic())
        if found is not None and since is not None and time.monotonic() - since > _TROUBLE_SECONDS:
            service.trouble = found
            if not failure.done():
                failure.set_result(RuntimeError(found))
            return


@contextlib.contextmanager
def _signals(stop: asyncio.Event, reload: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            # What is not committed stays so: the next owner takes it from the last committed offset.
            log.warning("stopped_at_once", signal=signal.Signals(number).name)
            os._exit(128 + number)
        log.info("signal", signal=signal.Signals(number).name)
        stop.set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for number in (*numbers, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _microseconds() -> int:
    return time.time_ns() // 1000
