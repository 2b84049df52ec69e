"""What the peers do that know nothing of our rules: ten weights, a rating by the sum, a decision where it changes."""

from typing import Any

WEIGHTS = {
    "lead.page_viewed": 1,
    "lead.email_opened": 1,
    "lead.email_clicked": 3,
    "lead.content_downloaded": 4,
    "lead.form_submitted": 10,
    "lead.webinar_attended": 6,
    "lead.call_logged": 4,
}
BUDGET = {"approved": 20, "planned": 10, "requested": 5, "none": -10}
NEED = {"critical": 15, "important": 10, "useful": 4}


def judge(event: dict[str, Any], known: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The state of the lead after the event, and the decision if there is one. `known`: its state before, which is
    changed in place."""
    kind = event["type"]
    lead = known or {"counts": {}, "fit": 0, "rating": "", "said": 0}
    counts = lead["counts"]
    counts[kind] = counts.get(kind, 0) + 1
    data = event["data"]
    if kind == "lead.qualification_updated":
        lead["fit"] = BUDGET.get(data["bant"]["budget_status"], 0) + NEED.get(data["bant"]["need"], 0)
    points = lead["fit"] + sum(min(20, WEIGHTS.get(name, 0) * count) for name, count in counts.items())
    rating = "hot" if points >= 70 else "warm" if points >= 30 else "cold"
    if rating == lead["rating"] and abs(points - lead["said"]) < 10:
        return lead, None
    lead["rating"], lead["said"] = rating, points
    return lead, {"lead": event["subject"], "id": event["id"], "rating": rating, "points": points}
