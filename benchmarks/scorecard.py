"""A scorecard and leads to score with it, in a neutral form that is converted for every engine.

An engine receives a lead as a flat mapping of all fields, with None for unknown values. A comparison with an unknown
value is false.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal

from scorer.domain.facts import Fact, Stamp
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.rules.loader import parse_ruleset
from scorer.rules.ruleset import Ruleset

Value = str | int | bool | None
Facts = dict[str, Value]
Op = Literal["eq", "in", "gte", "lt"]

SEED = 20_260_105
NOW = 20_458 * DAY
KNOWN = 0.8
"""Share of the optional facts that are known of a lead."""

_CHOICES: dict[str, tuple[str, ...]] = {
    "profile.industry": ("manufacturing", "logistics", "retail", "energy", "finance", "public", "health", "software"),
    "profile.country": ("DE", "AT", "CH", "GB", "FR", "NL", "BE", "SE", "US", "IN", "BR"),
    "profile.language": ("de", "en", "fr", "nl"),
    "profile.job_level": ("student", "employee", "manager", "director", "executive"),
    "profile.department": ("operations", "it", "sales", "finance", "hr", "research"),
    "profile.email_kind": ("business", "free", "university", "disposable"),
    "profile.lead_source": ("fair", "web", "recommendation", "partner", "advert", "list"),
    "bant.budget_status": ("approved", "planned", "requested", "none"),
    "bant.authority": ("decision_maker", "influencer", "user", "none"),
    "bant.need": ("critical", "important", "useful", "none"),
    "competition.position": ("sole", "preferred", "even", "behind"),
    "project.resources": ("available", "partly", "missing"),
    "assessment.rating": ("cold", "warm", "hot"),
    "consent.email": ("granted", "withdrawn"),
    "consent.phone": ("granted", "withdrawn"),
    **{f"segment_{i}": tuple(f"s{n}" for n in range(4 + i)) for i in range(6)},
}
_NUMBERS: dict[str, int] = {
    "profile.employees": 5_000,
    "profile.annual_revenue": 200_000_000,
    "bant.budget_amount": 250_000,
    "bant.timeline_months": 24,
    "project.start_in_months": 18,
    **{f"machines_{i}": 40 * (i + 1) for i in range(8)},
}
_FLAGS = ("profile.is_competitor", "profile.is_customer", *(f"uses_product_{i}" for i in range(6)))

FIELDS = (*_CHOICES, *_NUMBERS, *_FLAGS)

PROBED = "profile.job_level"
"""A field that only the first criterion uses, whatever the size of the scorecard."""
_ASKED = tuple(name for name in FIELDS if name != PROBED)


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison. `flat` is the field's name for engines in which a dot means something."""

    field: str
    op: Op
    operand: str | int | bool | tuple[str, ...]

    @property
    def flat(self) -> str:
        return flat(self.field)


@dataclass(frozen=True, slots=True)
class Rule:
    """Points that a lead gets if all tests hold."""

    tests: tuple[Test, ...]
    points: int


@dataclass(frozen=True, slots=True)
class Criterion:
    """Rules in order. Either the `first` that holds counts, or the `sum` of all that hold."""

    name: str
    hit_policy: Literal["first", "sum"]
    rules: tuple[Rule, ...]


def flat(name: str) -> str:
    """A field's name without dots."""
    return name.replace(".", "_")


def scorecard(rules: int, seed: int = SEED) -> tuple[Criterion, ...]:
    """That many rules in criteria of five, alternating `first` and `sum`; each criterion uses three fields."""
    random = Random(seed)
    criteria = []
    for number in range(0, rules, 5):
        fields = [*([PROBED] if number == 0 else []), *random.sample(_ASKED, 3)][:3]
        made = tuple(
            Rule(
                tuple(_test(random, field) for field in fields[: random.choice((1, 1, 1, 2, 2, 3))]),
                random.choice((-10, -5, 2, 3, 5, 8, 10, 15, 20)),
            )
            for _ in range(min(5, rules - number))
        )
        policy: Literal["first", "sum"] = "first" if number % 10 == 0 else "sum"
        criteria.append(Criterion(f"criterion_{number // 5}", policy, made))
    return tuple(criteria)


