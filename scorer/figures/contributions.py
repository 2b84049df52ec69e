"""What one lead contributes to the key figures. Pure.

Everything else (adding, removing, merging) is arithmetic with these contributions, so it is exact.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple

from scorer.domain.counts import Counts, days_counted
from scorer.domain.lifecycle import (
    RATINGS,
    STAGED,
    STATUSES,
    Decided,
    Lifecycle,
    Passage,
    after_decision,
    is_usual,
    passages,
    placed,
    stage_passages,
)
from scorer.domain.score import Rating
from scorer.figures.periods import Periods
from scorer.rules.calendar import BusinessCalendar
from scorer.rules.ruleset import ACTION, Phase, Ruleset, Targets

OTHER: Final = "other"
NONE: Final = "none"
PHASES: Final = tuple(Phase)
STATUS: Final = "status"
RATING: Final = "rating"
CATEGORY: Final = "category"
UNUSUAL: Final = "unusual"
SAID: Final = "said"
STAGE: Final = "stage"
REACHED: Final = "reached"
WENT_ON: Final = "went_on"
ACTIONS: Final = "action"
HAND_OVERS: Final = "handed_over"
WON_AND_LOST: Final = "won_and_lost"
"""What a hand-over became that was won and lost: it is in both counts, but is one hand-over with a decision."""
_ALWAYS: Final = -(1 << 62)
_RATINGS: Final = tuple(rating.value for rating in RATINGS)
_USUAL: Final = frozenset((before, after) for before in STATUSES for after in STATUSES if is_usual(before, after))

Key = tuple[str, ...]
"""What is counted, and its labels."""


Entry = tuple[int | None, Key]
"""Something that counts, with its instant in microseconds since the epoch; None: it holds now."""

_NOTHING_KNOWN: Final[tuple[Entry, ...]] = ((None, (STATUS, "new")), (None, (RATING, NONE)), (None, (CATEGORY, NONE)))


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

    def waiting(self, lifecycle: Lifecycle | None) -> Waiting | None:
        """The open promise."""
        if lifecycle is None or lifecycle.promise is None:
            return None
        promise, decisions = lifecycle.promise, lifecycle.decisions
        is_hot = bool(decisions) and RATINGS[decisions[-1].rating] is Rating.HOT
        return Waiting(promise.respond_by, self.queue(promise.queue_at(promise.level)), is_hot)

    def actions(self, counted: Mapping[str, Counts]) -> Iterator[tuple[int, Key, int]]:
        """The sales actions: the UTC day, in days since 1970-01-01, and how many."""
        for name, key in self._actions:
            counts = counted.get(name)
            if counts is not None:
                for day, times in days_counted(counts):
                    yield day, key, times

    def entries(self, lifecycle: Lifecycle | None) -> list[Entry]:
        """Where the lead is now, and what happened to it."""
        if lifecycle is None:
            return [*_NOTHING_KNOWN]
        steps, decisions, category = lifecycle.steps, lifecycle.decisions, lifecycle.category
        passed = passages(lifecycle)
        entries: list[Entry] = [
            (None, (STATUS, passed[-1].after if passed else "new")),
            (None, (RATING, _RATINGS[decisions[-1].rating] if decisions else NONE)),
            (None, (CATEGORY, self._category(category))),
        ]
        for time, before, after in passed:
            entries.append((time, (STATUS, before, after)))
            if (before, after) not in _USUAL:
                entries.append((time, (UNUSUAL, before, after)))
        rating = None
        for decided in decisions:
            if decided.rating != rating:
                if rating is not None:
                    time = decided.time + decided.delay
                    entries.append((time, (RATING, _RATINGS[rating], _RATINGS[decided.rating])))
                rating = decided.rating
            if decided.is_hand_over and not steps:
                entries.append((decided.time + decided.delay, (HAND_OVERS, self.queue(decided.queue), HAND_OVERS)))
        if steps:
            self._add_steps(lifecycle, entries)
        return entries

    def changes(self, before: Lifecycle | None, after: Lifecycle | None) -> list[tuple[Entry, int]]:
        """The entries that come (1) and go (-1) if a lead changes."""
        if before is not None and after is not None and not before.steps and not after.steps:
            changes = self._by_decision(before, after)
            if changes is not None:
                return changes
        gone = self.entries(before)
        come: list[tuple[Entry, int]] = []
        for entry in self.entries(after):
            if entry in gone:
                gone.remove(entry)
            else:
                come.append((entry, 1))
        return come + [(entry, -1) for entry in gone]

    def _by_decision(self, before: Lifecycle, after: Lifecycle) -> list[tuple[Entry, int]] | None:
        """`changes` in the usual case, without going through the history: sales has said nothing, and the latest
        decision is the only one that is new. None in other cases."""
        known, decisions = before.decisions, after.decisions
        if not known or (decisions != known and decisions[:-1] != known):
            return None
        changes: list[tuple[Entry, int]] = []
        if before.category != after.category:
            changes.append(((None, (CATEGORY, self._category(before.category))), -1))
            changes.append(((None, (CATEGORY, self._category(after.category))), 1))
        if len(decisions) == len(known):
            return changes
        latest, time, old = decisions[-1], _ALWAYS, STATUSES[0]
        for decided in known:
            if decided.time < time:
                return None
            time, old = decided.time, after_decision(decided, old)
        if latest.time < time:
            return None
        new, time = after_decision(latest, old), latest.time + latest.delay
        if new != old:
            changes += (((None, (STATUS, old)), -1), ((None, (STATUS, new)), 1), ((time, (STATUS, old, new)), 1))
            if (old, new) not in _USUAL:
                changes.append(((time, (UNUSUAL, old, new)), 1))
        if latest.rating != known[-1].rating:
            was, now = _RATINGS[known[-1].rating], _RATINGS[latest.rating]
            changes += (((None, (RATING, was)), -1), ((None, (RATING, now)), 1), ((time, (RATING, was, now)), 1))
        if latest.is_hand_over:
            changes.append(((time, (HAND_OVERS, self.queue(latest.queue), HAND_OVERS)), 1))
        return changes

    def stage(self, name: str) -> str:
        """The name of a stage as it is counted."""
        return name if name in self._phases else OTHER if name else NONE

    def queue(self, name: str | None) -> str:
        """The name of a queue as it is counted."""
        return name if name in self._queues else OTHER if name else ""

    def _category(self, name: str | None) -> str:
        return NONE if name is None else name if name in self._categories else OTHER

    def _add_steps(self, lifecycle: Lifecycle, entries: list[Entry]) -> None:
        entries += self._hand_overs(lifecycle)
        entries += [(step.time, (SAID, STATUSES[step.status])) for step in lifecycle.steps if step.status != STAGED]
        stages = list(stage_passages(lifecycle))
        for time, before, after in stages:
            entries.append((time, (STAGE, self.stage(before), self.stage(after))))
        entries += self._reached(stages)

    def _hand_overs(self, lifecycle: Lifecycle) -> Iterator[Entry]:
        """Each hand-over, and what became of it until the next one."""
        events: list[tuple[int, int, Decided | str]] = [
            (place, 0, decided) for place, decided in placed(lifecycle) if decided.is_hand_over
        ]
        events += [(step.time, 1, STATUSES[step.status]) for step in lifecycle.steps if step.status != STAGED]
        events.sort(key=itemgetter(0, 1))
        hand_over: Decided | None = None
        became: set[str] = set()
        for _, _, event in events:
            if isinstance(event, str):
                became.add(event)
                continue
            yield from self._outcome(hand_over, became)
            hand_over, became = event, set()
        yield from self._outcome(hand_over, became)

    def _outcome(self, hand_over: Decided | None, became: Iterable[str]) -> Iterator[Entry]:
        if hand_over is None:
            return
        queue = self.queue(hand_over.queue)
        outcomes = {HAND_OVERS, *became}
        if outcomes & {"won", "lost"}:
            outcomes.add("accepted")
        if {"won", "lost"} <= outcomes:
            outcomes.add(WON_AND_LOST)
        for outcome in outcomes:
            yield hand_over.decided_at, (HAND_OVERS, queue, outcome)

    def _reached(self, stages: Iterable[Passage]) -> Iterator[Entry]:
        """The phases that the lead reached, and from which it went on."""
        first_day_of, day_of = self.periods.first_day_of, self.periods.day_of
        entered: dict[tuple[int, int], int] = {}
        went_on: set[tuple[int, int]] = set()
        waiting: list[tuple[int, int]] = []
        last = -1
        for passage in stages:
            phase = self._phases.get(passage.after, last)
            if phase == last:
                continue
            first_day = first_day_of(day_of(passage.time))
            went_on.update(entry for entry in waiting if entry[1] < phase)
            # Between the phases that the lead jumps over and this one; a phase behind the lead is entered again alone.
            for number in range(last + 1 if phase > last else phase, phase + 1):
                entered.setdefault((first_day, number), passage.time)
                if number < phase:
                    went_on.add((first_day, number))
                else:
                    waiting.append((first_day, number))
            last = phase
        for entry, time in entered.items():
            yield time, (REACHED, PHASES[entry[1]].value)
            if entry in went_on:
                yield time, (WENT_ON, PHASES[entry[1]].value)


def queues_of(ruleset: Ruleset) -> Iterator[str]:
    """The queues that the rules name."""
    for rule in ruleset.routing:
        if rule.queue is not None:
            yield rule.queue
        for _, queue in rule.escalate or ():
            if queue is not None:
                yield queue
