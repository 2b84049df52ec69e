"""The facts that scoring computes for routing. Each is defined here once. The catalogue of fields, the evaluation, the
explanation of a route and the exact analysis of routing rules read these definitions.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple, Protocol

from scorer.domain.score import Grade, Grades, Rating, Ratings
from scorer.rules.catalogue import Catalogue, Field
from scorer.rules.field_type import FieldType

SIGNAL: Final = "signals."
SINCE_RETURN: Final = "score.since_return"


class Basis(StrEnum):
    """What a routing fact depends on."""

    CRITERIA = "criteria"
    """Only on who the lead is: the points of the criteria."""
    BEHAVIOUR = "behaviour"
    """Also on what the lead does (the points of the signals) and on the last published decision."""


class RoutingInput(NamedTuple):
    """The input of routing facts. `criteria` and `signals` are points by name; a signal without points can be absent.
    `since_return` are the points that are new since sales returned the lead; None if sales never did."""

    fit: int
    engagement: int
    rating: Rating
    grade: Grade
    since_return: int | None
    criteria: Mapping[str, int]
    signals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RoutingFact:
    """A fact that only routing rules can use.

    `compute` returns its value. A fact whose `basis` is CRITERIA reads only `fit`, `grade.fit` and `criteria` of its
    input. Each value is monotonic in the points. `choices` are its values in order; empty for a number. `cuts` returns
    the whole numbers at which the ruleset's bounds lie.
    """

    name: str
    type: FieldType
    description: str
    basis: Basis
    compute: Callable[[RoutingInput], object]
    choices: tuple[str, ...] = ()
    cuts: Callable[[Ratings, Grades], Iterable[int]] = lambda ratings, grades: ()
    always_known: bool = True


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


COMMON: Final = (
    RoutingFact(
        name="rating",
        type=FieldType.STRING,
        description="The rating.",
        basis=Basis.BEHAVIOUR,
        compute=lambda given: given.rating.value,
        choices=tuple(Rating),
    ),
    RoutingFact(
        name="score.total",
        type=FieldType.INTEGER,
        description="Total points.",
        basis=Basis.BEHAVIOUR,
        compute=lambda given: given.fit + given.engagement,
        cuts=_rating_cuts,
    ),
    RoutingFact(
        name="score.fit",
        type=FieldType.INTEGER,
        description="Points of the criteria.",
        basis=Basis.CRITERIA,
        compute=lambda given: given.fit,
        cuts=lambda ratings, grades: grades.fit,
    ),
    RoutingFact(
        name="score.engagement",
        type=FieldType.INTEGER,
        description="Points of the signals.",
        basis=Basis.BEHAVIOUR,
        compute=lambda given: given.engagement,
        cuts=lambda ratings, grades: grades.engagement,
    ),
    RoutingFact(
        name=SINCE_RETURN,
        type=FieldType.INTEGER,
        description="Points that are new since sales returned the lead; unknown if sales never did.",
        basis=Basis.BEHAVIOUR,
        compute=lambda given: given.since_return,
        always_known=False,
    ),
    RoutingFact(
        name="grade.fit",
        type=FieldType.STRING,
        description="Fit, A to D.",
        basis=Basis.CRITERIA,
        compute=lambda given: given.grade.fit,
        choices=("A", "B", "C", "D"),
    ),
    RoutingFact(
        name="grade.engagement",
        type=FieldType.INTEGER,
        description="Engagement, 1 to 4.",
        basis=Basis.BEHAVIOUR,
        compute=lambda given: given.grade.engagement,
        cuts=lambda ratings, grades: (1, 2, 3, 4),
    ),
    RoutingFact(
        name="criteria.behaviour",
        type=FieldType.INTEGER,
        description="Points of all signals.",
        basis=Basis.BEHAVIOUR,
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
            RoutingFact(
                name=f"criteria.{name}",
                type=FieldType.INTEGER,
                description=f"Points of {name}.",
                basis=Basis.CRITERIA,
                compute=partial(_points_of_criterion, name),
            )
            for name in criteria
        ),
        *(
            RoutingFact(
                name=f"{SIGNAL}{name}",
                type=FieldType.INTEGER,
                description=f"Points of {name}.",
                basis=Basis.BEHAVIOUR,
                compute=partial(_points_of_signal, name),
            )
            for name in signals
        ),
        *(
            RoutingFact(
                name=f"groups.{group}.met",
                type=FieldType.INTEGER,
                description=f"Number of criteria of {group} that are met.",
                basis=Basis.CRITERIA,
                compute=partial(_criteria_met, members),
            )
            for group, members in sorted(groups.items())
        ),
    )


def routing_catalogue(routing_facts: Iterable[RoutingFact]) -> Catalogue:
    """The facts as fields that conditions can use."""
    return {fact.name: Field(fact.name, fact.type, fact.description, fact.choices) for fact in routing_facts}


def _points_of_criterion(name: str, given: RoutingInput) -> int:
    return given.criteria[name]


def _points_of_signal(name: str, given: RoutingInput) -> int:
    return given.signals.get(name, 0)


def _criteria_met(members: Iterable[tuple[str, int]], given: RoutingInput) -> int:
    return sum(given.criteria[name] >= met_at for name, met_at in members)
