"""What the kill loops count as lost, doubled and differing. It needs no broker."""

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from tests.faults.kill_loops import tally
from tests.faults.load import Load
from tests.faults.oracle import Output, expected


def committed() -> Output:
    """The output of a small input."""
    records = [
        SimpleNamespace(
            partition=0,
            offset=offset,
            timestamp=offset,
            timestamp_type=0,
            key=record.key,
            value=record.value,
            headers=record.headers,
        )
        for offset, record in enumerate(Load(Random(1), leads=20).take(300))
    ]
    return expected(cast(Any, records))


def busiest(output: Output) -> list[bytes]:
    """The decisions of the lead that has most of them."""
    return max(output.decisions.values(), key=len)


def with_other_bytes(output: Output) -> None:
    decisions = busiest(output)
    decisions[0] = decisions[0].replace(b":", b": ", 1)


FAULTS: Final[dict[str, tuple[Callable[[Output], object], tuple[int, int, int]]]] = {
    "nothing": (lambda output: None, (0, 0, 0)),
    "decision lost": (lambda output: busiest(output).pop(), (1, 0, 0)),
    "decision doubled": (lambda output: busiest(output).append(busiest(output)[-1]), (0, 1, 0)),
    "decision with other bytes": (with_other_bytes, (0, 0, 1)),
    "dead letter lost": (lambda output: output.letters.subtract([next(iter(output.letters))]), (1, 0, 0)),
    "dead letter doubled": (lambda output: output.letters.update([next(iter(output.letters))]), (0, 1, 0)),
    "state lost": (lambda output: output.states.popitem(), (0, 0, 1)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_kind_of_difference_is_counted_once(fault: str) -> None:
    wanted, got = committed(), committed()
    damage, counts = FAULTS[fault]
    damage(got)
    assert tally(wanted.decisions, wanted, got) == counts
