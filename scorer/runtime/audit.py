"""The audit log: who changed what, and who looked at a lead. A stream of JSON lines apart from the log."""

import json
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from scorer.runtime.episode import Episode, Stage
from scorer.runtime.settings import Settings, SettingsError, variable

EVENTS: Final = frozenset(
    {
        "lead_read",
        *("rules_in_effect", "rules_change_refused", "mappings_in_effect", "mappings_change_refused"),
        *("replay_started", "replay_ended", "purge_started", "purge_ended"),
        *("offsets_reset_started", "offsets_reset_ended"),
    }
)
"""The names of all events. docs/operations.md explains them."""

_LONGEST_TEXT: Final = 256
_MOST_ITEMS: Final = 200
_DEEPEST: Final = 4
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK

log = structlog.get_logger()


class AuditError(Exception):
    """A line could not be written. What it would have recorded must not happen, if there is still a choice."""


class Audit:
    """Appends one line for each event to `SCORER_AUDIT_FILE`, or to stderr without that setting.

    Each line has the time in UTC, `"log": "audit"`, the service, its instance, group and host, and the fields of the
    event. The lines of several processes may go into one file. A file that was renamed or removed is created again.
    `failed` is called for each line that could not be written. Raises `SettingsError` if the file cannot be opened.
    """

    def __init__(
        self,
        settings: Settings,
        failed: Callable[[], None] = lambda: None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = settings.audit_file
        self._failed = failed
        self._now = now
        self._common = {
            "service": "lead-scorer",
            "instance": settings.instance,
            "group": settings.group,
            "host": socket.gethostname(),
        }
        self._lock = threading.Lock()
        self._file: _File | None = None
        self._failing = Episode()
        if self._path is not None:
            try:
                self._file = _File(self._path)
            except OSError as error:
                raise SettingsError(
                    f"{variable('audit_file')} is {str(self._path)!r}, which cannot be written: {_why(error)}"
                ) from None

    def write(self, event: str, **fields: object) -> None:
        """Append the line of an event. Long texts and lists are cut; characters outside ASCII become escapes.

        Raises `AuditError` if it could not be written, and `ValueError` for an event or a field that does not fit.
        """
        if event not in EVENTS:
            raise ValueError(f"{event} is no event of the audit log")
        line = self._line(event, fields)
        try:
            with self._lock:
                if self._file is None:
                    _to_stderr(line)
                else:
                    self._file.append(line)
        except (OSError, ValueError, AttributeError) as error:
            self._failed()
            if self._failing.see(True, time.monotonic()) is not None:
                log.error("audit_failed", file=self._place, audit_event=event, error=_why(error))
            raise AuditError(f"the audit log ({self._place}) cannot be written: {_why(error)}") from error
        if self._failing.see(False, time.monotonic()) is Stage.ENDS:
            log.info("audit_works_again", file=self._place)

    def close(self) -> None:
        """Close the file, if there is one."""
        with self._lock:
            if self._file is not None:
                self._file.close()

    @property
    def _place(self) -> str:
        return "stderr" if self._path is None else str(self._path)

    def _line(self, event: str, fields: Mapping[str, object]) -> str:
        time_ = self._now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"time": time_, "log": "audit", "event": event, **self._common}
        clash = head.keys() & fields.keys()
        if clash:
            raise ValueError(f"every line of the audit log has {', '.join(sorted(clash))} already")
        # Only ASCII: no character of a name can break the line, control a terminal or change the writing direction.
        return json.dumps({**head, **{name: _safe(value) for name, value in fields.items()}}, allow_nan=False)


class _File:
    """A file that is appended to, one write for each line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._torn = False
        self._open()

    def append(self, line: str) -> None:
        """Raises `OSError`, also if only a part was written."""
        if self._descriptor < 0 or self._replaced():
            self.close()
            self._open()
        # What was cut off in the middle of a line gets its end, so that this line can be read.
        data = (("\n" if self._torn else "") + line + "\n").encode("ascii")
        written = os.write(self._descriptor, data)
        if written == len(data):
            self._torn = False
        elif written:
            self._torn = data[written - 1 : written] != b"\n"
            raise OSError(f"only {written} of {len(data)} bytes were written")

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        # Not blocking: a pipe without a reader, or with one that has stopped, is an error and no end of everything.
        # Leads may be named in it, so it is for its owner only.
        self._descriptor = os.open(self._path, _FLAGS, 0o600)
        self._torn = _ends_inside_a_line(self._path)

    def _replaced(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def _ends_inside_a_line(path: Path) -> bool:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # it may be written and not read
        return False


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _safe(value: object, depth: int = 0) -> object:
    """A value that JSON has, of a limited size."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case Mapping() if depth < _DEEPEST:
            items = list(value.items())
            cut = {"…": f"{len(items) - _MOST_ITEMS} more"} if len(items) > _MOST_ITEMS else {}
            return {str(_safe(str(name))): _safe(each, depth + 1) for name, each in items[:_MOST_ITEMS]} | cut
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            items = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
            more = [f"… {len(items) - _MOST_ITEMS} more"] if len(items) > _MOST_ITEMS else []
            return [*(_safe(each, depth + 1) for each in items[:_MOST_ITEMS]), *more]
        case _:
            text = str(value)
            return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
