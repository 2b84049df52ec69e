"""When leads are due: about a hundred bytes a lead, and no sorting of all of them. Pure.

Most leads are due at some midnight, many at the same one. So the ids are kept by hour, and only those of the current
hour that are due at another second are sorted.
"""

import heapq
from typing import Final

_HOUR: Final = 3600
_MOST_LOOKS: Final = 10_000
"""About ten milliseconds."""
_FEW: Final = 10_000


class Schedule:
    """Leads with an instant each, in seconds since the epoch."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._hours: dict[int, list[str]] = {}
        self._order: list[int] = []
        self._hour = 0
        self._opened: list[str] = []
        self._near: list[tuple[int, str]] = []
        self._entries = 0

    def __len__(self) -> int:
        """How many leads have an instant."""
        return len(self._due)

    def put(self, lead_id: str, due: int) -> None:
        """The lead is due then, and not when it was before."""
        if self._due.get(lead_id) == due:
            return
        self._due[lead_id] = due
        self._enter(lead_id, due)
        # What a lead leaves behind in another hour stays until that hour comes, unless it becomes too much.
        if self._entries > 2 * len(self._due) + _FEW:
            self._tidy()

    def remove(self, lead_id: str) -> None:
        """The lead is not due any more."""
        self._due.pop(lead_id, None)

    def due(self, lead_id: str) -> int | None:
        """When the lead is due; None if it is not."""
        return self._due.get(lead_id)

    def first(self, now: int) -> tuple[int, str] | None:
        """A lead that is due at `now` or before, and when. None if there is none, or if it takes longer to find it:
        then `next` is at most `now`."""
        for _ in range(_MOST_LOOKS):
            if self._near and self._due.get(self._near[0][1]) != self._near[0][0]:
                heapq.heappop(self._near)
                self._entries -= 1
            elif self._near and self._near[0][0] <= now:
                return self._near[0]
            elif self._opened:
                lead_id = self._opened.pop()
                due = self._due.get(lead_id)
                if due is not None and due // _HOUR == self._hour:
                    heapq.heappush(self._near, (due, lead_id))
                else:
                    self._entries -= 1
            elif self._order and self._order[0] <= now // _HOUR:
                self._hour = heapq.heappop(self._order)
                self._opened = self._hours.pop(self._hour)
            else:
                return None
        return None

    def take(self, now: int, most: int) -> list[str]:
        """Up to `most` leads that are due at `now` or before. They are removed."""
        taken: list[str] = []
        while len(taken) < most:
            found = self.first(now)
            if found is None:
                break
            heapq.heappop(self._near)
            self._entries -= 1
            del self._due[found[1]]
            taken.append(found[1])
        return taken

    def next(self) -> int | None:
        """No lead is due before this; None if none ever is."""
        bounds = [self._order[0] * _HOUR] if self._order else []
        if self._opened:
            bounds.append(self._hour * _HOUR)
        if self._near:
            bounds.append(self._near[0][0])
        return min(bounds, default=None)

    def overdue(self, now: int) -> int:
        """How many leads are due at `now` or before; where that is not known, as if they were."""
        waiting = len(self._opened) + sum(len(self._hours[hour]) for hour in self._order if hour <= now // _HOUR)
        return waiting + (len(self._near) if self._near and self._near[0][0] <= now else 0)

    def _enter(self, lead_id: str, due: int) -> None:
        hour = due // _HOUR
        ids = self._hours.get(hour)
        if ids is None:
            ids = self._hours[hour] = []
            heapq.heappush(self._order, hour)
        ids.append(lead_id)
        self._entries += 1

    def _tidy(self) -> None:
        self._hours, self._order, self._opened, self._near, self._entries = {}, [], [], [], 0
        for lead_id, due in self._due.items():
            self._enter(lead_id, due)
