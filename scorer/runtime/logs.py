"""Logging with structlog: one JSON object per line."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.types import EventDict, Processor

from scorer.domain.printable import printable


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
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("watchfiles").setLevel(max(logging.WARNING, root.level))
    # The Kafka client logs every join of the group; the service logs what matters itself.
    logging.getLogger("aiokafka").setLevel(root.level if level == "DEBUG" else max(logging.WARNING, root.level))


def _printable_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    # The renderer quotes all values but texts without a space. A stack is ours and has several lines.
    return {
        name: printable(value) if isinstance(value, str) and name != "stack" else value for name, value in event.items()
    }