def _test(random: Random, field: str) -> Test:
    if field in _FLAGS:
        return Test(field, "eq", random.random() < 0.7)
    if field in _CHOICES:
        choices = _CHOICES[field]
        if len(choices) > 3 and random.random() < 0.4:
            return Test(field, "in", tuple(sorted(random.sample(choices, random.choice((2, 3))))))
        return Test(field, "eq", random.choice(choices))
    bound = round(_NUMBERS[field] * random.choice((0.05, 0.1, 0.25, 0.5, 0.75)))
    return Test(field, random.choice(("gte", "gte", "lt")), bound)


def leads(count: int, seed: int = SEED) -> list[Facts]:
    """That many different leads, each with all fields."""
    random = Random(seed)
    chosen: list[Facts] = []
    seen = set()
    while len(chosen) < count:
        facts: Facts = {}
        for field, choices in _CHOICES.items():
            facts[field] = random.choice(choices) if random.random() < KNOWN else None
        for field, most in _NUMBERS.items():
            facts[field] = int(most * random.random() ** 2) if random.random() < KNOWN else None
        for field in _FLAGS:
            facts[field] = random.random() < 0.3 if random.random() < KNOWN else None
        if (key := tuple(facts.values())) not in seen:
            seen.add(key)
            chosen.append(facts)
    return chosen


def lead(number: int, facts: Facts) -> Lead:
    """The lead as the service holds it: its known facts, each with the event it came from."""
    stamp = Stamp(NOW, f"e{number}", "/bench")
    return Lead(f"lead-{number}", NOW, {name: Fact(value, stamp) for name, value in facts.items() if value is not None})


def ruleset(criteria: tuple[Criterion, ...]) -> Ruleset:
    """The scorecard as a ruleset of ours, from YAML like any other."""
    return parse_ruleset({"scorecard.yaml": yaml(criteria).encode()})


def yaml(criteria: tuple[Criterion, ...]) -> str:
    """The scorecard as a rule file, with the signals and routing that a ruleset needs."""
    own = [name for name in FIELDS if "." not in name]
    lines = ["ruleset: scorecard", "ratings: {warm: 30, hot: 60}", "publish: {on: change, score_step: 10}", "fields:"]
    lines += [f"  {name}: {{type: {_type(name)}}}" for name in own]
    lines.append("signals:")
    for page in ("pricing", "product", "docs", "blog"):
        lines.append(
            f"  {page}: {{activity: page_viewed, where: {{path: {{starts_with: /{page}}}}}, points: 3, daily_cap: 2,"
            " max_points: 12, half_life: 14d}"
        )
    lines.append("scoring:")
    for criterion in criteria:
        lines += [f"  {criterion.name}:", f"    hit_policy: {criterion.hit_policy}", "    rules:"]
        for number, rule in enumerate(criterion.rules):
            tests = ", ".join(f"{{{test.field}: {_condition(test)}}}" for test in rule.tests)
            lines.append(f"      - {{id: {criterion.name}-{number}, when: {{all: [{tests}]}}, points: {rule.points}}}")
    lines += [
        "routing:",
        "  - {id: competitor, when: {profile.is_competitor: true}, route: discard}",
        "  - {id: hot, when: {rating: hot}, route: sales, queue: inside-sales}",
        "  - {id: rest, route: nurture}",
    ]
    return "\n".join(lines) + "\n"


def _type(name: str) -> str:
    return "boolean" if name in _FLAGS else "string" if name in _CHOICES else "integer"


def _condition(test: Test) -> str:
    if test.op == "eq":
        return str(test.operand).lower() if isinstance(test.operand, bool) else f'"{test.operand}"'
    if isinstance(test.operand, tuple):
        return "{in: [" + ", ".join(f'"{value}"' for value in test.operand) + "]}"
    return f"{{{test.op}: {test.operand}}}"
