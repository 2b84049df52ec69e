"""Short ways to create activities and rulesets in tests."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path

from scorer.domain.activity import LeadActivity, validate_data
from scorer.domain.instant import DAY
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.rules.loader import parse_ruleset
from scorer.rules.ruleset import Ruleset
from scorer.runtime.settings import Settings
from scorer.stream.access_watch import AccessWatch

MONDAY = 20_458 * DAY
"""2026-01-05 00:00 UTC, microseconds since the epoch."""

_ids = count()


def activity(
    kind: str,
    data: Mapping[str, object] | None = None,
    *,
    day: float = 0,
    id: str | None = None,  # noqa: A002 -- CloudEvents' name
    source: str = "test",
    lead: str = "lead-1",
) -> LeadActivity:
    """An activity `day` days after MONDAY, with a new id unless one is passed."""
    return LeadActivity(
        id=f"event-{next(_ids)}" if id is None else id,
        source=source,
        type=f"lead.{kind}",
        time=MONDAY + round(day * DAY),
        lead_id=lead,
        data=validate_data(f"lead.{kind}", data or {}),
    )


SMALL_RULES = """
ruleset: small
ratings: {warm: 20, hot: 40, hysteresis: 5}
grades: {fit: {A: 30, B: 20, C: 10}, engagement: {1: 30, 2: 20, 3: 10}}
publish: {on: change, score_step: 10}
fields: {installed_base: {type: integer}}
signals:
  pricing:
    activity: page_viewed
    where: {path: {starts_with: /pricing}}
    points: 5
    daily_cap: 2
    max_points: 20
    half_life: 10d
  careers: {activity: page_viewed, where: {path: /careers}, points: -10, max_points: 10, reason: Looks for a job}
  trial: {activity: trial_started, points: 15, window: 90d}
  booth: {activity: lead.booth_visited, where: {minutes: {gte: 5}}, points: 4}
scoring:
  budget:
    group: bant
    rules:
      - {id: budget-approved, when: {bant.budget_status: approved}, points: 20, reason: Budget is approved}
      - {id: budget-planned, when: {bant.budget_status: {in: [planned, requested]}}, points: 10}
  authority:
    group: bant
    met_at: 8
    rules:
      - {id: decider, when: {bant.authority: decision_maker}, points: 10}
      - {id: influencer, when: {bant.authority: influencer}, points: 5}
  company:
    hit_policy: sum
    min: -5
    max: 15
    rules:
      - {id: large, when: {profile.employees: {gte: 250}}, points: 10}
      - {id: dach, when: {profile.country: {in: [AT, CH, DE]}}, points: 5}
      - {id: base, when: {installed_base: {gt: 0}}, points: 5}
      - {id: free-mail, when: {profile.email_kind: free}, points: -10}
routing:
  - {id: competitor, when: {profile.is_competitor: true}, route: discard}
  - id: returned
    when: {lifecycle.status: returned, score.since_return: {lt: 15}}
    route: nurture
  - {id: ready, when: {rating: hot, groups.bant.met: {gte: 2}}, route: sales, queue: key-accounts, respond_within: 1h}
  - {id: hot, when: {rating: hot}, route: sales, queue: inside-sales}
  - {id: keep-warm, route: nurture}
"""


def ruleset(text: str = SMALL_RULES) -> Ruleset:
    """A ruleset from the text of one file."""
    return parse_ruleset({"rules.yaml": text.encode()})


def evaluator(text: str = SMALL_RULES) -> Evaluator:
    """An evaluator of the ruleset in the text of one file."""
    return Evaluator(ruleset(text), default_engine("compiled"))


SHOP_MAPPING = """description: Events of our shop.
lead: user
id: id
time: {path: at, unit: s}
kinds:
  - name: viewed
    when: {event: viewed}
    type: lead.page_viewed
    data: {url: page}
"""
"""The mapping file of a source."""


def ruleset_folder(path: Path, text: str = SMALL_RULES, file: str = "rules.yaml") -> Path:
    """A ruleset on disk. An existing file is replaced atomically."""
    path.mkdir(exist_ok=True)
    beside = path / ".new"
    beside.write_text(text)
    beside.rename(path / file)
    return path


def nothing_denied(settings: Settings) -> AccessWatch:
    """The watch of permissions where Kafka allows everything."""

    async def look() -> tuple[()]:
        return ()

    return AccessWatch(settings, look)
