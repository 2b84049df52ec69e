"""The facts that scoring computes for routing. Each is defined here once. The catalogue of fields, the evaluation, the
explanation of a route and the exact analysis of routing rules read these definitions.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

from scorer.domain.score import Grades, Rating, Ratings
from scorer.rules.catalogue import Catalogue, Field
from scorer.rules.field_type import FieldType
from scorer.rules.ruleset import Ruleset

SIGNAL: Final = "signals."
SINCE_RETURN: Final = "score.since_return"


class CriteriaInput(NamedTuple):
    """What a fact can read that depends on who the lead is: the fit, its letter, and the points by criterion."""

    fit: int
    letter: str
    criteria: Mapping[str, int]


class BehaviourInput(NamedTuple):
    """What a fact can read that also depends on what the lead does, and on the last published decision.

    `figure` is the engagement part of the grade. `since_return` are the points that are new since sales returned the
    lead; None if sales never did. `signal_points` gives the points of one signal, by its name.
    """

    fit: int
    engagement: int
    rating: Rating
    figure: int
    since_return: int | None
    signal_points: Callable[[str], int]


class RoutingInput(NamedTuple):
    """The input of all routing facts."""

    criteria: CriteriaInput
    behaviour: BehaviourInput


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    name: str
    type: FieldType
    description: str
    choices: tuple[str, ...] = ()
    cuts: Callable[[Ratings, Grades], Iterable[int]] = lambda ratings, grades: ()
    always_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CriteriaFact(_Fact):
    """A fact that only routing rules can use, and that depends only on who the lead is.

    `compute` returns its value, which must rise or fall steadily with the points: the analysis of rules relies on it.
    `choices` are its values in order; empty for a number. `cuts` returns the whole numbers at which the bounds of the
    ruleset lie.
    """

    compute: Callable[[CriteriaInput], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourFact(_Fact):
    """A fact that only routing rules can use, and that also depends on what the lead does. See `CriteriaFact`."""

    compute: Callable[[BehaviourInput], object]


RoutingFact = CriteriaFact | BehaviourFact


def value_of(fact: RoutingFact, given: RoutingInput) -> object:
    """The value of a fact."""
    return fact.compute(given.criteria) if isinstance(fact, CriteriaFact) else fact.compute(given.behaviour)


class Grouped(Protocol):
    """The group of a criterion."""

    @property
    def group(self) -> str | None:
        """The group whose met criteria are counted; None without a group."""

    @property
    def met_at(self) -> int:
        """The least points at which the criterion is met."""


def _rating_cuts(ratings: Ratings, grades: Grades) -> Iterable[int]:
    bounds = (ratings.warm, ratings.hot)
    return {*bounds, *(bound - ratings.hysteresis for bound in bounds)}


COMMON: Final[tuple[RoutingFact, ...]] = (
    BehaviourFact(
        name="rating",
        type=FieldType.STRING,
        description="The rating.",
        compute=lambda given: given.rating.value,
        choices=tuple(Rating),
    ),
    BehaviourFact(
        name="score.total",
        type=FieldType.INTEGER,
        description="Total points.",
        compute=lambda given: given.fit + given.engagement,
        cuts=_rating_cuts,
    ),
    CriteriaFact(
        name="score.fit",
        type=FieldType.INTEGER,
        description="Points of the criteria.",
        compute=lambda given: given.fit,
        cuts=lambda ratings, grades: grades.fit,
    ),
    BehaviourFact(
        name="score.engagement",
        type=FieldType.INTEGER,
        description="Points of the signals.",
        compute=lambda given: given.engagement,
        cuts=lambda ratings, grades: grades.engagement,
    ),
    BehaviourFact(
        name=SINCE_RETURN,
        type=FieldType.INTEGER,
        description="Points that are new since sales returned the lead; unknown if sales never did.",
        compute=lambda given: given.since_return,
        always_known=False,
    ),
    CriteriaFact(
        name="grade.fit",
        type=FieldType.STRING,
        description="Fit, A to D.",
        compute=lambda given: given.letter,
        choices=("A", "B", "C", "D"),
    ),
    BehaviourFact(
        name="grade.engagement",
        type=FieldType.INTEGER,
        description="Engagement, 1 to 4.",
        compute=lambda given: given.figure,
        cuts=lambda ratings, grades: (1, 2, 3, 4),
    ),
    BehaviourFact(
        name="criteria.behaviour",
        type=FieldType.INTEGER,
        description="Points of all signals.",
        compute=lambda given: given.engagement,
        cuts=lambda ratings, grades: grades.engagement,
    ),
)
"""The routing facts that every ruleset has."""


def routing_facts(criteria: Mapping[str, Grouped], signals: Iterable[str]) -> tuple[RoutingFact, ...]:
    """The routing facts of a ruleset with these criteria and signals, by name."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for name, criterion in criteria.items():
        if criterion.group is not None:
            groups.setdefault(criterion.group, []).append((name, criterion.met_at))
    return (
        *COMMON,
        *(
            CriteriaFact(
                name=f"criteria.{name}",
                type=FieldType.INTEGER,
                description=f"Points of {name}.",
                compute=partial(_points_of_criterion, name),
            )
            for name in criteria
        ),
        *(
            BehaviourFact(
                name=f"{SIGNAL}{name}",
                type=FieldType.INTEGER,
                description=f"Points of {name}.",
                compute=partial(_points_of_signal, name),
            )
            for name in signals
        ),
        *(
            CriteriaFact(
                name=f"groups.{group}.met",
                type=FieldType.INTEGER,
                description=f"Number of criteria of {group} that are met.",
                compute=partial(_criteria_met, members),
            )
            for group, members in sorted(groups.items())
        ),
    )


def routing_facts_of(ruleset: Ruleset) -> tuple[RoutingFact, ...]:
    """The routing facts of a ruleset."""
    return routing_facts({criterion.name: criterion for criterion in ruleset.criteria}, ruleset.signals)


def routing_catalogue(routing_facts: Iterable[RoutingFact]) -> Catalogue:
    """The facts as fields that conditions can use."""
    return {fact.name: Field(fact.name, fact.type, fact.description, fact.choices) for fact in routing_facts}


def _points_of_criterion(name: str, given: CriteriaInput) -> int:
    return given.criteria[name]


def _points_of_signal(name: str, given: BehaviourInput) -> int:
    return given.signal_points(name)


def _criteria_met(members: Iterable[tuple[str, int]], given: CriteriaInput) -> int:
    return sum(given.criteria[name] >= met_at for name, met_at in members)
