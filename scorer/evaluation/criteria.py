"""The evaluation of the criteria for a lead's facts.

The code of every column of every table is one element of a vector of small numbers. No criterion can distinguish two
leads with the same vector, so the result for a vector is computed once and remembered, within a bound. A lead keeps the
part of its vector that follows from its facts; an activity changes only the codes of the facts that it states. The
codes that also depend on the time (`days_since`) are a second part.
"""

from binascii import hexlify, unhexlify
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import Final

from scorer.domain.facts import Fact
from scorer.domain.instant import DAY
from scorer.domain.lead import NEVER, NO_CLOCK
from scorer.domain.lifecycle import STATUS
from scorer.domain.statements import RETURNED
from scorer.engines.cache import BoundedCache
from scorer.engines.column import Encoder
from scorer.engines.engine import RuleEngine
from scorer.engines.table import Codes, OrdinalTable, Rule, Table
from scorer.evaluation.notes import MARK_SIZE, FactVector, Times
from scorer.evaluation.results import CriteriaResult, CriterionResult, CriterionShare, Reason
from scorer.rules.catalogue import is_timed, milestone_of
from scorer.rules.condition import tests
from scorer.rules.routing_facts import SINCE_RETURN, routing_facts_of
from scorer.rules.ruleset import CAP, Criterion, HitPolicy, Ruleset

MEANING: Final = 2
"""Increase it whenever the same rules would give other codes for the same facts: codes are stored with the states of
leads, and must not be misread. A test contains a sample."""

_MERGED: Final = "lifecycle.merged_into"
_ROOM: Final = 16_384
_DAYS_OF_ALL_TIMES: Final = 10_000_000
"""More days than between any two times."""


