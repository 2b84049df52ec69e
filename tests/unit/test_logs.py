"""The log does not grow with what clients do."""

import logging
from collections.abc import Iterator

import pytest

from scorer.runtime.logs import Sparse, configure_logs

NAMES = ("", "asyncio", "uvicorn", "uvicorn.error", "watchfiles", "aiokafka")
"""The loggers that are configured."""


@pytest.fixture
def unchanged() -> Iterator[None]:
    """The loggers are afterwards what they were before."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger.level, logger.handlers[:], logger.filters[:]) for logger in loggers]
    yield
    for logger, (level, handlers, filters) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:], logger.filters[:] = handlers, filters


def record() -> logging.LogRecord:
    return logging.LogRecord("asyncio", logging.ERROR, "", 0, "no %s", ("descriptors",), None)


def test_few_lines_pass_and_the_next_one_says_how_many_did_not() -> None:
    now = [0.0]
    sparse = Sparse(lambda: now[0])
    assert sum(sparse.filter(record()) for _ in range(1000)) == 10
    now[0] += 10.0
    later = record()
    assert sparse.filter(later)
    assert later.getMessage() == "no descriptors (990 lines of asyncio left out before)"
    assert not sparse.filter(record())


@pytest.mark.parametrize("name", ["asyncio", "uvicorn.error"])
@pytest.mark.usefixtures("unchanged")
def test_clients_do_not_fill_the_log_of_a_service(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO", "json")
    for _ in range(1_000):
        logging.getLogger(name).error("no %s", "descriptors")
    lines = capsys.readouterr().err.splitlines()
    assert 0 < len(lines) < 100
    assert all("no descriptors" in line for line in lines)
