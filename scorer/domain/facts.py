"""What is known about a lead. The latest event writes a fact; of several at one time, the one that arrived last."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple


class Stamp(NamedTuple):
    """Which event wrote a fact, and when: its effective time, in microseconds since the epoch. A stamp that the service
    sets itself, for a hand-over, has no id."""

    time: int
    id: str
    source: str


class Fact(NamedTuple):
    """A value and the event that stated it. The value None means that the event withdrew the fact."""

    value: object
    stamp: Stamp


class Facts(Mapping[str, Fact]):
    """Facts by name. Facts from a stored state stay packed until one is read, because most activities state none."""

    __slots__ = ("_known", "_unpack", "packed")

    def __init__(
        self,
        known: dict[str, Fact] | None,
        packed: bytes | None = None,
        unpack: Callable[[bytes], dict[str, Fact]] | None = None,
    ) -> None:
        self._known = known
        self._unpack = unpack
        self.packed = packed
        """The facts as bytes from the state codec; None if they are not encoded yet."""

    @property
    def known(self) -> dict[str, Fact]:
        """The facts as a dictionary. Do not change it."""
        if self._known is None:
            assert self.packed is not None
            assert self._unpack is not None
            self._known = self._unpack(self.packed)
        return self._known

    def __getitem__(self, name: str) -> Fact:
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Facts):
            return self.known == other.known
        return self.known == other if isinstance(other, dict) else NotImplemented

    def __repr__(self) -> str:
        return repr(self.known)


NO_FACTS: Final = Facts({})


def write_facts(
    facts: Mapping[str, Fact], stated: Iterable[tuple[str, object]], stamp: Stamp, *, ties: bool = True
) -> Mapping[str, Fact]:
    """The facts after the statements; the same object if all statements are outdated. `ties`: of two events with equal
    times this one, which arrives later, wins."""
    known = facts.known if isinstance(facts, Facts) else facts
    changed: dict[str, Fact] | None = None
    time = stamp.time
    for name, value in stated:
        before = known.get(name)
        # The usual case comes first, because the call costs as much as the rest.
        if before is None or before.stamp.time < time or is_later(stamp, before.stamp, ties=ties):
            if changed is None:
                changed = dict(known)
            changed[name] = Fact(value, stamp)
    return facts if changed is None else Facts(changed)


def write_earliest(facts: Mapping[str, Fact], name: str, value: object, stamp: Stamp) -> Mapping[str, Fact]:
    """The facts after a statement of which the earliest counts; the same object if there is an earlier one."""
    before = facts.get(name)
    if before is not None and before.stamp <= stamp:
        return facts
    known = facts.known if isinstance(facts, Facts) else facts
    return Facts({**known, name: Fact(value, stamp)})


def is_later(stamp: Stamp, before: Stamp, *, ties: bool) -> bool:
    """Whether the event of `stamp`, which arrives after that of `before`, replaces it. `ties`: also at an equal time.
    An event never replaces itself, and always replaces a hand-over of the same instant."""
    if stamp.time != before.time:
        return stamp.time > before.time
    if not before.id:
        return bool(stamp.id)
    return ties and stamp != before


def drop_contradicted(
    facts: Mapping[str, Fact], stated: Iterable[tuple[str, object]], stamp: Stamp
) -> Mapping[str, Fact]:
    """The facts without those to which a later statement gives another value; the same object if there are none. The
    result does not depend on the order of statements with different times."""
    wrong = {
        name
        for name, value in stated
        if (known := facts.get(name)) and is_later(stamp, known.stamp, ties=True) and known.value != value
    }
    return Facts({name: fact for name, fact in facts.items() if name not in wrong}) if wrong else facts
