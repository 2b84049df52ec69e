"""The checks of the fuzz notice what they are for. Nothing runs: what the service has committed is made up."""

import asyncio
import copy
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from tests.faults.oracle import Letter, Output, expected
from tests.fuzz import check as check_module
from tests.fuzz import run as run_module
from tests.fuzz import watch as watch_module
from tests.fuzz.check import Checked, check
from tests.fuzz.feed import Fed
from tests.fuzz.records import Expected, FuzzRecord
from tests.fuzz.run import Plan, run_chunk
from tests.fuzz.watch import Watch
from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names
from tests.integration.service import RULES

KAFKA, NAMES = Kafka("nowhere:1"), Names("fuzz")
NOW = time.time_ns() // 1000
GOOD, BAD = 8, 4
"""Records of the input."""
PLAN = Plan(leads=1, now=0, max_pause=5.0, max_rss=1_000_000)


def fed(offset: int, value: bytes | None, key: bytes | None, expected: Expected, headers: Any = ()) -> Fed:
    return Fed(0, offset, FuzzRecord(key, value, list(headers), expected, "made up"), headers)


def given() -> list[Fed]:
    """Activities of two leads, then records that are none."""
    records = []
    for number in range(GOOD):
        bant = {"budget_status": "approved", "authority": "decision_maker", "need": "critical"}
        told = {"bant": bant if number // 2 % 2 else dict.fromkeys(bant)}
        made = structured(event(f"lead-{number % 2}", number, "lead.qualification_updated", told, START + number))
        records.append(fed(number, made.value, made.key, Expected.GOOD, made.headers))
    return records + [fed(GOOD + number, b"{%d" % number, b"lead-0", Expected.BAD) for number in range(BAD)]


INPUT = given()


@cache
def wanted() -> Output:
    """What a service makes of the input."""
    records = [
        ConsumerRecord("in", one.partition, one.offset, 0, 0, one.record.key, one.record.value, None, 0, 0, one.headers)
        for one in INPUT
    ]
    output = expected(records)
    assert all(len(decisions) > 2 for decisions in output.decisions.values())
    assert output.letters.total() == BAD
    return output


@cache
def decisions_of_the_command() -> dict[str, list[bytes]]:
    """What `scorer score` makes of the good records. It runs once, because it takes a second."""
    return {}


Damage = Callable[[Output], object]


def letter(output: Output) -> Letter:
    """The first dead letter."""
    return min(output.letters, key=lambda letter: letter.offset)


def changed(output: Output, **changes: Any) -> None:
    """The first dead letter is another one."""
    before = letter(output)
    del output.letters[before]
    output.letters[before._replace(**changes)] += 1


def other_bytes(output: Output) -> None:
    decision = json.loads(output.decisions["lead-0"][0])
    decision["score"]["total"] += 1
    output.decisions["lead-0"][0] = json.dumps(decision).encode()


DAMAGE: Mapping[str, tuple[Damage, str]] = {
    "a doubled letter": (lambda output: output.letters.update([letter(output)]), "2 dead letters, expected one"),
    "a lost letter": (lambda output: output.letters.subtract([letter(output)]), "0 dead letters, expected one"),
    "another reason": (lambda output: changed(output, reason="not_utf8"), "the reason is not_utf8"),
    "another value": (lambda output: changed(output, value=b"{"), "the value is b'{'"),
    "another key": (lambda output: changed(output, key=b"other"), "the key is b'other'"),
    "another place": (lambda output: changed(output, offset=99), "a dead letter of no record"),
    "a letter of an activity": (
        lambda output: output.letters.update([letter(output)._replace(offset=0)]),
        "an activity, but there is a dead letter",
    ),
    "a lost decision": (lambda output: output.decisions["lead-0"].pop(), "is missing"),
    "all decisions of a lead lost": (lambda output: output.decisions.pop("lead-1"), "is missing"),
    "a doubled decision": (
        lambda output: output.decisions["lead-0"].append(output.decisions["lead-0"][0]),
        "published 1 times too often",
    ),
    "decisions in another order": (lambda output: output.decisions["lead-0"].reverse(), "in place of"),
    "a decision with other bytes": (other_bytes, "has other bytes"),
    "a lost state": (lambda output: output.states.pop("lead-0"), "state of lead-0: missing"),
    "a state too many": (
        lambda output: output.states.update({"x": output.states["lead-0"]}),
        "state of x: expected none",
    ),
    "an earlier state": (
        lambda output: output.states.update({"lead-0": output.states["lead-1"]}),
        "state of lead-0: Lead(",
    ),
}


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Sequence[str]]:
    """The problems that the check finds in an output."""
    score = check_module._scored
    made = decisions_of_the_command()

    def scored(*arguments: Any) -> dict[str, list[bytes]]:
        if not made:
            made.update(score(*arguments))
        return made

    def problems(damage: Damage, records: Sequence[Fed] = INPUT) -> Sequence[str]:
        output = copy.deepcopy(wanted())
        damage(output)
        output = output._replace(letters=+output.letters)
        monkeypatch.setattr(check_module, "_scored", scored)
        # Who may send what makes no difference here.
        monkeypatch.setattr(check_module, "rules_in", lambda _: RULES)
        monkeypatch.setattr(check_module, "_committed", lambda *_: (output, []))
        return check(KAFKA, NAMES, records, tmp_path, NOW, NOW).problems

    return problems


