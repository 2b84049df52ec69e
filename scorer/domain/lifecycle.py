"""The life of a lead between marketing and sales: its status, its stage, and the promise of an answer.

The steps that activities state are a set, so the status depends neither on their order of arrival nor on repetition.
The steps of our own decisions, and the promise, record what was published.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from operator import itemgetter
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from scorer.domain.activity import LeadActivity
from scorer.domain.facts import Fact, Stamp
from scorer.domain.score import Rating, Route

Status = Literal["new", "nurturing", "handed_over", "accepted", "returned", "won", "lost", "discarded"]

STATUSES: Final[tuple[Status, ...]] = get_args(Status)

STATES: Final[Mapping[str, Status]] = {
    "lead.sales_accepted": "accepted",
    "lead.sales_returned": "returned",
    "lead.opportunity_won": "won",
    "lead.opportunity_lost": "lost",
}
"""The status that an activity of this type states."""

STAGE: Final = "lead.stage_changed"
STEPS: Final = frozenset({*STATES, STAGE})
"""The activity types that are steps of sales."""
ANSWERS: Final = frozenset({"lead.sales_accepted", "lead.call_logged", "lead.meeting_held", STAGE})
"""The activity types that keep a promise."""

MOST_STATED: Final = 12
"""The stated statuses that a lead keeps, and so many stages: the latest ones. Each has room of its own, so that a CRM
that moves a lead between stages does not make it forget that sales has accepted it."""
MOST_DECISIONS: Final = 16
"""The changes of rating or route that a lead keeps: the latest ones."""

MOST_LEVELS: Final = 6
"""The levels to which a broken promise can be escalated."""

_NEVER: Final = 1 << 62

_USUAL: Final[Mapping[Status, frozenset[Status]]] = {
    "new": frozenset({"nurturing", "discarded", "handed_over"}),
    "nurturing": frozenset({"discarded", "handed_over"}),
    "discarded": frozenset({"nurturing", "handed_over"}),
    "handed_over": frozenset({"accepted", "returned", "nurturing", "discarded"}),
    "accepted": frozenset({"won", "lost", "returned"}),
    "returned": frozenset({"handed_over"}),
    "won": frozenset({"handed_over"}),
    "lost": frozenset({"handed_over"}),
}


def is_usual(before: Status, after: Status) -> bool:
    """Whether the status usually follows the other one. `won` before `handed_over`, for example, does not."""
    return after in _USUAL[before]


class Step(NamedTuple):
    """What an activity stated. `time`: its effective time, in microseconds since the epoch. `status`: the number of the
    status in `STATUSES`; `STAGED` for a change to the stage `stage`."""

    time: int
    status: int
    stage: str = ""


STAGED: Final = len(STATUSES)


class Decided(NamedTuple):
    """A published decision with another rating or route than the one known before, or that handed the lead over.

    `time`: its place among the activities, in microseconds since the epoch; `delay`: how much later it was decided.
    `rating` and `route` are numbers: the places of the values in `Rating` and `Route`.
    """

    time: int
    delay: int
    rating: int
    route: int
    is_hand_over: bool
    queue: str | None

    @property
    def decided_at(self) -> int:
        """When it was decided, in microseconds since the epoch."""
        return self.time + self.delay


RATINGS: Final = tuple(Rating)
ROUTES: Final = tuple(Route)


class Promise(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A hand-over whose lead waits for an answer. The rules of the hand-over made it; later rules do not change it.

    Instants in microseconds since the epoch. `since`: the place of the hand-over among the activities; activities from
    then on keep the promise. `made_at`: when it was decided. `respond_by`: when the promise breaks. `levels`: when it
    is escalated, ascending, each with the queue from then on. `level`: how many of them were published.
    """

    since: int
    made_at: int
    respond_by: int
    queue: str | None
    levels: tuple[tuple[int, str | None], ...] = ()
    level: int = 0

    @property
    def due(self) -> int:
        """When the next level is due; after every possible instant if there is none."""
        return self.levels[self.level][0] if self.level < len(self.levels) else _NEVER

    def queue_at(self, level: int) -> str | None:
        """The queue of the lead at the level."""
        return self.levels[level - 1][1] if level else self.queue


