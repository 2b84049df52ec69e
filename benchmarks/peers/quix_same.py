"""Our own job in Quix Streams, exactly once: the same parsing, the same `assess` with the rules of `rules/b2b`, the
same state as bytes in its state store, and the same decisions. Only the framework differs. It has no dead letters,
no metrics, no re-scoring.

A new lead gets a state with a history from a file; ours restores these states from its changelog.

    python benchmarks/peers/quix_same.py localhost:9092 STATE_FOLDER
"""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from quixstreams import State

from benchmarks.peers.quix_app import application
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.kafka.message import Message
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.cloudevents import parse_record
from scorer.state.codec import decode_lead, encode_lead
from scorer.stream.outbox import decision_message

ROUTING = "lead.routing"


def main(bootstrap: str, folder: str) -> None:
    # Its environment has no durable_rules. Both engines decide each distinguishable case only once.
    evaluator = Evaluator(load_ruleset(Path(__file__).parents[2] / "rules" / "b2b"), default_engine("compiled"))
    histories = msgspec.msgpack.decode((Path(folder) / "states.msgpack").read_bytes(), type=list[bytes])

    def judge(value: bytes, key: bytes, _: int, headers: Any, state: State) -> Message | None:
        now = time.time_ns() // 1000
        activity = parse_record(value, key, headers, now)
        lead_id = activity.lead_id
        packed = state.get_bytes("lead")
        if packed is None:
            packed = histories[int(lead_id.rpartition("-")[2]) % len(histories)]
        lead = decode_lead(lead_id, packed)
        assessment = evaluator.assess(lead, activity)
        if assessment.lead is not lead:
            state.set_bytes("lead", encode_lead(assessment.lead))
        decision = assessment.decision
        return None if decision is None else decision_message(decision, ROUTING, "bench", now)

    app = application(bootstrap, folder)
    decisions = app.topic(ROUTING, value_serializer="bytes", key_serializer="bytes")
    stream = app.dataframe(app.topic("lead.activity", value_deserializer="bytes", key_deserializer="bytes"))
    stream = stream.apply(judge, stateful=True, metadata=True)
    stream = stream.filter(lambda message: message is not None)
    stream = stream.set_headers(lambda message, key, timestamp, headers: message.headers)
    stream = stream.apply(lambda message: message.value)
    stream.to_topic(decisions)
    app.run()


main(sys.argv[1], sys.argv[2])