class CriteriaTables:
    """The compiled criteria and routing table of a ruleset. Deterministic; it remembers its results."""

    def __init__(self, ruleset: Ruleset, engine: RuleEngine) -> None:
        self._engine = engine
        timed_last = sorted(ruleset.criteria, key=lambda criterion: any(map(is_timed, criterion.fields)))
        self.tables = {criterion.name: _compiled(criterion) for criterion in timed_last}
        self.routing_table = Table(
            tuple(Rule(rule.id, rule.condition) for rule in ruleset.routing), HitPolicy.FIRST
        ).compile()
        tables = [*self.tables.values(), self.routing_table]
        computed = {fact.name for fact in routing_facts_of(ruleset)}
        columns = [(t, c) for t, table in enumerate(tables) for c in range(len(table.columns))]
        timed = [at for at in columns if is_timed(_field(tables, at))]
        lasting = [at for at in columns if not is_timed(name := _field(tables, at)) and name not in computed]
        self._encoders = [(name := _field(tables, at), _known(name, tables[at[0]].encoders[at[1]])) for at in lasting]
        self._merged = len(lasting)
        self._encoders.append((_MERGED, lambda value: int(value is not None)))
        cardinalities = [column.cardinality for table in tables for column in table.columns]
        self._is_narrow = max(cardinalities, default=0) <= 16
        if self._is_narrow and len(self._encoders) % 2:
            self._encoders.append((_MERGED, lambda value: 0))  # two codes per byte
        place = {at: number for number, at in enumerate(lasting)}
        place |= {at: number for number, at in enumerate(timed, start=len(self._encoders))}
        self._by_fact: dict[str, list[tuple[int, Encoder]]] = {}
        for number, (name, encoder) in enumerate(self._encoders):
            self._by_fact.setdefault(name, []).append((number, encoder))

        self._wants_return = any(SINCE_RETURN in rule.fields for rule in ruleset.routing)
        milestones = {milestone_of(_field(tables, at)) for at in timed} | ({RETURNED} if self._wants_return else set())
        self._milestones = tuple(sorted(filter(None, milestones)))
        self._timed = [
            (
                None if (milestone := milestone_of(_field(tables, at))) is None else self._milestones.index(milestone),
                tables[at[0]].encoders[at[1]],
            )
            for at in timed
        ]
        self._untimed = self._packed([encoder(0.0 if which is None else None) for which, encoder in self._timed])
        self._parts: list[tuple[Callable[[Sequence[int]], Codes], BoundedCache[Codes, CriterionShare], Criterion]] = [
            (picker([place[t, column] for column in range(len(table.columns))]), BoundedCache(_ROOM), criterion)
            for t, (criterion, table) in enumerate(zip(timed_last, self.tables.values(), strict=True))
        ]
        last = len(tables) - 1
        self.routing_columns = [c for c in range(len(self.routing_table.columns)) if (last, c) in place]
        """The columns of the routing table whose codes are `CriteriaResult.codes`, in that order."""
        self._pick_routing = picker([place[last, column] for column in self.routing_columns])
        spans = _spans(ruleset)
        self._spans = [spans.get(name, ()) for name in self._milestones]
        self._idle_spans = spans.get(None, ())
        self._fresh_since, self._fresh_until = self.idle(0)
        self._results = BoundedCache[FactVector, CriteriaResult](_ROOM)
        self.mark = _mark(ruleset.revision, tables, [_field(tables, at) for at in (*lasting, *timed)])
        """Identifies these rules and the meaning of the codes."""

    def prepare(self) -> Iterator[None]:
        """Prepare the engine for every table in small steps, so that no activity has to wait for it."""
        prepare = getattr(self._engine, "prepare", None)
        for table in (*self.tables.values(), self.routing_table):
            if prepare is not None:
                yield from prepare(table)

    def encode_facts(self, facts: Mapping[str, Fact]) -> FactVector:
        """The part of the vector that follows from the facts."""
        get = facts.get
        return self._packed(
            [encoder(None if (fact := get(name)) is None else fact.value) for name, encoder in self._encoders]
        )

    def encode_changes(self, codes: FactVector, before: Mapping[str, Fact], after: Mapping[str, Fact]) -> FactVector:
        """The codes after some facts were written and none was removed. Only the codes of those facts change."""
        changed = list(self._unpacked(codes))
        for name, fact in after.items():
            if before.get(name) is not fact:
                for place, encoder in self._by_fact.get(name, ()):
                    changed[place] = encoder(fact.value)
        return self._packed(changed)

    def times(self, facts: Mapping[str, Fact]) -> Times:
        """The times of the milestones that the rules use in `days_since`."""
        times = tuple([None if (fact := facts.get(name)) is None else fact.stamp.time for name in self._milestones])
        return () if times.count(None) == len(times) else times

    def returned_at(self, times: Times) -> int | None:
        """When sales last returned the lead; None if sales never did or no routing rule uses `score.since_return`."""
        return times[self._milestones.index(RETURNED)] if times and self._wants_return else None

    def vector(self, codes: FactVector, times: Times, clock: int, now: int) -> FactVector:
        """The whole vector as of `now`, for a lead whose latest activity was at `clock`."""
        if not times and self._fresh_since <= now - clock < self._fresh_until:
            return codes + self._untimed  # type: ignore[operator]
        timed = []
        for which, encoder in self._timed:
            time = clock if which is None else times[which] if times else None
            timed.append(encoder(None if time is None else (now - time) / DAY))
        return codes + self._packed(timed)  # type: ignore[operator]

    def valid_until(self, times: Times, now: int) -> int:
        """The first instant after `now` at which the code of a milestone's `days_since` may change. It stays as it is
        at `now` until then."""
        until = NEVER
        if times:
            for time, spans in zip(times, self._spans, strict=False):
                if time is not None and (place := bisect_right(spans, now - time)) < len(spans):
                    until = min(until, time + spans[place])
        return until

    def idle(self, idle: int) -> tuple[int, int]:
        """The range (first, end) of times since the latest activity in which the codes of `days_since.last_activity`
        are those of `idle`, in microseconds."""
        spans = self._idle_spans
        place = bisect_right(spans, idle)
        return spans[place - 1] if place else NO_CLOCK, spans[place] if place < len(spans) else NEVER

    def result(self, vector: FactVector) -> CriteriaResult:
        """The result of the criteria for the vector."""
        known = self._results.get(vector)
        if known is None:
            known = self._results.recall(vector) or self._results.keep(vector, self._evaluate(vector))
        return known

    def _packed(self, codes: Sequence[int]) -> FactVector:
        if not self._is_narrow:
            return tuple(codes)
        digits = bytes(codes).translate(_DIGITS)
        return unhexlify(digits if len(digits) % 2 == 0 else digits + b"0")

    def _unpacked(self, vector: FactVector) -> Sequence[int]:
        return hexlify(vector).translate(_VALUES) if isinstance(vector, bytes) else vector

    def _evaluate(self, vector: FactVector) -> CriteriaResult:
        codes = self._unpacked(vector)
        shares = []
        for pick, known, criterion in self._parts:
            own = pick(codes)
            share = known.look_up(own)
            if share is None:
                matched = self._engine.match(self.tables[criterion.name], own)
                share = known.keep(own, criterion_share(criterion, matched))
            shares.append(share)
        return CriteriaResult(shares, self._pick_routing(codes), is_merged=bool(codes[self._merged]))


