"""A bag of instants that says how many of them have passed, without sorting them. Pure."""

from collections import Counter

from scorer.domain.instant import DAY


class Instants:
    """Instants in microseconds since the epoch, by UTC day. Two bags are equal if they hold the same instants.

    An instant may be taken out before it is put in, so that the order of changes does not matter.
    """

    def __init__(self) -> None:
        self.days: dict[int, Counter[int]] = {}
        self._totals: Counter[int] = Counter()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instants) and self.days == other.days

    @property
    def total(self) -> int:
        """How many there are."""
        return self._totals.total()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was put in or taken out that is not balanced."""
        return not self.days

    def add(self, instant: int, times: int = 1) -> None:
        """Put an instant in so often; a negative number takes it out."""
        day = instant // DAY
        found = self.days.setdefault(day, Counter())
        found[instant] += times
        self._totals[day] += times
        if not found[instant]:
            del found[instant]
        if not found:
            del self.days[day], self._totals[day]

    def merge(self, other: "Instants") -> None:
        """Add the other bag."""
        for found in other.days.values():
            for instant, times in found.items():
                self.add(instant, times)

    def passed(self, now: int) -> int:
        """How many of them are at `now` or before."""
        today = now // DAY
        before = sum(total for day, total in self._totals.items() if day < today)
        return before + sum(times for instant, times in self.days.get(today, {}).items() if instant <= now)
