"""The leads of the demo market."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from scorer.demo.names import Company, company, rival


class Persona(StrEnum):
    """Kinds of leads."""

    CHAMPION = "champion"
    DECIDER = "decider"
    COLLEAGUE = "colleague"
    OWNER = "owner"
    RETURNING = "returning"
    IDLE = "idle"
    STUDENT = "student"
    JOB_SEEKER = "job_seeker"
    COMPETITOR = "competitor"
    CUSTOMER = "customer"


@dataclass(slots=True)
class Person:
    """One lead. `buys`: its company has a real project, so a sale is possible."""

    id: str
    persona: Persona
    company: Company | None
    buys: bool
    episodes: int = 0
    colleague: str | None = None


def household(rng: Random, name: Callable[[], str]) -> list[Person]:
    """The leads of the next company that finds the vendor, or a single person. `name` returns a new lead id."""
    draw = rng.random()
    if draw < 0.085:
        firm = company(rng, 250, 20_000)
        buys = rng.random() < 0.45
        kinds = [Persona.CHAMPION, Persona.DECIDER, Persona.COLLEAGUE, Persona.COLLEAGUE][: rng.choice((2, 3, 3, 4))]
        people = [Person(name(), kind, firm, buys) for kind in kinds]
        for person in people[1:]:
            person.colleague = people[0].id
        return people
    if draw < 0.25:
        return [Person(name(), Persona.OWNER, company(rng, 3, 60), rng.random() < 0.4)]
    if draw < 0.37:
        return [Person(name(), Persona.RETURNING, company(rng, 60, 900), rng.random() < 0.5)]
    if draw < 0.41:
        return [Person(name(), Persona.COMPETITOR, rival(rng), buys=False)]
    if draw < 0.47:
        return [Person(name(), Persona.CUSTOMER, company(rng, 40, 3_000), buys=False)]
    if draw < 0.57:
        return [Person(name(), Persona.STUDENT, None, buys=False)]
    if draw < 0.63:
        return [Person(name(), Persona.JOB_SEEKER, None, buys=False)]
    return [Person(name(), Persona.IDLE, company(rng, 5, 2_000) if rng.random() < 0.4 else None, buys=False)]
