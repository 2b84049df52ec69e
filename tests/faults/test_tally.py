"""What the kill loops count as lost, doubled and differing. It needs no broker."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from scorer.domain.decision import read_decision
from scorer.domain.instant import MINUTE, SECOND
from tests.factory import ruleset_folder
from tests.faults.kill_loops import tally
from tests.faults.load import Load
from tests.faults.oracle import Output, expected
from tests.faults.promises import escalation_differences, plans_of
from tests.faults.test_promises import OFFICE, RULES, year


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


def test_an_escalation_that_is_missing_doubled_or_at_another_instant_is_found(tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", RULES)
    records = cast(
        Any,
        [
            SimpleNamespace(
                partition=0,
                offset=offset,
                timestamp=at // 1000,
                timestamp_type=1,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
            for offset, (at, record) in enumerate(year(Random(3), 3))
        ],
    )
    said = expected(records, rules=rules).decisions
    plans, reached = plans_of(rules, OFFICE), {0: records[-1].timestamp * 1000 // SECOND * SECOND}

    def problems(decisions: dict[str, list[bytes]]) -> list[str]:
        found, count = escalation_differences(records, decisions, plans, reached, 5 * MINUTE)
        assert count > 5
        return found

    assert problems(said) == []
    lead, place = next(
        (lead, place)
        for lead, values in said.items()
        for place, value in enumerate(values)
        if read_decision(value).escalated == 1
    )
    values = said[lead]
    plain = values[place].replace(b',"escalated":1', b"")
    assert plain != values[place]
    moved = values[place].replace(read_decision(values[place]).decided_at.encode(), b"2025-01-01T00:00:00Z")
    for other in ([plain], [moved], [values[place].replace(b'"escalated":1', b'"escalated":2')]):
        assert problems({**said, lead: [*values[:place], *other, *values[place + 1 :]]}), other