def test_without_damage_there_is_no_problem(checked: Callable[..., Sequence[str]]) -> None:
    assert checked(lambda output: None) == []


@pytest.mark.parametrize(("damage", "problem"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_noticed(checked: Callable[..., Sequence[str]], damage: Damage, problem: str) -> None:
    problems = checked(damage)
    assert any(problem in one for one in problems), problems


@pytest.mark.parametrize(
    ("which", "construction", "problem"),
    [(0, Expected.BAD, "but accepted"), (GOOD, Expected.GOOD, "valid by construction")],
)
def test_a_wrong_verdict_is_noticed(
    checked: Callable[..., Sequence[str]], which: int, construction: Expected, problem: str
) -> None:
    records = list(INPUT)
    records[which] = records[which]._replace(record=records[which].record._replace(expected=construction))
    problems = checked(lambda output: None, records)
    assert any(problem in one for one in problems), problems


@pytest.mark.parametrize(
    ("status", "rss", "logged", "found", "problem"),
    [
        (0, 1_000_000, "partition_running", [], None),
        (1, 1_000_000, "partition_running", [], "the service ended with 1"),
        (-9, 1_000_000, "partition_running", [], "the service ended with -9"),
        (0, 1_000_001, "partition_running", [], "the worker took"),
        (0, 1_000_000, "internal_error", [], "an internal error"),
        (0, 1_000_000, "partition_running", ["a lost decision"], "a lost decision"),
    ],
)
def test_the_end_of_a_run_is_checked(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    status: int,
    rss: int,
    logged: str,
    found: list[str],
    problem: str | None,
) -> None:
    @contextmanager
    def service(*_: object, **settings: object) -> Iterator[Any]:
        process = SimpleNamespace(pid=1)
        log = [{"event": logged, "level": "info"}]
        yield SimpleNamespace(process=process, terminate=lambda: status, text=lambda: "", log=lambda: log)

    async def feed(*_: object) -> list[Fed]:
        return []

    monkeypatch.setattr(run_module, "service", service)
    monkeypatch.setattr(run_module, "_feed", feed)
    monkeypatch.setattr(run_module, "memory", lambda pid, which: rss)
    monkeypatch.setattr(run_module, "check", lambda *_: Checked(0, 0, Counter(), found))
    monkeypatch.setattr(Kafka, "create", lambda *_: None)
    problems = run_chunk(KAFKA, NAMES, tmp_path, PLAN, 1, 0, 1, lambda line: None).problems
    if problem is None:
        assert problems == []
    else:
        assert len(problems) == 1
        assert problem in problems[0]


class Service:
    """One that runs until it ends."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.process = SimpleNamespace(poll=lambda: self.status)

    def text(self) -> str:
        return ""


class Admin:
    """Knows what is committed."""

    committed = -1

    async def list_consumer_group_offsets(self, group: str, partitions: Sequence[TopicPartition]) -> Any:
        return {partition: SimpleNamespace(offset=self.committed) for partition in partitions}


def test_a_service_that_stands_still_or_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(watch_module, "time", SimpleNamespace(monotonic=lambda: now))
    running: Any = Service()
    admin: Any = Admin()
    watch = Watch(KAFKA, NAMES, running, {0: 10})

    def look(seconds: float, committed: int) -> None:
        nonlocal now
        now += seconds
        admin.committed = committed
        asyncio.run(watch._look(admin))

    look(0, -1)
    look(4, -1)
    run_module._must_advance(watch, PLAN, running)
    look(2, -1)
    with pytest.raises(AssertionError, match=r"no progress for 6\.0 s"):
        run_module._must_advance(watch, PLAN, running)
    look(1, 5)
    run_module._must_advance(watch, PLAN, running)
    assert watch.longest_pause == 7.0
    assert not watch.done
    look(4, 10)
    look(100, 10)
    run_module._must_advance(watch, PLAN, running)
    assert watch.longest_pause == 7.0
    assert watch.done
    running.status = 1
    with pytest.raises(AssertionError, match="the service ended with 1"):
        run_module._must_advance(watch, PLAN, running)
