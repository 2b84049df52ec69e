"""The durable engine over a long run: its answers stay correct, and its memory does not grow after warm-up.

SCORER_SOAK sets the number of `match` calls (default 120,000).
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable

import psutil
import pytest

from scorer.engines.compiled_engine import CompiledEngine
from scorer.engines.engine import MemoEngine
from scorer.engines.table import OrdinalTable, Rule, Table
from scorer.rules.condition import All, AnyOf, Condition, FieldType, Op, Test
from scorer.rules.ruleset import HitPolicy
from tests.variables import given

durable_engine = pytest.importorskip("scorer.engines.durable_engine", exc_type=ImportError)

CALLS = int(given("SCORER_SOAK", "120000"))
MEGABYTE = 1e6


def resident() -> float:
    """Resident memory of this process, in megabytes."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / MEGABYTE


def criterion(hit_policy: HitPolicy, width: int = 10, scale: int = 1000) -> OrdinalTable:
    """A table of ten rules over nine fields, with more combinations than the memory can keep."""

    def rule(i: int) -> Condition:
        amount = Test("amount", FieldType.NUMBER, Op.GTE, scale * i)
        status = Test(f"status{i % 4}", FieldType.STRING, Op.IN, (f"s{i}", f"s{(i + 3) % 10}"))
        return All((AnyOf((amount, status)), Test(f"flag{i % 4}", FieldType.BOOLEAN, Op.EQ, i % 2 == 0)))

    return Table(tuple(Rule(f"r{i}", rule(i)) for i in range(width)), hit_policy).compile()


def leads(rng: random.Random) -> dict[str, object]:
    facts: dict[str, object] = {"amount": rng.uniform(-1000, 12000)}
    for i in range(4):
        facts[f"status{i}"] = f"s{rng.randrange(11)}"
        facts[f"flag{i}"] = rng.choice([True, False, None])
    return facts


def growth(
    match: Callable[[OrdinalTable, tuple[int, ...]], object], rng: random.Random, calls: int, warm_after: int
) -> float:
    """The growth of the process after warm-up, in megabytes. Every 50th answer is compared with the compiled engine."""
    tables = [criterion(HitPolicy.FIRST), criterion(HitPolicy.SUM)]
    plain = CompiledEngine()
    warm = 0.0
    for call in range(calls):
        table = tables[call % 2]
        codes = table.encode(leads(rng))
        answer = match(table, codes)
        if call % 50 == 0:
            assert answer == plain.match(table, codes)
        if call == warm_after:
            warm = resident()
    return resident() - warm


@pytest.mark.timeout(1200)
def test_a_long_run_stays_within_the_bound_of_the_memory() -> None:
    size = 20_000
    engine = MemoEngine(durable_engine.DurableEngine(), size=size)
    grown = growth(engine.match, random.Random(1), CALLS, CALLS // 4)
    print(f"{CALLS} calls, {engine.misses} decided by durable_rules, {len(engine)} kept, {grown:+.1f} MB")  # noqa: T201
    assert len(engine) <= size
    assert engine.misses > size, "SCORER_SOAK is too small to fill the memory"
    # A full memory of this size takes under 10 MB, and it may not have been full after warm-up.
    assert grown < 12


@pytest.mark.timeout(1200)
def test_durable_rules_alone_does_not_grow() -> None:
    engine = durable_engine.DurableEngine()
    calls = CALLS // 4
    grown = growth(engine.match, random.Random(2), calls, calls // 10)
    print(f"{calls} calls, all decided by durable_rules, {grown:+.1f} MB")  # noqa: T201
    assert grown < 3


@pytest.mark.parametrize("changed", ["one table in ten", "every table"])
def test_three_hundred_changes_of_rules_do_not_leak(changed: str) -> None:
    """A ruleset of ten tables is edited 300 times; rulesets that are no longer used are deleted."""
    engine = durable_engine.DurableEngine()
    rng = random.Random(3)

    def edited(revision: int, number: int) -> OrdinalTable:
        # The rules differ, not only the constants, because other constants alone would be the same logic.
        draw = random.Random(1000 * revision + number)
        conditions = [
            All(
                tuple(Test(f"f{draw.randrange(6)}", FieldType.STRING, Op.EQ, f"v{draw.randrange(9)}") for _ in range(3))
            )
            for _ in range(8)
        ]
        return Table(tuple(Rule(f"r{i}", c) for i, c in enumerate(conditions))).compile()

    def serve(tables: list[OrdinalTable]) -> None:
        for table in tables:
            for _ in range(3):
                engine.match(table, table.encode({f"f{i}": f"v{rng.randrange(9)}" for i in range(6)}))

    tables = [edited(0, number) for number in range(10)]
    serve(tables)
    if changed == "every table":
        # Deleted rulesets leave memory for others: fill this memory first.
        for revision in range(1, 16):
            serve([edited(1000 + revision, number) for number in range(10)])
    before = resident()
    for revision in range(1, 301):
        replaced = range(10) if changed == "every table" else [revision % 10]
        for number in replaced:
            tables[number] = edited(revision, number)
        serve(tables)
    grown = resident() - before
    print(f"300 swaps, {changed}: {engine.registrations} registrations, {grown:+.1f} MB")  # noqa: T201
    assert engine.registrations > 300
    assert grown < 30
