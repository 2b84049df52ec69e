"""The demo's state at one moment. Everything that is shown comes from it."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from scorer.domain.decision import RoutingDecision
from scorer.domain.printable import shortened
from scorer.domain.score import Rating, Route

REASONS = 3
_SAMPLES = 120
_NAME = 24


class Service(NamedTuple):
    """The service being watched: its rules, its engine, its URLs and its broker. `leads`: the URL of lead data.
    `refused`: why the last reload was refused; empty if it was not."""

    ruleset: str = "?"
    revision: str = ""
    engine: str = "?"
    url: str = ""
    broker: str = ""
    refused: str = ""
    leads: str = ""

    @property
    def places(self) -> Sequence[str]:
        """Where it answers, and the setting with which other commands find its broker."""
        web = [f"{self.url}/metrics", "/health/live", "/health/ready"] if self.url else []
        broker = [f"SCORER_BOOTSTRAP_SERVERS={self.broker}"] if self.broker else []
        leads = [f"{self.leads}/leads/LEAD_ID"] if self.leads else []
        return [*web, *leads, *broker]

    def __str__(self) -> str:
        return f"rules {self.ruleset} {self.revision[:12]}, engine {self.engine}"


class _Reload(msgspec.Struct):
    ok: bool
    error: str | None = None


class _Rules(msgspec.Struct):
    last_reload: _Reload | None = None


class _Ruleset(msgspec.Struct):
    name: str
    revision: str


class _Ready(msgspec.Struct):
    ruleset: _Ruleset
    rules: _Rules


def with_rules(service: Service, ready: object) -> Service:
    """The service with the rules that its /health/ready (decoded) names. Anything else changes nothing."""
    try:
        told = msgspec.convert(ready, _Ready)
    except msgspec.ValidationError:
        return service
    last = told.rules.last_reload
    refused = "" if last is None or last.ok else (last.error or "no reason given").split("\n")[0]
    return service._replace(ruleset=told.ruleset.name, revision=told.ruleset.revision, refused=refused)


class HotLead(NamedTuple):
    """A hot lead according to its last decision. `reasons`: points and text, most points first. `because`: why it goes
    there."""

    lead_id: str
    grade: str
    score: int
    route: Route
    queue: str | None
    because: str
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
        """Company and lead id, printable and shortened; the id alone if the company is unknown."""
        company = self.companies.get(lead_id)
        shown = shortened(lead_id, _NAME)
        return shown if company is None else f"{shortened(company)} ({shown})"

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
    routed = (decision.route, decision.queue, decision.routing.reason)
    return HotLead(decision.lead_id, decision.grade, decision.score.total, *routed, reasons)
