"""What one lead contributes to the key figures. Pure.

Everything else (adding, removing, merging) is arithmetic with these contributions, so it is exact.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from scorer.domain.counts import Counts
from scorer.domain.lifecycle import (
    RATINGS,
    STATUSES,
    Decided,
    Lifecycle,
    Passage,
    Status,
    is_usual,
    passages,
    rating_passages,
    stage_passages,
    status_of,
)
from scorer.domain.score import Rating
from scorer.figures.periods import Periods
from scorer.rules.calendar import BusinessCalendar
from scorer.rules.ruleset import ACTION, Phase, Ruleset, Targets

OTHER: Final = "other"
NONE: Final = "none"
PHASES: Final = tuple(Phase)
ACTIONS: Final = "action"
HAND_OVERS: Final = "handed_over"

Key = tuple[str, ...]
"""What is counted, and its labels."""


class Dated(NamedTuple):
    """Something of a local day (`actions`: of a UTC day), in days since 1970-01-01, that counts `times` times."""

    day: int
    key: Key
    times: int = 1


class Waiting(NamedTuple):
    """An open promise: when it breaks, the queue in which the lead is now, and whether the lead is hot."""

    respond_by: int
    queue: str
    is_hot: bool


@dataclass(frozen=True)
class Names:
    """What rules name, and how they group it: figures by equal names are equal. `actions` are the ids. `calendar`: the
    business time by which a period passes."""

    targets: Targets | None
    phases: Mapping[str, Phase]
    categories: tuple[str, ...]
    actions: tuple[str, ...]
    queues: tuple[str, ...]
    calendar: BusinessCalendar | None


def names_of(ruleset: Ruleset) -> Names:
    """The names of a ruleset."""
    lifecycle = ruleset.lifecycle
    return Names(
        ruleset.targets,
        lifecycle.phases,
        tuple(category.id for category in lifecycle.categories),
        tuple(name.removeprefix(ACTION) for name in lifecycle.actions),
        tuple(sorted({*queues_of(ruleset)})),
        ruleset.calendar,
    )


class Contributions:
    """The contributions of leads by the names of a ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.names = names_of(ruleset)
        self.periods = Periods.of(ruleset)
        self._phases = {stage: PHASES.index(phase) for stage, phase in ruleset.lifecycle.phases.items()}
        self._categories = frozenset(self.names.categories)
        self._actions = tuple((name, (ACTIONS, name.removeprefix(ACTION))) for name in ruleset.lifecycle.actions)
        self._queues = frozenset(self.names.queues)

    def standing(self, lifecycle: Lifecycle | None) -> Iterator[Key]:
        """Where the lead is now."""
        status = None if lifecycle is None else status_of(lifecycle)
        yield "status", "new" if status is None else status.value
        decisions = () if lifecycle is None else lifecycle.decisions
        yield "rating", RATINGS[decisions[-1].rating].value if decisions else NONE
        category = None if lifecycle is None else lifecycle.category
        yield "category", NONE if category is None else category if category in self._categories else OTHER

    def waiting(self, lifecycle: Lifecycle | None) -> Waiting | None:
        """The open promise."""
        if lifecycle is None or lifecycle.promise is None:
            return None
        promise, decisions = lifecycle.promise, lifecycle.decisions
        is_hot = bool(decisions) and RATINGS[decisions[-1].rating] is Rating.HOT
        return Waiting(promise.respond_by, self.queue(promise.queue_at(promise.level)), is_hot)

    def dated(self, lifecycle: Lifecycle | None, actions: Mapping[str, Counts]) -> Iterator[Dated]:
        """What happened to the lead, by day."""
        for name, key in self._actions:
            counts = actions.get(name)
            if counts is not None:
                numbers: tuple[int, ...] = counts[1:]
                for day, times in zip(numbers[::2], numbers[1::2], strict=True):
                    yield Dated(day, key, times)
        if lifecycle is None:
            return
        day_of = self.periods.day_of
        yield from self._hand_overs(lifecycle)
        for step in lifecycle.steps:
            if step.status < len(STATUSES):
                yield Dated(day_of(step.time), ("said", STATUSES[step.status]))
        for passage in passages(lifecycle):
            day = day_of(passage.time)
            yield Dated(day, ("status", passage.before, passage.after))
            if not is_usual(cast(Status, passage.before), cast(Status, passage.after)):
                yield Dated(day, ("unusual", passage.before, passage.after))
        for passage in rating_passages(lifecycle):
            yield Dated(day_of(passage.time), ("rating", passage.before, passage.after))
        stages = list(stage_passages(lifecycle))
        for passage in stages:
            before, after = self.stage(passage.before), self.stage(passage.after)
            yield Dated(day_of(passage.time), ("stage", before, after))
        yield from self._reached(stages)

    def stage(self, name: str) -> str:
        """The name of a stage as it is counted."""
        return name if name in self._phases else OTHER if name else NONE

    def queue(self, name: str | None) -> str:
        """The name of a queue as it is counted."""
        return name if name in self._queues else OTHER if name else ""

    def _hand_overs(self, lifecycle: Lifecycle) -> Iterator[Dated]:
        """Each hand-over, and what became of it until the next one."""
        events: list[tuple[int, int, Decided | str]] = [
            (decided.time, 0, decided) for decided in lifecycle.decisions if decided.is_hand_over
        ]
        events += [(step.time, 1, STATUSES[step.status]) for step in lifecycle.steps if step.status < len(STATUSES)]
        events.sort(key=_place)
        hand_over: Decided | None = None
        became: set[str] = set()
        for _, _, event in events:
            if isinstance(event, str):
                became.add(event)
                continue
            yield from self._outcome(hand_over, became)
            hand_over, became = event, set()
        yield from self._outcome(hand_over, became)

    def _outcome(self, hand_over: Decided | None, became: Iterable[str]) -> Iterator[Dated]:
        if hand_over is None:
            return
        day, queue = self.periods.day_of(hand_over.decided_at), self.queue(hand_over.queue)
        yield Dated(day, (HAND_OVERS, queue, HAND_OVERS))
        outcomes = set(became)
        if outcomes & {"won", "lost"}:
            outcomes.add("accepted")
        for outcome in outcomes:
            yield Dated(day, (HAND_OVERS, queue, outcome))

    def _reached(self, stages: Iterable[Passage]) -> Iterator[Dated]:
        """The phases that the lead reached, and from which it went on."""
        known = [(passage, self._phases[passage.after]) for passage in stages if passage.after in self._phases]
        period_of, day_of = self.periods.period_of, self.periods.day_of
        entries: dict[tuple[int, int], bool] = {}
        days: dict[tuple[int, int], int] = {}
        open_entries: dict[int, list[tuple[int, int]]] = {}
        last = -1
        for passage, phase in known:
            if phase == last:
                continue
            day = day_of(passage.time)
            first = period_of(day).first_day
            # Between the phases that the lead jumps over and this one; a phase behind the lead is entered again alone.
            for number in range(last + 1 if phase > last else phase, phase + 1):
                entry = (first, number)
                entries.setdefault(entry, False)
                days.setdefault(entry, day)
                open_entries.setdefault(number, []).append(entry)
            for number in [number for number in open_entries if number < phase]:
                for entry in open_entries.pop(number):
                    entries[entry] = True
            last = phase
        for entry, went_on in entries.items():
            name = PHASES[entry[1]].value
            yield Dated(days[entry], ("reached", name))
            if went_on:
                yield Dated(days[entry], ("went_on", name))


def queues_of(ruleset: Ruleset) -> Iterator[str]:
    """The queues that the rules name."""
    for rule in ruleset.routing:
        if rule.queue is not None:
            yield rule.queue
        for _, queue in rule.escalate or ():
            if queue is not None:
                yield queue


def _place(event: tuple[int, int, object]) -> tuple[int, int]:
    return event[:2]
