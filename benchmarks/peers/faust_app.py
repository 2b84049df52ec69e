"""The same job as `quix.py` on Faust (faust-streaming), exactly once, with a table for the state of the leads.

python benchmarks/peers/faust_app.py localhost:9092 STATE_FOLDER
"""

import os
import sys
from typing import Any

os.environ.setdefault("FAUST_LOOP", "aio")

import faust

from benchmarks.peers.ten_weights import judge

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


@app.agent(activities)  # type: ignore[untyped-decorator]
async def decide(stream: Any) -> None:
    async for event in stream:
        key = event["subject"]
        lead, decision = judge(event, leads[key])
        if decision is not None:
            await decisions.send(key=key.encode(), value=decision)
        leads[key] = lead


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    app.main()
