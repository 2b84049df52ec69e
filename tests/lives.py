"""Made-up lives of leads, from the first page view to won or lost deals, with all that figures count: hand-overs,
acceptances, returns, stages with jumps and steps back, late answers, silence, and activities that arrive late."""

import json
from collections.abc import Iterator, Mapping
from random import Random
from typing import Final

from scorer.domain.instant import DAY, HOUR, MINUTE, to_text
from tests.factory import MONDAY, SMALL_RULES

START: Final = MONDAY - 364 * DAY
"""2025-01-06."""

LIFE_RULES = (
    SMALL_RULES.replace(
        "respond_within: 1h}",
        "respond_within: 4h, escalate: [{after: 8h, queue: team-lead}, {after: 2d, queue: head-of-sales}]}",
    )
    .replace("queue: inside-sales}", "queue: inside-sales, respond_within: 1d, escalate: []}")
    .replace("ruleset: small", "ruleset: life")
    + """
targets: {revenue: 100000, average_deal: 4000, closing_rate: 1/3, period: month, zone: Europe/Berlin}
lifecycle:
  phases:
    acquisition: [Open, Qualified]
    contact: [Working]
    offer: [Proposal]
    negotiation: [Negotiation]
    close: [Signed]
  categories:
    - {id: customers, when: {lifecycle.status: won}}
    - {id: active, when: {lifecycle.status: {in: [handed_over, accepted]}}}
    - {id: warm-base, when: {rating: {in: [warm, hot]}}}
    - {id: lost-base, when: {lifecycle.status: lost}}
    - {id: cold-base}
  actions:
    meeting: {activity: meeting_held, where: {minutes_sent: true}}
    offer: {activity: lead.offer_sent}
    trial: {activity: trial_started}
"""
)

STAGES = ("Open", "Qualified", "Working", "Proposal", "Negotiation", "Signed")
_RETURNS = ("no project lead named yet", "budget was moved to next year", "not reachable", None)
_LOSSES = ("too expensive", "no decision", "missing function", "project stopped")
_RIVALS = ("Stockwise", "Lagerix", "Warehouse One")


def lives(seed: int, leads: int, days: int = 365, odd_names: int = 0) -> list[bytes]:
    """The activities of that many leads over that many days, as JSON Lines in order of arrival. `odd_names`: so many
    stages, reasons and competitors that no rule names."""
    random = Random(seed)
    entries: list[tuple[int, bytes]] = []
    for number in range(leads):
        lead = f"lead-{number:05}"
        for index, (time, kind, data) in enumerate(_life(random, days, odd_names)):
            line = event_line(f"{lead}-{index}", lead, kind, time, data)
            late = random.random() < 0.02
            arrival = time + random.randrange(9) * DAY if late else time
            if late:
                line = line[:-1] + f', "arrivedat": "{to_text(arrival)}"}}'.encode()
            entries.append((arrival, line))
            if random.random() < 0.01:
                entries.append((arrival + random.randrange(5) * HOUR, line))
    entries.sort()
    end = START + days * DAY
    return [line for arrival, line in entries if arrival < end]


def event_line(event_id: str, lead: str, kind: str, time: int, data: Mapping[str, object]) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": "crm",
            "type": f"lead.{kind}",
            "time": to_text(time),
            "subject": lead,
            "data": data,
        }
    ).encode()


def _life(random: Random, days: int, odd_names: int) -> Iterator[tuple[int, str, dict[str, object]]]:
    time = START + random.randrange(days * DAY * 9 // 10)
    good = random.random()

    def later(least: int, most: int) -> int:
        nonlocal time
        time += random.randrange(least, most)
        return time

    def named(usual: str, what: str) -> str:
        return f"{what} {random.randrange(odd_names)}" if odd_names and random.random() < 0.7 else usual

    yield time, "page_viewed", {"url": "https://example.com/pricing"}
    size = random.choice([80, 400, 900]) if random.random() < good else 12
    country = random.choice(["DE", "AT", "CH"]) if random.random() < 0.2 + 0.6 * good else "FR"
    yield later(MINUTE, DAY), "profile_updated", {"employees": size, "country": country}
    for _ in range(3):
        for _ in range(random.randrange(6)):
            yield (
                later(HOUR, 5 * DAY),
                "page_viewed",
                {"url": f"https://example.com/{random.choice(['pricing', '', 'blog'])}"},
            )
        is_ready = random.random() < 0.35 + 0.5 * good
        budget = "approved" if is_ready else "planned"
        authority = "decision_maker" if is_ready or random.random() < 0.2 else "influencer"
        bant: dict[str, object] = {"budget_status": budget, "authority": authority}
        if is_ready or random.random() < 0.2:
            yield later(HOUR, 5 * DAY), "trial_started", {}
        yield later(HOUR, 9 * DAY), "qualification_updated", {"bant": bant}
        if not is_ready and random.random() < 0.9:
            later(20 * DAY, 90 * DAY)
            continue
        draw = random.random()
        if draw < 0.1:
            later(20 * DAY, 60 * DAY)
            continue
        if draw < 0.95:
            kind = "sales_accepted" if draw < 0.8 else "call_logged"
            longest = random.choice([HOUR, 4 * HOUR, 4 * HOUR, 20 * HOUR, 5 * DAY])
            yield (
                later(5 * MINUTE, longest),
                kind,
                {"by": "anna"} if kind == "sales_accepted" else {"outcome": "reached"},
            )
        if random.random() < 0.15:
            reason = random.choice(_RETURNS)
            returned: dict[str, object] = {} if reason is None else {"reason": named(reason, "reason")}
            yield later(HOUR, 9 * DAY), "sales_returned", returned
            later(9 * DAY, 30 * DAY)
            continue
        stage = ""
        for name in STAGES[: random.randrange(len(STAGES) + 1)]:
            if random.random() < 0.15:
                continue
            moved: dict[str, object] = {"stage": named(name, "stage") if random.random() < 0.1 else name}
            if stage:
                moved["previous"] = stage
            stage = name
            yield later(HOUR, 9 * DAY), "stage_changed", moved
            if random.random() < 0.3:
                yield later(HOUR, 3 * DAY), "meeting_held", {"minutes_sent": random.random() < 0.7}
            if name == "Proposal":
                yield later(MINUTE, HOUR), "offer_sent", {"total": 4000}
            if random.random() < 0.08:
                yield later(HOUR, 5 * DAY), "stage_changed", {"stage": "Working"}
        draw = random.random()
        if draw < 0.15 + 0.5 * good:
            value = round(random.lognormvariate(8.2, 0.5), 2)
            yield later(HOUR, 20 * DAY), "opportunity_won", {"value": value} if random.random() < 0.9 else {}
        elif draw < 0.9:
            lost: dict[str, object] = {"reason": named(random.choice(_LOSSES), "loss")}
            if random.random() < 0.6:
                lost["competitor"] = named(random.choice(_RIVALS), "rival")
            yield later(HOUR, 20 * DAY), "opportunity_lost", lost
        if random.random() < 0.02:
            yield later(HOUR, 20 * DAY), "erased", {}
            return
        later(20 * DAY, 90 * DAY)
