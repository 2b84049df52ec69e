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


def test_no_value_ends_a_line_of_the_log(lines: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    structlog.get_logger().info("told", lead=HOSTILE, **{HOSTILE: 1})
    logging.getLogger("client").warning("%s", HOSTILE)
    # The test report would keep it, and a report with such text cannot be sent between processes.
    caplog.clear()
    text = lines.getvalue()
    assert set(text) <= {*map(chr, range(32, 127)), "\n"}
    first, second = map(json.loads, text.splitlines())
    assert (first["event"], first["lead"], first[HOSTILE]) == ("told", HOSTILE, 1)
    assert second["event"] == HOSTILE
