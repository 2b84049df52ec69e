"""Counts by names that senders invent, in bounded memory. Exact, and the same however the input was divided.

If there are more names than are kept, those with the smallest hashes are kept. A name that is among them in the end was
among them at every moment and in every part, so its count is complete; all others are counted together.

Names that differ only in case or spaces are one. It is shown as it was spelled first.
"""

from collections import Counter
from hashlib import blake2b
from heapq import nsmallest
from typing import Final

KEPT: Final = 10_000
LONGEST: Final = 120
"""Longer names are cut to so many characters: names that begin alike count as one."""


class Names:
    """How often each name was given, by the name in lower case. `unstated`: how often none was."""

    def __init__(self, kept: int = KEPT) -> None:
        self.counts: Counter[str] = Counter()
        self.unstated = 0
        self.others = 0
        """How often one of the names that are not kept was given."""
        self.is_complete = True
        """Whether all names are kept."""
        self._kept = kept
        self.spellings: dict[str, tuple[int, str]] = {}
        """Of each name that is kept, the earliest spelling with its time; of several at that time, the smallest."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def spelling(self, name: str) -> str:
        """How a counted name is shown: as it was spelled first."""
        return self.spellings[name][1]

    def add(self, name: object, time: int) -> None:
        """Count a name that was given at this time; None and blank texts are no names."""
        text = " ".join(name.split())[:LONGEST] if isinstance(name, str) else ""
        if not text:
            self.unstated += 1
            return
        key = text.casefold()
        self.counts[key] += 1
        self._spell(key, (time, text))
        if len(self.counts) > 2 * self._kept:
            self._prune()

    def merge(self, other: "Names") -> None:
        """Add the counts of another part of the input."""
        self.counts.update(other.counts)
        for key, spelled in other.spellings.items():
            self._spell(key, spelled)
        self.unstated += other.unstated
        self.others += other.others
        self.is_complete = self.is_complete and other.is_complete
        self._prune()

    def _prune(self) -> None:
        if len(self.counts) <= self._kept:
            return
        self.is_complete = False
        kept = nsmallest(self._kept, self.counts, key=_hash)
        total = self.counts.total()
        self.counts = Counter({name: self.counts[name] for name in kept})
        self.spellings = {name: self.spellings[name] for name in kept}
        self.others += total - self.counts.total()

    def _spell(self, key: str, spelled: tuple[int, str]) -> None:
        known = self.spellings.get(key)
        if known is None or spelled < known:
            self.spellings[key] = spelled

    def finish(self) -> None:
        """Forget the names beyond those that are kept."""
        self._prune()


def _hash(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() + name.encode(
        "utf-8", "surrogatepass"
    )
