"""What is known of a lead: each fact is written by the latest event, by time, then id, then source."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple


class Stamp(NamedTuple):
    """When and by which event a fact was written; greater is later. `time` in microseconds since the epoch."""

    time: int
    id: str
    source: str


class Fact(NamedTuple):
    """A value and the event it came from. None is a value too: withdrawn by that event."""

    value: object
    stamp: Stamp


class Facts(Mapping[str, Fact]):
    """Facts by name. Those read from a state stay packed until one is asked for: most activities state nothing."""

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
        """The facts as bytes, as the codec of states wrote them; None: not written yet."""

    @property
    def known(self) -> dict[str, Fact]:
        """The facts as a dictionary, not to be changed."""
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


def write_facts(facts: Mapping[str, Fact], stated: Iterable[tuple[str, object]], stamp: Stamp) -> Mapping[str, Fact]:
    """The facts with what was stated; the very same where all of it is outdated."""
    known = facts.known if isinstance(facts, Facts) else facts
    changed: dict[str, Fact] | None = None
    for name, value in stated:
        before = known.get(name)
        if before is None or before.stamp < stamp:
            if changed is None:
                changed = dict(known)
            changed[name] = Fact(value, stamp)
    return facts if changed is None else Facts(changed)
