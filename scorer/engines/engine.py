"""Rule engines: which rules of an ordinal table hold for a code tuple, and the memory in front of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

from scorer.engines.cache import BoundedCache
from scorer.engines.compiled_engine import CompiledEngine
from scorer.engines.table import Codes, OrdinalTable

EngineName = Literal["durable", "compiled"]


class RuleEngine(Protocol):
    """Matches code tuples."""

    @property
    def name(self) -> str:
        """`durable` or `compiled`."""

    def match(self, table: OrdinalTable, codes: Codes) -> tuple[int, ...]:
        """The indexes of the matching rules, in table order; under FIRST at most one."""


class PreparedEngine(RuleEngine, Protocol):
    """An engine that can prepare a table before its first match."""

    def prepare(self, table: OrdinalTable) -> Iterator[None]:
        """Prepare the table in small steps."""


class EngineUnavailableError(RuntimeError):
    """The requested engine cannot be loaded here."""


class MemoEngine:
    """Remembers the answers of another engine, at most `size` of them over all tables together.

    The bound spans tables, so that those of a replaced ruleset make room as the new ones are asked.

    `hits` and `misses` count look-ups; threads that share it may lose a count, never an answer.
    """

    def __init__(self, engine: PreparedEngine, size: int = 65536) -> None:
        if size < 2:
            raise ValueError(f"size must be at least 2, not {size}")
        self.engine = engine
        self.name = engine.name
        self.hits = 0
        self.misses = 0
        self._answers = BoundedCache[tuple[str, Codes], tuple[int, ...]](size)

    def match(self, table: OrdinalTable, codes: Codes) -> tuple[int, ...]:
        """The indexes of the rules that count, in table order; raises what the engine raises."""
        question = (table.content_hash, codes)
        answer = self._answers.look_up(question)
        if answer is None:
            answer = self._answers.keep(question, self.engine.match(table, codes))
            self.misses += 1
        else:
            self.hits += 1
        return answer

    def prepare(self, table: OrdinalTable) -> Iterator[None]:
        """Do in small steps what the first question about the table would wait for; raises as `match` does."""
        return self.engine.prepare(table)

    def __len__(self) -> int:
        """How many answers are remembered now."""
        return len(self._answers.all_keys())


def default_engine(prefer: EngineName | None = None) -> MemoEngine:
    """The engine to use, with a memory of its answers; `name` says which one it is.

    Without a preference it is durable_rules, or plain Python if durable_rules cannot be imported. Raises
    EngineUnavailableError if `durable` was requested by name and cannot be imported.
    """
    if prefer == "compiled":
        return MemoEngine(CompiledEngine())
    try:
        from scorer.engines.durable_engine import DurableEngine
    except ImportError as error:
        if prefer == "durable":
            raise EngineUnavailableError(
                f"durable_rules cannot be imported ({error}); it needs Python 3.11 or 3.12"
            ) from error
        return MemoEngine(CompiledEngine())
    return MemoEngine(DurableEngine())
