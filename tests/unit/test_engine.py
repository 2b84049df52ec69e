"""The rule engines: their answers, their memory and their failures."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest

from scorer.engines.compiled_engine import CompiledEngine
from scorer.engines.engine import EngineUnavailableError, MemoEngine, RuleEngine, default_engine
from scorer.engines.table import Codes, OrdinalTable, Rule, Table
from scorer.rules.condition import All, AnyOf, Condition, FieldType, Not, Op, Test
from scorer.rules.ruleset import HitPolicy

durable_engine = pytest.importorskip("scorer.engines.durable_engine", exc_type=ImportError)
DurableEngine = durable_engine.DurableEngine
DurableEngineError = durable_engine.DurableEngineError

FIRST, SUM = HitPolicy


def is_(field: str, value: str) -> Test:
    return Test(field, FieldType.STRING, Op.EQ, value)


def at_least(bound: int, field: str = "n") -> Test:
    return Test(field, FieldType.INTEGER, Op.GTE, bound)


def table(hit_policy: HitPolicy, *conditions: Condition | None) -> OrdinalTable:
    return Table(tuple(Rule(f"r{i}", c) for i, c in enumerate(conditions)), hit_policy).compile()


def ask(engine: RuleEngine, ordinal: OrdinalTable, **facts: object) -> tuple[int, ...]:
    return engine.match(ordinal, ordinal.encode(facts))


@pytest.fixture(params=[DurableEngine, CompiledEngine], ids=["durable", "compiled"])
def engine(request: pytest.FixtureRequest) -> RuleEngine:
    created: RuleEngine = request.param()
    return created


def test_first_returns_the_first_rule_in_table_order(engine: RuleEngine) -> None:
    ordinal = table(FIRST, at_least(30), at_least(10), at_least(20), is_("x", "a"))
    assert ask(engine, ordinal, n=35, x="a") == (0,)
    assert ask(engine, ordinal, n=25, x="a") == (1,)
    assert ask(engine, ordinal, n=5, x="a") == (3,)
    assert ask(engine, ordinal, n=5) == ()


def test_sum_returns_every_rule_in_table_order(engine: RuleEngine) -> None:
    ordinal = table(SUM, at_least(30), None, at_least(20), is_("x", "a"), All(()), AnyOf(()))
    assert ask(engine, ordinal, n=35, x="a") == (0, 1, 2, 3, 4)
    assert ask(engine, ordinal, n=25) == (1, 2, 4)
    assert ask(engine, ordinal) == (1, 4)


def test_a_rule_without_a_condition_ends_a_first_table(engine: RuleEngine) -> None:
    ordinal = table(FIRST, at_least(30), None, is_("x", "a"))
    assert ask(engine, ordinal, n=30, x="a") == (0,)
    assert ask(engine, ordinal, n=3, x="a") == (1,)


@pytest.mark.parametrize("hit_policy", list(HitPolicy))
def test_tables_without_comparisons(engine: RuleEngine, hit_policy: HitPolicy) -> None:
    assert ask(engine, table(hit_policy)) == ()
    assert ask(engine, table(hit_policy, AnyOf(()))) == ()
    assert ask(engine, table(hit_policy, AnyOf(()), None)) == (1,)


@pytest.mark.parametrize("hit_policy", list(HitPolicy))
def test_a_hundred_rules_can_hold_at_once(engine: RuleEngine, hit_policy: HitPolicy) -> None:
    ordinal = table(hit_policy, *(is_(f"f{i}", "a") for i in range(100)))
    everything = {f"f{i}": "a" for i in range(100)}
    assert ask(engine, ordinal, **everything) == ((0,) if hit_policy is FIRST else tuple(range(100)))
    assert ask(engine, ordinal, f99="a") == (99,)
    assert ask(engine, ordinal) == ()


@pytest.mark.parametrize("kind", [All, AnyOf])
def test_one_rule_can_have_a_thousand_conditions(engine: RuleEngine, kind: type[All] | type[AnyOf]) -> None:
    ordinal = table(FIRST, kind(tuple(is_(f"f{i}", "a") for i in range(1000))))
    everything = {f"f{i}": "a" for i in range(1000)}
    assert ask(engine, ordinal, **everything) == (0,)
    assert ask(engine, ordinal, **{**everything, "f500": "b"}) == (() if kind is All else (0,))
    assert ask(engine, ordinal, f500="a") == (() if kind is All else (0,))
    assert ask(engine, ordinal) == ()


def test_a_rule_with_an_enormous_expansion_is_matched(engine: RuleEngine) -> None:
    # Expanded to alternatives, this is 3 ** 40 conjunctions.
    pairs = tuple(AnyOf(tuple(is_(f"f{i}_{j}", "a") for j in range(3))) for i in range(40))
    ordinal = table(SUM, All(pairs), Not(All(pairs)))
    facts = {f"f{i}_{i % 3}": "a" for i in range(40)}
    assert ask(engine, ordinal, **facts) == (0,)
    assert ask(engine, ordinal, **{**facts, "f7_1": "b"}) == (1,)


def test_both_engines_match_every_set_of_codes_of_a_column() -> None:
    """Ranges, gaps and complements of a column give the same answers in both engines."""
    values = [f"v{i}" for i in range(5)]
    subsets = [tuple(v for v, keep in zip(values, bits, strict=True) if keep) for bits in product([0, 1], repeat=5)]
    conditions = [Test("x", FieldType.STRING, Op.IN, subset) for subset in subsets]
    ordinal = table(SUM, *conditions, *(Not(condition) for condition in conditions))
    for value in [*values, "other", None]:
        expected = tuple(i for i, subset in enumerate(subsets) if value in subset)
        expected += tuple(len(subsets) + i for i, subset in enumerate(subsets) if value not in subset)
        assert ask(DurableEngine(), ordinal, x=value) == expected
        assert ask(CompiledEngine(), ordinal, x=value) == expected


def test_equal_logic_is_registered_once() -> None:
    engine = DurableEngine()
    ask(engine, table(FIRST, at_least(10), None), n=5)
    ask(engine, table(FIRST, at_least(77, "other_field"), None), other_field=80)
    assert engine.registrations == 1
    ask(engine, table(FIRST, AnyOf((at_least(10), is_("x", "a"))), None), n=5)
    assert engine.registrations == 2


def test_idle_rulesets_are_deleted_and_registered_again_when_used() -> None:
    engine = DurableEngine(rulesets=2)
    tables = [table(FIRST, *(at_least(bound) for bound in range(rules, 0, -1))) for rules in range(1, 6)]
    for _ in range(3):
        for rules, ordinal in enumerate(tables, start=1):
            for _ in range(20):
                assert ask(engine, ordinal, n=1) == (rules - 1,)
                assert ask(engine, ordinal, n=0) == ()
            assert len(engine._registered) <= 3
    assert 10 < engine.registrations <= 15


def test_rulesets_in_use_are_kept_above_the_limit() -> None:
    engine = DurableEngine(rulesets=2)
    tables = [table(FIRST, *(at_least(bound) for bound in range(rules, 0, -1))) for rules in range(1, 8)]
    for _ in range(50):
        for rules, ordinal in enumerate(tables, start=1):
            assert ask(engine, ordinal, n=1) == (rules - 1,)
    assert engine.registrations == 7


def test_there_are_never_more_rulesets_than_four_times_the_limit() -> None:
    engine = DurableEngine(rulesets=2)
    for rules in range(1, 31):
        assert ask(engine, table(FIRST, *(at_least(bound) for bound in range(rules, 0, -1))), n=1) == (rules - 1,)
        assert len(engine._registered) <= 8


def test_no_thread_is_started() -> None:
    before = threading.active_count()
    assert ask(DurableEngine(), table(FIRST, at_least(10)), n=10) == (0,)
    assert threading.active_count() == before


def test_threads_can_share_an_engine() -> None:
    engine, plain = DurableEngine(rulesets=3), CompiledEngine()
    tables = [table(SUM, *(at_least(k * i) for i in range(1, 8))) for k in range(1, 6)]
    wrong: list[object] = []

    def work(offset: int) -> None:
        for n in range(60):
            ordinal = tables[(n + offset) % 5]
            if ask(engine, ordinal, n=n % 37) != ask(plain, ordinal, n=n % 37):
                wrong.append((n, offset))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert wrong == []


def test_a_failure_is_reported_and_the_engine_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = DurableEngine()
    ordinal = table(FIRST, at_least(10))
    assert ask(engine, ordinal, n=10) == (0,)
    with monkeypatch.context() as patched:
        patched.setattr(engine._host, "post", _fail)
        with pytest.raises(DurableEngineError, match="error, code: 303"):
            ask(engine, ordinal, n=10)
    assert ask(engine, ordinal, n=10) == (0,)
    assert ask(engine, ordinal, n=9) == ()


def _fail(*_: object) -> None:
    raise RuntimeError("Could not handle message, error, code: 303")


def test_an_interrupted_match_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = DurableEngine()
    ordinal = table(FIRST, at_least(20), at_least(10))
    assert ask(engine, ordinal, n=25) == (0,)
    native = durable_engine.durable.durable_rules_engine
    with monkeypatch.context() as patched:
        # Ctrl-C while the action runs: the message is still in the ruleset.
        patched.setattr(native, "complete_and_start_action", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            ask(engine, ordinal, n=25)
    assert ask(engine, ordinal, n=15) == (1,)
    assert ask(engine, ordinal, n=25) == (0,)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("jump", range(8))
def test_a_clock_that_jumps_does_not_change_answers(monkeypatch: pytest.MonkeyPatch, jump: int) -> None:
    engine = DurableEngine()
    ordinal = table(SUM, at_least(10), at_least(20))
    assert ask(engine, ordinal, n=25) == (0, 1)
    readings = iter(range(10**6))
    with monkeypatch.context() as patched:
        # durable_rules abandons an action after ten seconds and leaves the session locked.
        patched.setattr(durable_engine.durable, "_unix_now", lambda: 60 if next(readings) >= jump else 0)
        assert ask(engine, ordinal, n=25) == (0, 1)
        assert ask(engine, ordinal, n=15) == (0,)
    assert ask(engine, ordinal, n=25) == (0, 1)


def test_a_ruleset_that_does_not_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = DurableEngine()
    ordinal = table(FIRST, at_least(10))
    readings = iter(range(0, 10**6, 60))
    with monkeypatch.context() as patched:
        patched.setattr(durable_engine.durable, "_unix_now", lambda: next(readings))
        with pytest.raises(DurableEngineError, match="did not complete its first action"):
            ask(engine, ordinal, n=10)
    assert ask(engine, ordinal, n=10) == (0,)


class Counted:
    name = "compiled"

    def __init__(self, fail: bool = False) -> None:
        self.asked: list[Codes] = []
        self.fail = fail

    def match(self, table: OrdinalTable, codes: Codes) -> tuple[int, ...]:
        self.asked.append(codes)
        if self.fail:
            raise RuntimeError("no")
        return codes

    def prepare(self, table: OrdinalTable) -> Iterator[None]:
        yield


@pytest.mark.parametrize("make", [DurableEngine, CompiledEngine])
def test_a_table_prepared_in_steps_needs_no_further_registration(make: Any) -> None:
    rules = [at_least(10 * number) for number in range(69, 0, -1)]
    memo, ordinal = MemoEngine(make()), table(FIRST, *rules)
    steps = sum(1 for _ in memo.prepare(ordinal))
    registered = getattr(memo.engine, "registrations", 1)
    assert steps == registered
    assert ask(memo, ordinal, n=5) == ()
    assert ask(memo, ordinal, n=15) == (68,)
    assert getattr(memo.engine, "registrations", 1) == registered


def test_the_memory_asks_the_engine_once_per_code_tuple() -> None:
    inner = Counted()
    memo, ordinal = MemoEngine(inner), table(FIRST, at_least(10))
    assert [memo.match(ordinal, codes) for codes in [(0,), (1,), (0,), (0,)]] == [(0,), (1,), (0,), (0,)]
    assert inner.asked == [(0,), (1,)]
    assert (memo.hits, memo.misses, memo.name) == (2, 2, "compiled")


def test_the_memory_keeps_tables_apart() -> None:
    memo = default_engine()
    one, other = table(FIRST, at_least(10)), table(FIRST, Not(at_least(10)))
    assert [ask(memo, one, n=10), ask(memo, other, n=10)] == [(0,), ()]
    assert [ask(memo, one, n=9), ask(memo, other, n=9)] == [(), (0,)]


def test_the_memory_is_bounded_over_all_tables_and_keeps_what_is_used() -> None:
    inner = Counted()
    memo = MemoEngine(inner, size=100)
    tables: Sequence[OrdinalTable] = [table(FIRST, *(at_least(i) for i in range(1, n))) for n in range(2, 12)]
    for n in range(5000):
        assert memo.match(tables[n % 10], (n,)) == (n,)
        assert memo.match(tables[0], (-1,)) == (-1,)
        assert len(memo) <= 100
    assert inner.asked.count((-1,)) == 1
    assert memo.hits + memo.misses == 10_000


def test_the_memory_does_not_keep_failures() -> None:
    inner = Counted(fail=True)
    memo, ordinal = MemoEngine(inner), table(FIRST, at_least(10))
    with pytest.raises(RuntimeError):
        memo.match(ordinal, (1,))
    inner.fail = False
    assert memo.match(ordinal, (1,)) == (1,)


@pytest.mark.parametrize("make", [lambda: MemoEngine(Counted(), size=1), lambda: DurableEngine(rulesets=0)])
def test_impossible_sizes_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        make()


def test_the_default_is_durable_and_falls_back_to_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_engine().name == "durable"
    assert default_engine("compiled").name == "compiled"
    monkeypatch.delitem(sys.modules, "scorer.engines.durable_engine")
    monkeypatch.setitem(sys.modules, "durable", None)
    assert default_engine().name == "compiled"
    with pytest.raises(EngineUnavailableError, match=r"durable_rules cannot be imported .* Python 3.11 or 3.12"):
        default_engine("durable")