def limit_text(criterion: str, limit: int, *, is_maximum: bool) -> str:
    """The reason for the points that the limit of a criterion takes or adds."""
    return f"The {criterion} criterion gives no {'more' if is_maximum else 'fewer'} than {limit} points"


def criterion_share(criterion: Criterion, matched: Sequence[int]) -> CriterionShare:
    """The share of a criterion whose rules with these indexes hold."""
    name = criterion.name
    rules = tuple([criterion.rules[index] for index in matched])
    total = points = sum([rule.points for rule in rules])
    low, high = criterion.min, criterion.max
    if high is not None and points > high:
        points = high
    elif low is not None and points < low:
        points = low
    reasons = [Reason(name, rule.id, rule.points, rule.reason, rule.fields) for rule in rules]
    if points != total:
        reasons.append(Reason(name, CAP, points - total, limit_text(name, points, is_maximum=points < total), ()))
    hits = tuple((name, rule.id) for rule in rules)
    return CriterionShare(CriterionResult(criterion, rules, points), points, hits, tuple(reasons))


def picker(places: Sequence[int]) -> Callable[[Sequence[int]], Codes]:
    """A function that returns the codes at these places, always as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda codes: tuple([codes[place] for place in places])


_DIGITS: Final = bytes.maketrans(bytes(range(16)), b"0123456789abcdef")
_VALUES: Final = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))


def _compiled(criterion: Criterion) -> OrdinalTable:
    return Table(tuple(Rule(rule.id, rule.condition) for rule in criterion.rules), criterion.hit_policy).compile()


def _spans(ruleset: Ruleset) -> Mapping[str | None, tuple[int, ...]]:
    """For each milestone, and for None the latest activity, how long after it a comparison can change, in microseconds,
    ascending."""
    conditions = [rule.condition for criterion in ruleset.criteria for rule in criterion.rules]
    conditions += [rule.condition for rule in ruleset.routing]
    spans: dict[str | None, set[int]] = {}
    for condition in conditions:
        for test in () if condition is None else tests(condition):
            if is_timed(test.field):
                operands = test.operand if isinstance(test.operand, tuple) else (test.operand,)
                for days in operands:
                    if isinstance(days, (int, float)) and not isinstance(days, bool):
                        spans.setdefault(milestone_of(test.field), set()).update(_changes_at(days))
    return {name: tuple(sorted(found)) for name, found in spans.items()}


def _changes_at(days: float) -> tuple[int, ...]:
    """The first time span that is at least so many days, and the first that is more. Days are compared as floats, and
    the result is exact."""
    if not -_DAYS_OF_ALL_TIMES < days < _DAYS_OF_ALL_TIMES:
        return ()
    first = int(days * DAY)
    while first / DAY >= days:
        first -= 1
    while first / DAY < days:
        first += 1
    above = first
    while above / DAY <= days:
        above += 1
    return first, above


def _known(field: str, encoder: Encoder) -> Encoder:
    """The encoder of a field of which the lead may have no fact: without a status it is new."""
    return (lambda value: encoder("new" if value is None else value)) if field == STATUS else encoder


def _field(tables: Sequence[OrdinalTable], at: tuple[int, int]) -> str:
    return tables[at[0]].columns[at[1]].field


def _mark(revision: str, tables: Sequence[OrdinalTable], fields: Sequence[str]) -> bytes:
    digest = blake2b(f"{MEANING}\n{revision}".encode(), digest_size=MARK_SIZE)
    for text in (*(table.content_hash for table in tables), *fields):
        digest.update(f"\n{text}".encode())
    return digest.digest()
