"""A typical stateful scorer in Quix Streams, exactly once: counts and points per lead in its state store, and a
decision when the rating changes or the points move by ten. It has ten weights, no rule files, no explanations.

    python benchmarks/peers/quix.py localhost:9092 STATE_FOLDER
"""

import sys
from typing import Any

from quixstreams import State

from benchmarks.peers.quix_app import application
from benchmarks.peers.ten_weights import judge


def decide(event: dict[str, Any], state: State) -> dict[str, Any] | None:
    lead, decision = judge(event, state.get("lead"))
    state.set("lead", lead)
    return decision


def main(bootstrap: str, folder: str) -> None:
    app = application(bootstrap, folder)
    decisions = app.topic("lead.routing", value_serializer="json")
    stream = app.dataframe(app.topic("lead.activity", value_deserializer="json", key_deserializer="str"))
    stream = stream.apply(decide, stateful=True)
    stream = stream[stream.apply(lambda decision: decision is not None)]
    stream.to_topic(decisions)
    app.run()


main(sys.argv[1], sys.argv[2])
