"""The log for machines: one line of JSON for each event, whatever the values contain."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from scorer.runtime.logs import configure_logs

HOSTILE = 'x\n{"event":"rules_reloaded"}\r\x1b[2J\u2028\u202e\x00\udcff'


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    configure_logs("INFO", "json")
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(out := io.StringIO())
    yield out
    root.handlers[:], root.level = kept
    structlog.reset_defaults()


def test_no_value_ends_a_line_of_the_log(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    # Those of pytest would put it into the report, and a report with such text cannot be sent between processes.
    root = logging.getLogger()
    ours = [handler for handler in root.handlers if getattr(handler, "stream", None) is lines]
    monkeypatch.setattr(root, "handlers", ours)
    structlog.get_logger().info("told", lead=HOSTILE, **{HOSTILE: 1})
    logging.getLogger("client").warning("%s", HOSTILE)
    text = lines.getvalue()
    assert set(text) <= {*map(chr, range(32, 127)), "\n"}
    first, second = map(json.loads, text.splitlines())
    assert (first["event"], first["lead"], first[HOSTILE]) == ("told", HOSTILE, 1)
    assert second["event"] == HOSTILE
