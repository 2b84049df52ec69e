"""The log does not grow with what clients do."""

import logging

from scorer.runtime.logs import Sparse


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
