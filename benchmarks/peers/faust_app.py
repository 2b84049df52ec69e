"""The same job as `quix.py` on Faust (faust-streaming), exactly once, with a table for the state of the leads.

python benchmarks/peers/faust_app.py localhost:9092 STATE_FOLDER
"""

import os
import sys

os.environ.setdefault("FAUST_LOOP", "aio")

import faust

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

app = faust.App(
    "bench",
    broker=f"kafka://{sys.argv[1]}",
    datadir=sys.argv[2],
    store="memory://",
    processing_guarantee="exactly_once",
    consumer_auto_offset_reset="earliest",
    topic_partitions=4,
    topic_replication_factor=1,
    topic_allow_declare=True,
    web_enabled=False,
)
activities = app.topic("lead.activity", key_type=str, key_serializer="raw", value_serializer="json")
decisions = app.topic("lead.routing", key_serializer="raw", value_serializer="json")
leads = app.Table("leads", default=dict, partitions=4)


@app.agent(activities)
async def judge(stream):
    async for event in stream:
        key, kind = event["subject"], event["type"]
        lead = leads[key] or {"counts": {}, "fit": 0, "rating": "", "said": 0}
        counts = lead["counts"]
        counts[kind] = counts.get(kind, 0) + 1
        data = event["data"]
        if kind == "lead.qualification_updated":
            lead["fit"] = BUDGET.get(data["bant"]["budget_status"], 0) + NEED.get(data["bant"]["need"], 0)
        points = lead["fit"] + sum(min(20, WEIGHTS.get(name, 0) * count) for name, count in counts.items())
        rating = "hot" if points >= 70 else "warm" if points >= 30 else "cold"
        if rating != lead["rating"] or abs(points - lead["said"]) >= 10:
            lead["rating"], lead["said"] = rating, points
            out = {"lead": key, "id": event["id"], "rating": rating, "points": points}
            await decisions.send(key=key.encode(), value=out)
        leads[key] = lead


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    app.main()