class Lifecycle(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """`steps` and `decisions` in ascending order. `category`: the one of the base to which the lead belongs; None if
    the rules have none."""

    steps: tuple[Step, ...] = ()
    decisions: tuple[Decided, ...] = ()
    promise: Promise | None = None
    category: str | None = None


NOTHING: Final = Lifecycle()


class Passage(NamedTuple):
    """A change of the status or the stage. `time` in microseconds since the epoch, for our decisions `decided_at`.
    `before` of a stage is empty if there was none."""

    time: int
    before: str
    after: str


def of_facts(facts: Mapping[str, Fact]) -> Lifecycle:
    """The lifecycle of a lead whose state a release before 0.3 wrote: what its facts say."""
    status, stage = facts.get("lifecycle.status"), facts.get("lifecycle.stage")
    steps = [
        Step(fact.stamp.time, STATUSES.index(state))
        for kind, state in STATES.items()
        if (fact := facts.get(f"at.{kind.removeprefix('lead.')}")) is not None
    ]
    if stage is not None and isinstance(stage.value, str):
        steps.append(Step(stage.stamp.time, STAGED, stage.value))
    handed = facts.get("at.handed_over")
    if handed is None:
        return Lifecycle(tuple(sorted(steps)))
    decided_at = handed.stamp.time
    time = decided_at
    if status is not None:
        # It is the latest of all that concerned the status, among which the hand-over has a place of its own.
        time = status.stamp.time if status.value == "handed_over" else min(decided_at, status.stamp.time)
    # The release before did not write down how the lead was rated.
    hot, sales = RATINGS.index(Rating.HOT), ROUTES.index(Route.SALES)
    return Lifecycle(tuple(sorted(steps)), (Decided(time, decided_at - time, hot, sales, True, None),))


def step_of(activity: LeadActivity) -> Step | None:
    """The step that the activity states, or None."""
    kind = activity.type
    if kind == STAGE:
        return Step(activity.time, STAGED, str(activity.data["stage"]))
    status = STATES.get(kind)
    return None if status is None else Step(activity.time, STATUSES.index(status))


def with_step(lifecycle: Lifecycle, step: Step) -> Lifecycle:
    """The lifecycle with the step; the same object if it is known, or older than all of its kind that are kept."""
    steps = lifecycle.steps
    if step in steps:
        return lifecycle
    after = sorted([*steps, step])
    alike = [known for known in after if (known.status == STAGED) == (step.status == STAGED)]
    if len(alike) > MOST_STATED:
        after.remove(alike[0])
    return lifecycle if alike[0] == step and len(alike) > MOST_STATED else replaced(lifecycle, steps=tuple(after))


def with_decision(lifecycle: Lifecycle, decided: Decided, promise: Promise | None) -> Lifecycle:
    """The lifecycle after the decision. `promise`: the one that is open now."""
    last = lifecycle.decisions[-1] if lifecycle.decisions else None
    if last is not None and not decided.is_hand_over and decided[2:4] == last[2:4]:
        return lifecycle if promise is lifecycle.promise else replaced(lifecycle, promise=promise)
    decisions = (*lifecycle.decisions, decided)
    if len(decisions) > MOST_DECISIONS:
        decisions = _shortened(decisions)
    return Lifecycle(lifecycle.steps, decisions, promise, lifecycle.category)


def _shortened(decisions: tuple[Decided, ...]) -> tuple[Decided, ...]:
    """Without one of them: the oldest that only changed the rating, because the status follows from the others."""
    for number in range(1, len(decisions) - 1):
        before, gone = decisions[number - 1], decisions[number]
        if gone.route == before.route and not gone.is_hand_over:
            return (*decisions[: number - 1], before._replace(rating=gone.rating), *decisions[number + 1 :])
    return decisions[1:]


def without_until(lifecycle: Lifecycle | None, time: int) -> Lifecycle | None:
    """What remains of the lifecycle after an erasure at `time`."""
    if lifecycle is None:
        return None
    steps = tuple(step for step in lifecycle.steps if step.time > time)
    decisions = tuple(decided for decided in lifecycle.decisions if decided.time > time)
    promise = lifecycle.promise
    if promise is not None and promise.since <= time:
        promise = None
    return Lifecycle(steps, decisions, promise) if steps or decisions or promise else None


def replaced(lifecycle: Lifecycle, **changes: object) -> Lifecycle:
    """The lifecycle with other values."""
    return msgspec.structs.replace(lifecycle, **changes)


def placed(lifecycle: Lifecycle) -> list[tuple[int, Decided]]:
    """The decisions with their places among the steps, in order. A decision is never after one that followed it: an
    activity with an old time may change the decision of a review, and the later decision is the one that counts."""
    place, found = _NEVER, []
    for decided in reversed(lifecycle.decisions):
        place = min(place, decided.time)
        found.append((place, decided))
    found.reverse()
    return found


def passages(lifecycle: Lifecycle) -> list[Passage]:
    """The changes of the status, in order. The first one starts at `new`."""
    stated = [step for step in lifecycle.steps if step.status != STAGED]
    moves: list[tuple[int, int, Decided | Step]] = [(place, 0, decided) for place, decided in placed(lifecycle)]
    if stated:
        # Of a decision and an activity at the same time the activity comes last.
        moves += [(step.time, 1 + step.status, step) for step in stated]
    if len(moves) > 1:
        moves.sort(key=_ORDER)
    status: Status = "new"
    found = []
    for time, kind, move in moves:
        if isinstance(move, Decided):
            moved = after_decision(move, status)
            time = move.decided_at
        else:
            moved = STATUSES[kind - 1]
        if moved != status:
            found.append(Passage(time, status, moved))
            status = moved
    return found


def stage_passages(lifecycle: Lifecycle) -> Iterator[Passage]:
    """The changes of the stage, in order."""
    stage = ""
    for step in lifecycle.steps:
        if step.status == STAGED and step.stage != stage:
            yield Passage(step.time, stage, step.stage)
            stage = step.stage


def rating_passages(lifecycle: Lifecycle) -> Iterator[Passage]:
    """The changes of the published rating among the decisions that are kept, in order."""
    for before, decided in pairwise(lifecycle.decisions):
        if decided.rating != before.rating:
            yield Passage(decided.decided_at, RATINGS[before.rating].value, RATINGS[decided.rating].value)


STATUS: Final = "lifecycle.status"
STAGE_NAME: Final = "lifecycle.stage"
TIMES_RETURNED: Final = "lifecycle.times_returned"
FOLLOWING: Final = (STATUS, STAGE_NAME, TIMES_RETURNED)
"""The facts that follow from the lifecycle."""


def facts_of(lifecycle: Lifecycle) -> dict[str, Fact]:
    """The facts that follow from the lifecycle, each with the time since when it holds."""
    facts = {}
    for name, changes in ((STATUS, passages(lifecycle)), (STAGE_NAME, list(stage_passages(lifecycle)))):
        if changes:
            facts[name] = Fact(changes[-1].after, Stamp(changes[-1].time, "", ""))
    returns = [step.time for step in lifecycle.steps if step.status == _RETURNED]
    if returns:
        facts[TIMES_RETURNED] = Fact(len(returns), Stamp(returns[-1], "", ""))
    return facts


_RETURNED: Final = STATUSES.index("returned")
_WITH_US: Final = frozenset[Status]({"new", "nurturing", "discarded", "handed_over"})
"""Our decisions to nurture or discard a lead change these statuses. Those that sales gave stay until sales says more,
or until the next hand-over."""
_BY_ROUTE: Final[Mapping[int, Status]] = {
    ROUTES.index(Route.NURTURE): "nurturing",
    ROUTES.index(Route.DISCARD): "discarded",
}


_ORDER: Final = itemgetter(0, 1)


def after_decision(decided: Decided, status: Status) -> Status:
    """The status after a decision about a lead with this status."""
    if decided.is_hand_over:
        return "handed_over"
    return _BY_ROUTE.get(decided.route, status) if status in _WITH_US else status
