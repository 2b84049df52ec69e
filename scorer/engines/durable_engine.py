"""The rule engine on durable_rules.

It uses only what works reliably in durable_rules: one constant session, flat messages of small integers, plain
conjunctions, at most 32 conditions per ruleset, no host threads, and a bounded number of rulesets.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

from durable import engine as durable

from scorer.engines.durable_plan import Conjunction, EnginePlan, Placed, Shard, plan
from scorer.engines.table import Codes, OrdinalTable
from scorer.rules.ruleset import HitPolicy

# The C extension below the package, because the package cannot delete a ruleset.
_native: Final = durable.durable_rules_engine

_SESSION: Final = "0"
_RESUME: Final = "k"
_PRIME: Final = "p"
# A ruleset is idle if it was not used in this number of rounds. A round is as many matches as there are rulesets.
_IDLE_ROUNDS: Final = 2
_PLANS: Final = 1024

_OPERATORS: Final = {"ne": "$neq", "gte": "$gte", "lte": "$lte"}


class DurableEngineError(RuntimeError):
    """durable_rules failed on a ruleset. The ruleset was deleted, and the next call registers it again."""


class _Host(durable.Host):  # type: ignore[misc]
    def _run(self) -> None:
        """Start no timer threads, because no rule here waits for time."""


class _Registered:
    """A shard registered with durable_rules."""

    def __init__(self, host: _Host, name: str, shard: Shard) -> None:
        self.name = name
        self._host = host
        self._fired: list[int] = []
        self.last_asked = 0
        host.register_rulesets({name: self._definition(shard)})
        # The extension does not initialise the action of a new session, so deleting the session would free a wild
        # pointer. A completed action initialises it, and shows that the ruleset works.
        if not isinstance(host.post(name, {_PRIME: 1}), dict):
            self.delete()
            raise DurableEngineError(f"{name} did not complete its first action")

    def first(self, message: dict[str, int]) -> tuple[int | None, bool]:
        """The first rule that holds (None if none does), and whether the ruleset can take another message."""
        self._fired.clear()
        try:
            outcome = self._host.post(self.name, message)
        except durable.MessageNotHandledException:
            return None, True
        if len(self._fired) != 1:
            raise DurableEngineError(f"expected one rule to fire for {message}, but {len(self._fired)} did")
        # Without a state the action was not completed: by the wall clock it took more than ten seconds.
        return self._fired[0], isinstance(outcome, dict)

    def delete(self) -> None:
        ruleset = self._host._ruleset_directory.pop(self.name)
        self._host._ruleset_list.remove(ruleset)
        _native.delete_state(ruleset._handle, _SESSION)
        _native.delete_ruleset(ruleset._handle)

    def _definition(self, shard: Shard) -> dict[str, Any]:
        definition: dict[str, Any] = {"prime": {"all": [{"m": {_PRIME: 1}}], "run": self._action(-1)}}
        for index, conjunctions in enumerate(shard.rules):
            for alternative, conjunction in enumerate(conjunctions):
                definition[f"r{index}_{alternative}"] = {
                    "all": [{"m": _condition(conjunction, index if shard.resumable else None)}],
                    "run": self._action(index),
                    "pri": index,
                }
        return definition

    def _action(self, index: int) -> Callable[[Any], None]:
        def fire(context: Any) -> None:
            self._fired.append(index)

        return fire


def _condition(conjunction: Conjunction, resume: int | None) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = [] if resume is None else [{"$lte": {_RESUME: resume}}]
    for test in conjunction:
        compared = {f"c{test.column}": test.code}
        conditions.append(compared if test.op == "eq" else {_OPERATORS[test.op]: compared})
    return conditions[0] if len(conditions) == 1 else {"$and": conditions}


class DurableEngine:
    """Matches code tuples with durable_rules. Threads can share it; it serves one at a time.

    Equal shards of different tables share one ruleset, which takes a third to half a megabyte. Above `rulesets`
    rulesets, idle ones are deleted; above four times as many, the least recently used. Rulesets in use survive the
    first limit, so that a large rule file is not registered repeatedly.
    """

    name = "durable"

    def __init__(self, rulesets: int = 64) -> None:
        if rulesets < 1:
            raise ValueError(f"rulesets must be at least 1, not {rulesets}")
        self._limit = rulesets
        self._host = _Host()
        self._registered: OrderedDict[str, _Registered] = OrderedDict()
        self._plans: OrderedDict[str, EnginePlan] = OrderedDict()
        self._lock = threading.Lock()
        self._asked = 0
        self.registrations = 0
        """The number of rulesets registered so far."""

    def match(self, table: OrdinalTable, codes: Codes) -> tuple[int, ...]:
        """The indexes of the matching rules, in table order.

        Raises DurableEngineError if durable_rules fails; the engine stays usable.
        """
        with self._lock:
            plan = self._plan(table)
            for placed in plan.auxiliary:
                codes += (0,) if self._first(placed, codes, 0) is None else (1,)
            if table.hit_policy is HitPolicy.FIRST:
                for placed in plan.shards:
                    hit = self._first(placed, codes, 0)
                    if hit is not None:
                        return (placed.indexes[hit],)
                return plan.always
            hits = list(plan.always)
            for placed in plan.shards:
                resume = 0
                while resume < len(placed.indexes):
                    hit = self._first(placed, codes, resume)
                    if hit is None:
                        break
                    hits.append(placed.indexes[hit])
                    resume = hit + 1
            return tuple(sorted(hits))

    def prepare(self, table: OrdinalTable) -> Iterator[None]:
        """Register the rulesets of the table, one per step, so that the caller need not wait for all of them at once.

        Raises DurableEngineError as `match` does.
        """
        with self._lock:
            plan = self._plan(table)
        for placed in (*plan.auxiliary, *plan.shards):
            yield
            with self._lock:
                self._ruleset(placed.shard)

    def _plan(self, table: OrdinalTable) -> EnginePlan:
        known = self._plans.get(table.content_hash)
        if known is None:
            known = self._plans[table.content_hash] = plan(table)
            if len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        return known

    def _first(self, placed: Placed, codes: Codes, resume: int) -> int | None:
        message = {f"c{i}": codes[column] for i, column in enumerate(placed.columns)}
        if placed.shard.resumable:
            message[_RESUME] = resume
        registered = self._ruleset(placed.shard)
        fit = False
        try:
            hit, fit = registered.first(message)
        except DurableEngineError:
            raise
        except Exception as error:
            raise DurableEngineError(f"durable_rules failed on {message}: {error}") from error
        finally:
            if not fit:
                # It still contains a part of this message, which would affect the next answer.
                self._registered.pop(placed.shard.key, None)
                registered.delete()
        return hit

    def _ruleset(self, shard: Shard) -> _Registered:
        self._asked += 1
        registered = self._registered.get(shard.key)
        if registered is None:
            self._delete_unused()
            self.registrations += 1
            try:
                registered = _Registered(self._host, f"t{self.registrations}", shard)
            except Exception as error:
                raise DurableEngineError(f"durable_rules refused the ruleset {shard}: {error}") from error
            self._registered[shard.key] = registered
        else:
            self._registered.move_to_end(shard.key)
        registered.last_asked = self._asked
        return registered

    def _delete_unused(self) -> None:
        while len(self._registered) >= self._limit:
            key, oldest = next(iter(self._registered.items()))
            alive = len(self._registered)
            if alive < 4 * self._limit and self._asked - oldest.last_asked < _IDLE_ROUNDS * alive:
                break
            del self._registered[key]
            oldest.delete()
