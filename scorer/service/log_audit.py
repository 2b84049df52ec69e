"""A record of reads in the log."""

import structlog

log = structlog.get_logger()


class LogAudit:
    """Writes to the log who has read what."""

    def write(self, event: str, **fields: object) -> None:
        """Record an event."""
        log.info(event, **fields)
