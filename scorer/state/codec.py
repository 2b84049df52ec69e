"""A lead's state as bytes: a version byte, then msgpack of nested lists. Equal states give equal bytes.

Facts of one event share its stamp, and built-in fact names are numbers. Facts are packed separately because most
activities neither read nor change them; then they are neither unpacked nor packed again. Then come the notes of the
evaluator (`Lead.notes`), which are recomputed if other rules are in effect, and what was added later: earlier releases
ignore it, so that they can share a group with this one: such a release loses the lifecycle of a lead that it writes,
and this one then starts again from the facts. The last bytes say when time alone may change something about the lead.

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
from scorer.domain.lifecycle import Lifecycle
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.evaluation.notes import MARK_SIZE, pack_notes, unpack_notes

VERSION: Final = 2

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
)
"""Fact names that are written as their index here. Append only, because the numbers in existing states must keep their
meaning. A release that does not know a number cannot read the state."""

_NUMBERS: Final = {name: number for number, name in enumerate(_NAMES)}


class CodecError(Exception):
    """The bytes are not a state that this version of the software can read."""


if TYPE_CHECKING:
    _StoredCounts = Counts
else:  # msgspec cannot read a tuple whose first items differ from the rest; a cast would cost time for each lead
    _StoredCounts = tuple[bytes | int, ...]


class _State(msgspec.Struct, array_like=True, gc=False):
    clock: int
    erased_at: int | None
    published: tuple[int, str | None, int, int, int] | None
    facts: bytes | None
    counted: Mapping[str, _StoredCounts]
    seen: tuple[str, ...]
    notes: bytes | None = None
    timed: bool = False
    """`notes` and `timed` belong to `scorer.evaluation.notes`."""
    judged_after: int | None = None
    """`judged_at` less `clock`. None, like what follows, if an earlier release wrote the state."""
    recent: _StoredCounts | None = None
    seen_before: int | None = None
    """`judged_at` less `seen_at`."""
    due: bytes | None = None
    """The last bytes: the bound of the due instant and the mark of the rules that it is for (`_DUE`)."""


class _StateWithLifecycle(_State, array_like=True, gc=False):
    lifecycle: Lifecycle | None = None
    again: bytes | None = None
    """`due` again, as the last bytes."""


_decode_state: Final = msgspec.msgpack.Decoder(_StateWithLifecycle).decode

_DUE: Final = struct.Struct(f">I{MARK_SIZE}s")
"""The bound of the next due instant in seconds since the epoch, and the mark of the rules that judged the lead."""
_WITH_DUE: Final = tuple(bytes([VERSION, 0x90 | len(kind.__struct_fields__)]) for kind in (_State, _StateWithLifecycle))
"""The first bytes of a state that ends with `due`."""
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
    due = lead.due
    seconds = due // SECOND
    if not 0 <= seconds <= _LATEST:
        seconds = _NEVER if due >= NEVER else 0 if due < 0 else _LATEST
    lifecycle = lead.lifecycle
    state = (_State if lifecycle is None else _StateWithLifecycle)(
        lead.clock,
        lead.erased_at,
        _pack_published(lead.published, lead.clock),
        packed or None,
        lead.counted,
        lead.rules_at_return,
        judged_after=lead.judged_at - lead.clock,
        recent=lead.recent,
        seen_before=lead.judged_at - lead.seen_at,
        due=_DUE.pack(seconds, lead.judged_by),
    )
    if lifecycle is not None:
        assert isinstance(state, _StateWithLifecycle)
        state.lifecycle, state.again = lifecycle, state.due
    packed_notes = pack_notes(lead.notes, facts)
    if packed_notes is not None:
        state.notes, state.timed = packed_notes
    return b"\x02" + _encode(state)


def due_of(state: bytes) -> tuple[int, bytes]:
    """When time alone may change something about the lead, at the earliest, in microseconds since the epoch, and the
    mark of the rules that said so (`Evaluator.mark`), without decoding the rest. A state that an earlier release wrote
    says at once, by no rules."""
    if not state.startswith(_WITH_DUE):
        return NO_CLOCK, b""
    return _read_due(state[-_DUE.size :])


def _read_due(packed: bytes) -> tuple[int, bytes]:
    seconds, mark = _DUE.unpack(packed)
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
_DAMAGED: Final = (msgspec.DecodeError, struct.error, ValueError, TypeError, IndexError, AttributeError, RecursionError)


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


def _read_2(lead_id: str, state: bytes) -> Lead:
    read = _decode_state(memoryview(state)[1:])
    clock = read.clock
    facts = Facts(None, read.facts or b"", _unpack_facts)
    notes = unpack_notes(read.notes, read.timed, facts) if read.notes else None
    published = None
    if read.published is not None:
        said, queue, fit, engagement, before = read.published
        rating, grade, route = _SAID[said]
        published = Published(rating, grade, route, queue, Score(fit, engagement), clock - before)
    judged_at = _judged_at(clock, published) if read.judged_after is None else clock + read.judged_after
    due, mark = (NO_CLOCK, b"") if read.due is None else _read_due(read.due)
    return Lead(
        lead_id,
        clock,
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
        judged_at if read.seen_before is None else judged_at - read.seen_before,
        read.lifecycle,
    )


class _LifecycleOnly(msgspec.Struct, array_like=True, gc=False):
    """A `_StateWithLifecycle` of which little is read."""

    clock: msgspec.Raw
    erased_at: msgspec.Raw
    published: msgspec.Raw
    facts: msgspec.Raw
    counted: msgspec.Raw
    seen: msgspec.Raw
    notes: msgspec.Raw
    timed: msgspec.Raw
    judged_after: msgspec.Raw
    recent: msgspec.Raw
    seen_before: msgspec.Raw
    due: msgspec.Raw
    lifecycle: Lifecycle | None


_decode_lifecycle: Final = msgspec.msgpack.Decoder(_LifecycleOnly).decode
_decode_counts: Final = msgspec.msgpack.Decoder(Mapping[str, _StoredCounts]).decode


def decode_lifecycle(state: bytes) -> tuple[Lifecycle, Callable[[], Mapping[str, Counts]]] | None:
    """The lifecycle of a lead and a function that gives its counts, from its state, without decoding the rest; None if
    the state has no lifecycle. Both raise `CodecError` for damaged bytes."""
    if not state.startswith(_WITH_DUE[1]):
        return None
    try:
        read = _decode_lifecycle(memoryview(state)[1:])
    except _DAMAGED as error:
        raise CodecError(f"the lifecycle of a state is damaged: {error}") from error
    if read.lifecycle is None:
        return None

    def counts() -> Mapping[str, Counts]:
        try:
            counted: Mapping[str, Counts] = _decode_counts(read.counted)
            return counted
        except _DAMAGED as error:
            raise CodecError(f"the counts of a state are damaged: {error}") from error

    return read.lifecycle, counts


def _read_1(lead_id: str, state: bytes) -> Lead:
    clock, erased_at, published, sources, groups, signals, seen = _decode(memoryview(state)[1:])
    facts = Facts(_facts(sources, groups))
    counted = {intern(name): _counts(days) for name, days in signals}
    said = _unpack_published(published)
    judged_at = _judged_at(clock, said)
    rules_at_return = tuple(map(intern, seen))
    return Lead(
        lead_id, clock, facts, counted, erased_at, said, rules_at_return, judged_at=judged_at, seen_at=judged_at
    )


def _judged_at(clock: int, published: Published | None) -> int:
    """Earlier releases judged a lead as of its latest activity."""
    return clock if published is None else max(clock, published.decided_at)


_READERS: Final[Mapping[int, Callable[[str, bytes], Lead]]] = {1: _read_1, 2: _read_2}


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


def _pack_published(published: Published | None, clock: int) -> tuple[int, str | None, int, int, int] | None:
    if published is None:
        return None
    rating, grade, route, queue, score, decided_at = published
    return (_SAID_NUMBERS[rating, grade, route], queue, score.fit, score.engagement, clock - decided_at)


def _unpack_published(packed: list[Any] | None) -> Published | None:
    if packed is None:
        return None
    rating, letter, figure, route, queue, fit, engagement, decided_at = packed
    return Published(Rating(rating), Grade(letter, figure), Route(route), queue, Score(fit, engagement), decided_at)
