"""Runs the service: it starts, serves, reloads or ends on signals, and stops in good order."""

import asyncio
import contextlib
import gc
import os
import platform
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import structlog
from aiokafka.errors import InvalidSessionTimeoutError, KafkaConnectionError, KafkaError

from scorer.kafka.access import require
from scorer.kafka.denied import DeniedError, denial_behind, refusal, sentence
from scorer.kafka.sign_in import SignInError, refused_because
from scorer.kafka.topics import TopicError, ensure_topics
from scorer.runtime.backoff import Backoff, pause_unless
from scorer.runtime.logs import configure_logs
from scorer.runtime.settings import Settings, SettingsError, is_loopback
from scorer.service.api_access import Access
from scorer.service.api_tls import TlsFilesError, tls_files
from scorer.service.api_tokens import TokenFileError
from scorer.service.compose import Service, build, lead_data, web
from scorer.service.listener import HttpError, HttpServer, bind
from scorer.service.waiting import KafkaWait

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_CONFIGURATION: Final = 2

_WATCH_SECONDS: Final = 0.5
_TROUBLE_SECONDS: Final = 5.0
_SLOW_SECONDS: Final = 3.0

log = structlog.get_logger()


async def run_service(settings: Settings, *, stop: asyncio.Event | None = None) -> int:
    """Run until SIGTERM, SIGINT or `stop`; returns the exit status.

    After the first signal it commits the current transactions and leaves the group. The second one ends the process at
    once. SIGHUP reloads the rules. Raises what `build` raises.
    """
    context: dict[str, object] = {}
    configure_logs(settings.log_level, settings.log_format, context)
    service = build(settings, context)
    # The objects that are loaded now live to the end. To look at them again, which a reload causes, would take the
    # garbage collector a tenth of a second, in which nothing else runs.
    gc.collect()
    gc.freeze()
    log.info(
        "ruleset_loaded",
        ruleset=service.ruleset.name,
        engine=service.rules.evaluator.engine_name,
        location=str(settings.rules),
    )
    if settings.engine is None and service.rules.evaluator.engine_name != "durable":
        log.warning("durable_rules_not_available", serving="compiled", python=platform.python_version())
    stop = stop or asyncio.Event()
    with _signals(stop, lambda: service.reload("SIGHUP")):
        try:
            listeners = _listeners(service)
        except (HttpError, TokenFileError, TlsFilesError) as error:
            log.error("http_failed", error=str(error))
            return EXIT_CONFIGURATION
        servers = [server for _, server in listeners]
        https = [asyncio.create_task(server.serve(sockets=[sock])) for sock, server in listeners]
        reloading = asyncio.create_task(_reload(service))
        try:
            return await _serve(service, stop)
        finally:
            if service.spans is not None:
                service.spans.close()
            reloading.cancel()
            await asyncio.wait([reloading], timeout=3.0)
            for server in servers:
                server.should_exit = True
            await asyncio.wait(https, timeout=3.0)
            for sock, _ in listeners:
                sock.close()


def _listeners(service: Service) -> list[tuple[socket.socket, HttpServer]]:
    """Sockets and servers: an open one for health and metrics, and one for lead data if the settings name its port.
    Raises `HttpError`, `TokenFileError` and `TlsFilesError`."""
    settings = service.settings
    sock = bind(settings.http_host, settings.http_port)
    listeners = [(sock, HttpServer(web(service)))]
    _announce("http_listening", sock)
    if settings.api_port is not None:
        try:
            listeners.append(_lead_data(service, settings.api_port))
        except Exception:
            sock.close()
            raise
    return listeners


def _lead_data(service: Service, port: int) -> tuple[socket.socket, HttpServer]:
    settings = service.settings
    access, tls = Access(settings), tls_files(settings)
    sock = bind(settings.api_host, port, "SCORER_API_HOST, SCORER_API_PORT")
    address = sock.getsockname()[0]
    if not access.schemes and not is_loopback(address):
        # A name such as localhost may lead anywhere.
        sock.close()
        raise HttpError(f"SCORER_API_HOST is {settings.api_host!r}, which is {address} here; expected 127.0.0.1")
    if tls is None and not is_loopback(address):
        log.warning("api_without_tls", why="tokens and leads cross the network readable; set SCORER_API_TLS_CERT_FILE")
    app = lead_data(service, access)
    server = HttpServer(app, contexts=None if tls is None else tls.current)
    _announce("api_listening", sock, "http" if tls is None else "https", admits=list(access.schemes) or ["loopback"])
    return sock, server


def _announce(event: str, sock: socket.socket, scheme: str = "http", **more: object) -> None:
    address, port = sock.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    log.info(event, address=f"{scheme}://{shown}:{port}", host=address, port=port, **more)


def run(settings: Settings) -> int:
    """`run_service` in an event loop of its own."""
    # uvloop does not work: writing to a connection that was just reset raises RuntimeError there, which kills aiokafka.
    return asyncio.run(run_service(settings))


async def _serve(service: Service, stop: asyncio.Event) -> int:
    failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    service.partitions.failure = failure
    try:
        return await _join_and_work(service, stop, failure)
    finally:
        await service.committer.stop()


