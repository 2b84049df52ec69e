"""Decision tables, and their form over small integers.

The rules of a table compare fields with constants. `Table.compile` divides the values of each field into cells at those
constants, numbers the cells that some rule distinguishes, and rewrites the rules over these codes. The table cannot
distinguish `FieldValues` with the same codes, so its answer can be remembered per code tuple.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from scorer.engines.column import Column, Encoder, cells_for
from scorer.engines.expression import (
    Decision,
    In,
    canonical,
    conjunction,
    disjunction,
    leaves,
    member,
    replaced,
)
from scorer.rules.condition import All, AnyOf, Condition, FieldValues, Not, Test, tests
from scorer.rules.ruleset import HitPolicy

Codes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a table; without a condition it always holds."""

    id: str
    condition: Condition | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OrdinalTable:
    """A table over codes. It is compared by identity; tables with equal `content_hash` give equal answers."""

    columns: tuple[Column, ...]
    ids: tuple[str, ...]
    rules: tuple[Decision, ...]
    """The rules over the codes, in table order."""
    hit_policy: HitPolicy
    content_hash: str
    """SHA-256 of hit policy, cardinalities and rewritten rules, without names and constants."""
    encoders: tuple[Encoder, ...]
    """For each column, the function from the value of its field to the code."""

    def encode(self, facts: FieldValues) -> Codes:
        """The codes of the facts, one per column."""
        pairs = zip(self.columns, self.encoders, strict=True)
        return tuple([encoder(facts.get(column.field)) for column, encoder in pairs])


@dataclass(frozen=True, slots=True)
class Table:
    """Rules in order, and the hit policy that says which of the rules that hold count."""

    rules: tuple[Rule, ...]
    hit_policy: HitPolicy = HitPolicy.FIRST

    def compile(self) -> OrdinalTable:
        """The table over codes. Pure: equal rules give equal tables."""
        divided = cells_for(test for rule in self.rules if rule.condition for test in tests(rule.condition))
        number = {cells: i for i, cells in enumerate(dict.fromkeys(divided.values()))}
        universes = {i: cells.cells for cells, i in number.items()}

        def rewrite(condition: Condition, wanted: bool) -> Decision:
            match condition:
                case Test():
                    cells = divided[condition]
                    holds = cells.where(condition)
                    return member(number[cells], holds if wanted else cells.cells - holds, universes[number[cells]])
                case Not(part):
                    return rewrite(part, not wanted)
                case All(parts) | AnyOf(parts):
                    join = conjunction if isinstance(condition, All) is wanted else disjunction
                    return join((rewrite(part, wanted) for part in parts), universes)

        rewritten = [rewrite(rule.condition, True) if rule.condition else True for rule in self.rules]
        codes = _codes(rewritten, universes)
        kept = {fine: i for i, fine in enumerate(codes)}
        rules = tuple(
            replaced(
                rule,
                lambda leaf: In(kept[leaf.column], frozenset(codes[leaf.column][c] for c in leaf.codes)),
            )
            for rule in rewritten
        )
        by_number = list(number)
        used = [(by_number[fine], codes[fine]) for fine in codes]
        columns = tuple(
            Column(cells.field, cells.type, cells.kind, cardinality=max(code.values()) + 1) for cells, code in used
        )
        return OrdinalTable(
            columns=columns,
            ids=tuple(rule.id for rule in self.rules),
            rules=rules,
            hit_policy=self.hit_policy,
            content_hash=_hash(self.hit_policy, columns, rules),
            encoders=tuple(cells.encoder(code) for cells, code in used),
        )


def _codes(rules: Iterable[Decision], universes: dict[int, frozenset[int]]) -> dict[int, dict[int, int]]:
    """For each column that some rule tests: cell -> code. Cells that no rule distinguishes share a code."""
    asked: dict[int, dict[frozenset[int], None]] = {}
    for rule in rules:
        for leaf in leaves(rule):
            asked.setdefault(leaf.column, {})[leaf.codes] = None
    codes = {}
    for column in sorted(asked):
        classes: dict[tuple[bool, ...], int] = {}
        codes[column] = {
            cell: classes.setdefault(tuple(cell in leaf for leaf in asked[column]), len(classes))
            for cell in sorted(universes[column])
        }
    return codes


def _hash(hit_policy: HitPolicy, columns: Iterable[Column], rules: Iterable[Decision]) -> str:
    cardinalities = ",".join(str(column.cardinality) for column in columns)
    text = "\n".join((hit_policy, cardinalities, *map(canonical, rules)))
    return hashlib.sha256(text.encode()).hexdigest()
