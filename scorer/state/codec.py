"""A lead's state as bytes: a version byte, when time alone may change something about the lead and by which rules that
was said, then msgpack of nested lists. Equal states give equal bytes.

Facts of one event share its stamp, and built-in fact names are numbers. Facts are packed separately because most
activities neither read nor change them; then they are neither unpacked nor packed again. The state ends with the
evaluator's notes (`Lead.notes`), which are recomputed if other rules are in effect.

A new version gets a new first byte, and the readers of older versions stay, so that any changelog ever written can be
read. Tests contain a sample of each version.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import intern
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scorer.domain.counts import Counts, join_counts
from scorer.domain.facts import Fact, Facts, Stamp
from scorer.domain.instant import SECOND
from scorer.domain.lead import NEVER, NO_CLOCK, Lead, Published
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.evaluation.notes import MARK_SIZE, pack_notes, unpack_notes

VERSION: Final = 3

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode

_NAMES: Final = (
    "profile.company",
    "profile.industry",
    "profile.employees",
    "profile.annual_revenue",
    "profile.country",
    "profile.language",
    "profile.job_title",
    "profile.job_level",
    "profile.department",
    "profile.email_domain",
    "profile.email_kind",
    "profile.technologies",
    "profile.lead_source",
    "profile.is_competitor",
    "profile.is_customer",
    "bant.budget_status",
    "bant.budget_amount",
    "bant.authority",
    "bant.need",
    "bant.timeline_months",
    "competition.position",
    "competition.competitors",
    "project.resources",
    "project.start_in_months",
    "assessment.rating",
    "assessment.probability",
    "assessment.by",
    "consent.email",
    "consent.phone",
    "lifecycle.status",
    "lifecycle.stage",
    "lifecycle.merged_into",
    "at.demo_requested",
    "at.trial_started",
    "at.meeting_held",
    "at.call_logged",
    "at.sales_accepted",
    "at.sales_returned",
    "at.opportunity_won",
    "at.opportunity_lost",
    "at.handed_over",
    "consent.email.other",
    "consent.phone.other",
)
"""Fact names that are written as their index here. Append only, because the numbers in existing states must keep their
meaning."""

_NUMBERS: Final = {name: number for number, name in enumerate(_NAMES)}


class CodecError(Exception):
    """The bytes are not a state that this version of the software can read."""


if TYPE_CHECKING:
    _StoredCounts = Counts
else:  # msgspec cannot read a tuple whose first items differ from the rest; a cast would cost time for each lead
    _StoredCounts = tuple[bytes | int, ...]


class _State(msgspec.Struct, array_like=True, gc=False):
    clock: int
    judged_after: int
    """`judged_at` less `clock`."""
    erased_at: int | None
    published: tuple[int, str | None, int, int, int] | None
    facts: bytes | None
    counted: Mapping[str, _StoredCounts]
    seen: tuple[str, ...]
    recent: _StoredCounts | None = None
    notes: bytes | None = None
    timed: bool = False
    """`notes` and `timed` belong to `scorer.evaluation.notes`."""


class _State2(msgspec.Struct, array_like=True, gc=False):
    clock: int
    erased_at: int | None
    published: tuple[int, str | None, int, int, int] | None
    facts: bytes | None
    counted: Mapping[str, _StoredCounts]
    seen: tuple[str, ...]
    notes: bytes | None = None
    timed: bool = False
    """`notes` and `timed` belong to `scorer.evaluation.notes`."""


_decode_state: Final = msgspec.msgpack.Decoder(_State).decode
_decode_state_2: Final = msgspec.msgpack.Decoder(_State2).decode

_HEAD: Final = struct.Struct(f">BI{MARK_SIZE}s")
"""The version, the bound of the next due instant in seconds since the epoch, and the mark of the rules that judged."""
_LATEST: Final = 0xFFFF_FFFE
"""In the year 2106. Later bounds are cut to it, because a bound may be too early."""
_NEVER: Final = 0xFFFF_FFFF


def encode_lead(lead: Lead) -> bytes:
    """The state as bytes, without the lead's id, which is the record's key. Raises `TypeError` or `OverflowError` for a
    value that msgpack cannot represent."""
    facts = lead.facts
    if not isinstance(facts, Facts):
        packed = _pack_facts(facts)
    elif facts.packed is None:
        packed = facts.packed = _pack_facts(facts.known)
    else:
        packed = facts.packed
    published, due = _pack_published(lead.published, lead.judged_at), lead.due
    state = _State(
        lead.clock,
        lead.judged_at - lead.clock,
        lead.erased_at,
        published,
        packed or None,
        lead.counted,
        lead.rules_at_return,
        lead.recent,
    )
    packed_notes = pack_notes(lead.notes, facts)
    if packed_notes is not None:
        state.notes, state.timed = packed_notes
    seconds = _NEVER if due >= NEVER else max(0, min(_LATEST, due // SECOND))
    return _HEAD.pack(VERSION, seconds, lead.judged_by) + _encode(state)


def due_of(state: bytes) -> tuple[int, bytes]:
    """When time alone may change something about the lead, at the earliest, in microseconds since the epoch, and the
    mark of the rules that said so (`Evaluator.mark`), without decoding the rest. A state of an older version says at
    once, by no rules."""
    if len(state) < _HEAD.size or state[0] != VERSION:
        return NO_CLOCK, b""
    _, seconds, mark = _HEAD.unpack_from(state)
    # Before 1970 seconds cannot say when.
    due = NEVER if seconds == _NEVER else seconds * SECOND if seconds else NO_CLOCK
    return due, mark if mark != _NOBODY else b""


def _pack_facts(facts: Mapping[str, Fact]) -> bytes:
    sources: dict[str, int] = {}
    by_stamp: dict[Stamp, list[object]] = {}
    for name in sorted(facts):
        value, stamp = facts[name]
        by_stamp.setdefault(stamp, []).extend((_NUMBERS.get(name, name), value))
    content: list[object] = [sources]
    for stamp in sorted(by_stamp):
        source = sources.setdefault(stamp.source, len(sources))
        content += (stamp.time, stamp.id, source, by_stamp[stamp])
    content[0] = list(sources)
    return _encode(content) if by_stamp else b""


def _unpack_facts(packed: bytes) -> dict[str, Fact]:
    if not packed:
        return {}
    try:
        sources, *content = _decode(packed)
        parts = iter(content)
        return _facts(sources, zip(parts, parts, parts, parts, strict=True))
    except _DAMAGED as error:
        raise CodecError(f"the facts of a state are damaged: {error}") from error


def _facts(sources: list[str], groups: Iterable[Sequence[Any]]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    for time, identity, source, named in groups:
        stamp = Stamp(time, identity, sources[source])
        for position in range(0, len(named), 2):
            name = named[position]
            name = intern(name) if isinstance(name, str) else _NAMES[name]
            facts[name] = Fact(named[position + 1], stamp)
    return facts


_NOBODY: Final = bytes(MARK_SIZE)
_DAMAGED: Final = (msgspec.DecodeError, ValueError, TypeError, IndexError, AttributeError)


def decode_lead(lead_id: str, state: bytes) -> Lead:
    """The lead from its state. Raises `CodecError`, which says what is wrong with the bytes."""
    if not state:
        raise CodecError(f"the state of {lead_id!a} is empty; expected a version byte")
    reader = _READERS.get(state[0])
    if reader is None:
        known = ", ".join(map(str, _READERS))
        raise CodecError(f"the state of {lead_id!a} has version {state[0]}; this software reads {known}")
    try:
        return reader(lead_id, state)
    except _DAMAGED as error:
        raise CodecError(f"the state of {lead_id!a} is damaged: {error}") from error


def _read_3(lead_id: str, state: bytes) -> Lead:
    read = _decode_state(memoryview(state)[_HEAD.size :])
    facts = Facts(None, read.facts or b"", _unpack_facts)
    notes = unpack_notes(read.notes, read.timed, facts) if read.notes else None
    judged_at = read.clock + read.judged_after
    published = _read_published(read.published, judged_at)
    due, mark = due_of(state)
    return Lead(
        lead_id,
        read.clock,
        facts,
        read.counted,
        read.erased_at,
        published,
        read.seen,
        notes,
        judged_at,
        read.recent,
        mark,
        due,
    )


def _read_published(packed: tuple[int, str | None, int, int, int] | None, judged_at: int) -> Published | None:
    if packed is None:
        return None
    said, queue, fit, engagement, before = packed
    rating, grade, route = _SAID[said]
    return Published(rating, grade, route, queue, Score(fit, engagement), judged_at - before)


def _read_2(lead_id: str, state: bytes) -> Lead:
    read = _decode_state_2(memoryview(state)[1:])
    facts = Facts(None, read.facts or b"", _unpack_facts)
    notes = unpack_notes(read.notes, read.timed, facts) if read.notes else None
    published = _read_published(read.published, read.clock)
    judged_at = _judged_at(read.clock, published)
    return Lead(lead_id, read.clock, facts, read.counted, read.erased_at, published, read.seen, notes, judged_at)


def _read_1(lead_id: str, state: bytes) -> Lead:
    clock, erased_at, published, sources, groups, signals, seen = _decode(memoryview(state)[1:])
    facts = Facts(_facts(sources, groups))
    counted = {intern(name): _counts(days) for name, days in signals}
    said = _unpack_published(published)
    judged_at = _judged_at(clock, said)
    return Lead(lead_id, clock, facts, counted, erased_at, said, tuple(map(intern, seen)), judged_at=judged_at)


def _judged_at(clock: int, published: Published | None) -> int:
    """Until version 2 a lead was judged as of its latest activity."""
    return clock if published is None else max(clock, published.decided_at)


_READERS: Final[Mapping[int, Callable[[str, bytes], Lead]]] = {1: _read_1, 2: _read_2, 3: _read_3}


def _counts(days: list[Any]) -> Counts:
    numbers = [number for day, hashes in zip(days[::2], days[1::2], strict=True) for number in (day, len(hashes) // 8)]
    return join_counts(b"".join(days[1::2]), numbers)


_SAID: Final = tuple(
    (rating, Grade(letter, figure), route)
    for rating in Rating
    for route in Route
    for letter in "ABCD"
    for figure in range(1, 5)
)
_SAID_NUMBERS: Final = {said: number for number, said in enumerate(_SAID)}
"""Rating, grade and route as one number. Never change the order."""


def _pack_published(published: Published | None, judged_at: int) -> tuple[int, str | None, int, int, int] | None:
    if published is None:
        return None
    rating, grade, route, queue, score, decided_at = published
    return (_SAID_NUMBERS[rating, grade, route], queue, score.fit, score.engagement, judged_at - decided_at)


def _unpack_published(packed: list[Any] | None) -> Published | None:
    if packed is None:
        return None
    rating, letter, figure, route, queue, fit, engagement, decided_at = packed
    return Published(Rating(rating), Grade(letter, figure), Route(route), queue, Score(fit, engagement), decided_at)
