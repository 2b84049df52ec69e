"""A typical stateful scorer in Quix Streams, exactly once: counts and points per lead in its state store, and a
decision when the rating changes or the points move by ten. It has ten weights, no rule files, no explanations.

    python benchmarks/peers/quix.py localhost:9092 STATE_FOLDER
"""

import sys

from quixstreams import State

from benchmarks.peers.quix_app import application

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


def judge(event: dict, state: State) -> dict | None:
    kind = event["type"]
    lead = state.get("lead") or {"counts": {}, "fit": 0, "rating": "", "said": 0}
    counts = lead["counts"]
    counts[kind] = counts.get(kind, 0) + 1
    data = event["data"]
    if kind == "lead.qualification_updated":
        lead["fit"] = BUDGET.get(data["bant"]["budget_status"], 0) + NEED.get(data["bant"]["need"], 0)
    points = lead["fit"] + sum(min(20, WEIGHTS.get(name, 0) * count) for name, count in counts.items())
    rating = "hot" if points >= 70 else "warm" if points >= 30 else "cold"
    changed = rating != lead["rating"] or abs(points - lead["said"]) >= 10
    if changed:
        lead["rating"], lead["said"] = rating, points
    state.set("lead", lead)
    return {"lead": event["subject"], "id": event["id"], "rating": rating, "points": points} if changed else None


def main(bootstrap: str, folder: str) -> None:
    app = application(bootstrap, folder)
    decisions = app.topic("lead.routing", value_serializer="json")
    stream = app.dataframe(app.topic("lead.activity", value_deserializer="json", key_deserializer="str"))
    stream = stream.apply(judge, stateful=True)
    stream = stream[stream.apply(lambda decision: decision is not None)]
    stream.to_topic(decisions)
    app.run()


main(sys.argv[1], sys.argv[2])
