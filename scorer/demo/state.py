"""The demo's state at one moment. Everything that is shown comes from it."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from scorer.domain.decision import RoutingDecision
from scorer.domain.score import Rating, Route

REASONS = 3
_SAMPLES = 120


class Service(NamedTuple):
    """The service being watched: its rules, its engine and its URL."""

    ruleset: str = "?"
    revision: str = ""
    engine: str = "?"
    url: str = ""

    def __str__(self) -> str:
        return f"rules {self.ruleset} {self.revision[:12]}, engine {self.engine}"


class HotLead(NamedTuple):
    """A hot lead according to its last decision. `reasons`: points and text, most points first."""

    lead_id: str
    grade: str
    score: int
    route: Route
    queue: str | None
    reasons: tuple[tuple[int, str], ...]

    @property
    def destination(self) -> str:
        """Route and queue."""
        return self.route if self.queue is None else f"{self.route} › {self.queue}"


@dataclass(slots=True)
class DemoState:
    """Figures of a demo. `seconds`: since the first activity was sent. `rates`: activities a second, the newest last.
    `hot`: leads that are hot now, latest last. `left_out`: what was not played and why, one line each."""

    service: Service = field(default_factory=Service)
    phase: str = "starting"
    sent: int = 0
    processed: int = 0
    decisions: int = 0
    seconds: float = 0.0
    as_of: str = ""
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    dead_letters: Counter[str] = field(default_factory=Counter)
    leads: dict[str, tuple[Rating, Route]] = field(default_factory=dict)
    counts: Counter[tuple[Rating, Route]] = field(default_factory=Counter)
    hot: dict[str, HotLead] = field(default_factory=dict)
    companies: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def decide(self, decision: RoutingDecision) -> None:
        """Apply a published decision."""
        self.decisions += 1
        self.as_of = max(self.as_of, decision.decided_at)
        now = (decision.rating, decision.route)
        before = self.leads.get(decision.lead_id)
        if before is not None:
            self.counts[before] -= 1
        self.leads[decision.lead_id] = now
        self.counts[now] += 1
        # Removed and added again, so that the latest is last.
        self.hot.pop(decision.lead_id, None)
        if decision.rating is Rating.HOT:
            self.hot[decision.lead_id] = _hot_lead(decision)

    def name(self, lead_id: str) -> str:
        """Company and lead id; the id alone if the company is unknown."""
        company = self.companies.get(lead_id)
        return lead_id if company is None else f"{company} ({lead_id})"

    @property
    def rate(self) -> float:
        """Activities a second, over the last few samples."""
        recent = list(self.rates)[-4:]
        return sum(recent) / len(recent) if recent else 0.0

    def by_rating(self) -> Mapping[Rating, int]:
        """Number of leads with each rating, the hottest first."""
        return {r: sum(self.counts[r, route] for route in Route) for r in reversed(Rating)}

    def by_route(self) -> Mapping[Route, int]:
        """Number of leads on each route, sales first."""
        return {route: sum(self.counts[r, route] for r in Rating) for route in reversed(Route)}


def _hot_lead(decision: RoutingDecision) -> HotLead:
    strongest = sorted(decision.contributions, key=lambda part: -part.points)[:REASONS]
    reasons = tuple((part.points, part.reason) for part in strongest if part.points > 0)
    return HotLead(decision.lead_id, decision.grade, decision.score.total, decision.route, decision.queue, reasons)
