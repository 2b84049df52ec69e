"""The rule engine in plain Python: each rule becomes a closure over the code tuple."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scorer.engines.cache import BoundedCache
from scorer.engines.expression import And, Decision, In
from scorer.engines.table import Codes, OrdinalTable
from scorer.rules.ruleset import HitPolicy

_Holds = Callable[[Codes], bool]
_TABLES = 1024


class CompiledEngine:
    """Matches code tuples in Python, also where durable_rules cannot be imported."""

    name = "compiled"

    def __init__(self) -> None:
        self._compiled = BoundedCache[str, tuple[_Holds, ...]](_TABLES)

    def match(self, table: OrdinalTable, codes: Codes) -> tuple[int, ...]:
        """The indexes of the matching rules, in table order."""
        rules = self._compiled.look_up(table.content_hash)
        if rules is None:
            rules = self._compile(table)
        if table.hit_policy is HitPolicy.FIRST:
            for index, holds in enumerate(rules):
                if holds(codes):
                    return (index,)
            return ()
        return tuple([index for index, holds in enumerate(rules) if holds(codes)])

    def prepare(self, table: OrdinalTable) -> Iterator[None]:
        """Compile the table before its first match."""
        self._compile(table)
        yield

    def _compile(self, table: OrdinalTable) -> tuple[_Holds, ...]:
        return self._compiled.keep(table.content_hash, tuple(_holds(rule) for rule in table.rules))


def _holds(decision: Decision) -> _Holds:
    if isinstance(decision, bool):
        return lambda codes: decision
    if isinstance(decision, In):
        column, wanted = decision.column, decision.codes
        if len(wanted) == 1:
            (only,) = wanted
            return lambda codes: codes[column] == only
        return lambda codes: codes[column] in wanted
    parts = tuple(_holds(part) for part in decision.parts)
    if isinstance(decision, And):

        def every(codes: Codes) -> bool:
            for part in parts:  # noqa: SIM110 -- a generator costs more than the parts
                if not part(codes):
                    return False
            return True

        return every

    def some(codes: Codes) -> bool:
        for part in parts:  # noqa: SIM110
            if part(codes):
                return True
        return False

    return some
