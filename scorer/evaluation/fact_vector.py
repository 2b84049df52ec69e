"""A ruleset laid out for speed: every column of every table in one vector of small numbers.

Two leads with the same vector cannot be told apart by any criterion, so what the criteria make of it is worked out
once and remembered, bounded. A lead keeps the part of its vector that follows from its facts; an activity changes the
places of the facts that it states and no others. What depends on the time as well (`days_since`) is a second part.
"""

from __future__ import annotations

from binascii import hexlify, unhexlify
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from scorer.domain.instant import DAY, SECOND
from scorer.domain.lead import RETURNED, Fact
from scorer.engines.cache import keep
from scorer.engines.column import Encoder
from scorer.engines.table import Codes, OrdinalTable
from scorer.evaluation.criteria import Judged, Part, part
from scorer.evaluation.routing import SINCE_RETURN, Outcomes, picker
from scorer.evaluation.signal_points import SignalPoints
from scorer.rules.condition import tests

if TYPE_CHECKING:
    from scorer.rules.ruleset import Criterion, Ruleset

MEANING: Final = 1
"""Raise it whenever the same rules would give other codes for the same facts: codes are written with the leads' states,
and must not be taken for others. A test holds a sample."""

MARK_SIZE: Final = 5
DAYS_SINCE: Final = "days_since."
LAST_ACTIVITY: Final = f"{DAYS_SINCE}last_activity"
_MERGED: Final = "lifecycle.merged_into"
_ROOM: Final = 16_384
_FOREVER: Final = 1 << 62

Vector = bytes | tuple[int, ...]
"""Codes in order: two a byte, or a tuple where some column has more than 16 cells."""
Times = tuple[int | None, ...]
"""When things happened that the rules ask `days_since` for; empty where none of them did."""


