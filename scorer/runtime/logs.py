"""Logging with structlog: one JSON object per line."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from structlog.types import EventDict, Processor

from scorer.domain.printable import counted, printable
from scorer.runtime.token_bucket import TokenBucket

_BURST: Final = 10
_SECONDS_A_LINE: Final = 10.0
_EXPORTERS: Final = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)
"""They log each attempt while a collector does not answer."""


class Sparse(logging.Filter):
    """Lets few lines through: ten at once, then one every ten seconds, which says how many were left out.

    Clients of the HTTP server decide how often some lines are logged, so the log must not grow with them.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._bucket = TokenBucket(monotonic, (_BURST - 1) * _SECONDS_A_LINE)
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged."""
        if not self._bucket.take(_SECONDS_A_LINE):
            self._left_out += 1
            return False
        if self._left_out:
            record.msg = f"{record.getMessage()} ({counted(self._left_out, 'line')} of {record.name} left out before)"
            record.args = ()
            self._left_out = 0
        return True


def configure_logs(level: str, form: str, context: Mapping[str, object] | None = None) -> None:
    """Send our logs and those of the libraries to stderr. `form` is `json` or `console`. `context` is added to every
    line, with its values at that moment."""

    def with_context(_logger: Any, _method: str, event: EventDict) -> EventDict:
        return {**(context or {}), **event}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        with_context,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor]
    if form == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last = [_printable_values, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("asyncio", "uvicorn.error", *_EXPORTERS):
        logging.getLogger(name).filters[:] = [Sparse()]
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("watchfiles").setLevel(max(logging.WARNING, root.level))
    # The Kafka client logs every join of the group; the service logs what matters itself.
    # Below INFO its lines contain records, passwords and tokens.
    logging.getLogger("aiokafka").setLevel(logging.INFO if level == "DEBUG" else max(logging.WARNING, root.level))


def _printable_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    # The renderer quotes all values but texts without a space. A stack and a traceback have several lines; those that
    # come as text are ours.
    return {
        name: printable(value) if isinstance(value, str) and name not in ("stack", "exception") else value
        for name, value in event.items()
    }