async def _join_and_work(service: Service, stop: asyncio.Event, failure: "asyncio.Future[BaseException]") -> int:
    settings = service.settings
    wait = KafkaWait(settings, time.monotonic)
    try:
        with wait.quiet_client():
            if not await _start(service, stop, wait):
                return EXIT_OK
    except TopicError as error:
        log.error("topics_wrong", error=str(error))
        return EXIT_CONFIGURATION
    except SignInError as error:
        log.error("kafka_refuses_login", error=str(error))
        return EXIT_FAILED
    except DeniedError as error:
        log.error("kafka_denies_access", error=str(error))
        return EXIT_FAILED
    except (KafkaError, OSError) as error:
        wait.gave_up(error)
        return EXIT_FAILED
    watch = asyncio.create_task(_watch(service, failure))
    access = asyncio.create_task(service.access.run())
    stopping = asyncio.create_task(stop.wait())
    companies = [] if service.company_topic is None else [asyncio.create_task(service.company_topic.run())]
    ends: list[asyncio.Future[Any]] = [failure, stopping, watch, access, *companies]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    # A worker that nobody watches could stand still unnoticed, and so could the profiles of companies.
    tasks = (watch, access, *companies)
    unwatched = next((task.exception() for task in tasks if task.done() and task.exception()), None)
    if unwatched is not None:
        log.error("watch_failed", error=repr(unwatched), exc_info=unwatched)
    for task in (*tasks, stopping):
        task.cancel()
    failed = failure.done() or unwatched is not None
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
    """Follow the rules and the mappings on disk. This also loads the shadow rules, because the service must run without
    them if they are wrong."""
    shadow = service.reloaders[1:]
    try:
        if service.settings.reload == "off":
            await asyncio.gather(*(reloader.reload() for reloader in shadow))
            return
        for reloader in shadow:
            reloader.request("start")
        await asyncio.gather(*(reloader.run() for reloader in service.watching))
    except Exception as error:  # the rules in effect stay
        log.error("reload_ended", error=repr(error), exc_info=error)


async def _start(service: Service, stop: asyncio.Event, wait: KafkaWait) -> bool:
    """Join the group, waiting for Kafka as long as the settings say. False if it was stopped meanwhile.

    Raises `SignInError` and `DeniedError` at once, because trying again does not help.
    """
    deadline = time.monotonic() + service.settings.startup_timeout_s
    backoff = Backoff(0.2, 5.0)
    while not stop.is_set():
        try:
            slow = asyncio.get_running_loop().call_later(_SLOW_SECONDS, wait.slow)
            try:
                await _require_access(service)
                service.limits.know(await ensure_topics(service.settings))
            finally:
                slow.cancel()
            service.partitions.attach(lambda: service.subscription.consumer)
            await service.committer.start()
            if not await _join(service, stop):
                break
        except InvalidSessionTimeoutError:
            await service.subscription.stop()
            setting = f"SCORER_SESSION_TIMEOUT_MS={service.settings.session_timeout_ms}"
            limits = "group.min.session.timeout.ms and group.max.session.timeout.ms (6000 and 1800000 by default)"
            raise SettingsError(f"{setting}: the brokers refuse it; they accept values between {limits}") from None
        except DeniedError:
            raise
        except (KafkaError, OSError) as error:
            await service.subscription.stop()
            await _raise_if_final(service.settings, error)
            pause = backoff.failed()
            if time.monotonic() + pause > deadline:
                raise
            wait.failed(error)
            await pause_unless(stop, pause)
        else:
            return True
    return False


async def _require_access(service: Service) -> None:
    """Raise `DeniedError` if something is denied that the service needs, and `KafkaError`."""
    settings = service.settings
    wanted = await require(settings)
    service.access.know(wanted)
    if wanted:
        log.warning("access_incomplete", error=sentence(settings, wanted))


async def _raise_if_final(settings: Settings, error: Exception) -> None:
    """Raise `SignInError` or `DeniedError` if this is why an attempt failed."""
    denial = denial_behind(error)
    if denial is not None:
        # The check saw nothing, so the permission was taken away since, or the broker does not tell.
        with contextlib.suppress(OSError):
            await require(settings)
        raise DeniedError(settings, [], refusal(settings, denial)) from error
    if not isinstance(error, KafkaConnectionError | OSError):
        return
    reason = await refused_because(settings)
    if reason is not None:
        raise SignInError(reason) from error


async def _join(service: Service, stop: asyncio.Event) -> bool:
    """Join the group, which takes until its members agree. False if it was stopped meanwhile."""
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
    """Notice a dead background task, which FastStream and aiokafka do not report."""
    since: float | None = None
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        service.partitions.measure()
        trouble = service.subscription.trouble
        # FastStream restarts its task now and then, so only a lasting end is trouble.
        since = None if trouble is None else (since or time.monotonic())
        if trouble is not None and since is not None and time.monotonic() - since > _TROUBLE_SECONDS:
            service.trouble = trouble
            if not failure.done():
                failure.set_result(RuntimeError(trouble))
            return


@contextlib.contextmanager
def _signals(stop: asyncio.Event, reload: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            # Nothing more is committed. The next owner continues from the last committed offset.
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