class Plan:
    """How a ruleset is evaluated. Pure, but for what it remembers of its own answers."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._criteria: tuple[Criterion, ...] = (*ruleset.lasting_criteria, *ruleset.timed_criteria)
        self.signals = {signal.id: SignalPoints(signal) for signal in ruleset.signals.values()}
        routing = ruleset.routing_table
        tables = [*(criterion.table for criterion in self._criteria), routing]
        columns = [(t, c) for t, table in enumerate(tables) for c in range(len(table.columns))]
        lasting = [at for at in columns if _is_fact(_field(tables, at))]
        timed = [at for at in columns if _field(tables, at).startswith(DAYS_SINCE)]
        self._encoders = [(_field(tables, at), tables[at[0]].encoders[at[1]]) for at in lasting]
        self._merged = len(lasting)
        self._encoders.append((_MERGED, lambda value: int(value is not None)))
        cardinalities = [column.cardinality for table in tables for column in table.columns]
        self._is_narrow = max(cardinalities, default=0) <= 16
        if self._is_narrow and len(self._encoders) % 2:
            self._encoders.append((_MERGED, lambda value: 0))  # two codes a byte
        place = {at: number for number, at in enumerate(lasting)}
        place |= {at: number for number, at in enumerate(timed, start=len(self._encoders))}
        self._by_fact: dict[str, list[tuple[int, Encoder]]] = {}
        for number, (name, encoder) in enumerate(self._encoders):
            self._by_fact.setdefault(name, []).append((number, encoder))

        self._wants_return = SINCE_RETURN in ruleset.routing_fields
        asked = {_field(tables, at) for at in timed} - {LAST_ACTIVITY}
        happened = {_fact_of(name) for name in asked} | ({RETURNED} if self._wants_return else set())
        self._happened = tuple(sorted(happened))
        self._timed = [
            (
                None if (name := _field(tables, at)) == LAST_ACTIVITY else self._happened.index(_fact_of(name)),
                tables[at[0]].encoders[at[1]],
            )
            for at in timed
        ]
        self._untimed = self._packed([encoder(0.0 if which is None else None) for which, encoder in self._timed])
        self._looks: list[tuple[Callable[[Sequence[int]], Codes], dict[Codes, Part], Criterion]] = [
            (picker([place[t, column] for column in range(len(criterion.table.columns))]), {}, criterion)
            for t, criterion in enumerate(self._criteria)
        ]
        last = len(tables) - 1
        factual = [c for c in range(len(routing.columns)) if (last, c) in place]
        self._pick_routing = picker([place[last, c] for c in factual])
        self.outcomes = Outcomes(ruleset, factual)
        bounds = _bounds(ruleset)
        self._bounds = [bounds.get(name, ()) for name in self._happened]
        self._judged: dict[Vector, Judged] = {}
        #: names these rules and the meaning of the codes
        self.mark = _mark(ruleset.revision, tables, [_field(tables, at) for at in (*lasting, *timed)])

    def codes(self, facts: Mapping[str, Fact]) -> Vector:
        """The part of the vector that follows from the facts."""
        get = facts.get
        return self._packed(
            [encoder(None if (fact := get(name)) is None else fact.value) for name, encoder in self._encoders]
        )

    def changed_codes(self, codes: Vector, before: Mapping[str, Fact], after: Mapping[str, Fact]) -> Vector:
        """The codes after some facts were written and none removed: only theirs are encoded anew."""
        changed = list(self._unpacked(codes))
        for name, fact in after.items():
            if before.get(name) is not fact:
                for place, encoder in self._by_fact.get(name, ()):
                    changed[place] = encoder(fact.value)
        return self._packed(changed)

    def times(self, facts: Mapping[str, Fact]) -> Times:
        """When what the rules ask `days_since` for happened."""
        found = tuple([None if (fact := facts.get(name)) is None else fact.stamp.time for name in self._happened])
        return () if found.count(None) == len(found) else found

    def returned_at(self, times: Times) -> int | None:
        """When sales last returned the lead; None if it never did, or if routing does not ask what is new since."""
        return times[self._happened.index(RETURNED)] if times and self._wants_return else None

    def vector(self, codes: Vector, times: Times, clock: int, now: int) -> Vector:
        """The whole vector as of `now`, for a lead whose latest activity was at `clock`."""
        if not times and clock == now:
            return codes + self._untimed  # type: ignore[operator]
        timed = []
        for which, encoder in self._timed:
            time = clock if which is None else times[which] if times else None
            timed.append(encoder(None if time is None else (now - time) / DAY))
        return codes + self._packed(timed)  # type: ignore[operator]

    def until(self, times: Times, now: int) -> int:
        """Up to when the vector of a lead is sure to stay as it is at `now`, if its latest activity is always just
        now; `now` itself where something is about to change. Days are compared as floats, hence the second."""
        until = _FOREVER
        if not times:
            return until
        for time, bounds in zip(times, self._bounds, strict=False):
            if time is not None:
                for bound in bounds:
                    change = time + int(bound * DAY)
                    if change > now - SECOND:
                        until = min(until, change - SECOND)
        return max(until, now)

    def judge(self, vector: Vector) -> Judged:
        """What the criteria make of the vector."""
        known = self._judged.get(vector)
        if known is None:
            known = keep(self._judged, vector, self._judge(vector), _ROOM)
        return known

    def _packed(self, codes: Sequence[int]) -> Vector:
        if not self._is_narrow:
            return tuple(codes)
        digits = bytes(codes).translate(_DIGITS)
        return unhexlify(digits if len(digits) % 2 == 0 else digits + b"0")

    def _unpacked(self, vector: Vector) -> Sequence[int]:
        return hexlify(vector).translate(_VALUES) if isinstance(vector, bytes) else vector

    def _judge(self, vector: Vector) -> Judged:
        codes = self._unpacked(vector)
        parts = []
        for pick, known, criterion in self._looks:
            own = pick(codes)
            found = known.get(own)
            if found is None:
                found = keep(known, own, part(criterion, self._ruleset.engine.match(criterion.table, own)), _ROOM)
            parts.append(found)
        return Judged(parts, self._pick_routing(codes), merged=bool(codes[self._merged]))


_DIGITS: Final = bytes.maketrans(bytes(range(16)), b"0123456789abcdef")
_VALUES: Final = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))


def _bounds(ruleset: Ruleset) -> Mapping[str, tuple[float, ...]]:
    """For each fact that happened: the days since it at which some comparison may change."""
    conditions = [rule.condition for criterion in ruleset.criteria for rule in criterion.rules]
    conditions += [rule.condition for rule in ruleset.routing]
    found: dict[str, set[float]] = {}
    for condition in conditions:
        for test in () if condition is None else tests(condition):
            if test.field.startswith(DAYS_SINCE):
                operands = test.operand if isinstance(test.operand, tuple) else (test.operand,)
                days = [each for each in operands if isinstance(each, (int, float)) and not isinstance(each, bool)]
                found.setdefault(_fact_of(test.field), set()).update(days)
    return {name: tuple(sorted(days)) for name, days in found.items()}


def _field(tables: Sequence[OrdinalTable], at: tuple[int, int]) -> str:
    return tables[at[0]].columns[at[1]].field


def _fact_of(days_since: str) -> str:
    return f"at.{days_since.removeprefix(DAYS_SINCE)}"


_COMPUTED: Final = ("score.", "grade.", "criteria.", "groups.", "signals.", DAYS_SINCE)


def _is_fact(name: str) -> bool:
    return name != "rating" and not name.startswith(_COMPUTED)


def _mark(revision: str, tables: Sequence[OrdinalTable], fields: Sequence[str]) -> bytes:
    digest = blake2b(f"{MEANING}\n{revision}".encode(), digest_size=MARK_SIZE)
    for text in (*(table.content_hash for table in tables), *fields):
        digest.update(f"\n{text}".encode())
    return digest.digest()
