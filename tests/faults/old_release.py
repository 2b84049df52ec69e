"""Judges records as an old release does. It runs with the code of that release (`OldRelease`), and knows nothing of the
present one.

Reads pickles from stdin: the states of leads as bytes, by lead, and the records as (key, value, headers). Writes
pickles to stdout: the states that have changed, and for each record a lead with its decision, or a reason, or None.
"""

import pickle
import sys
import time
from pathlib import Path

from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected
from scorer.state.codec import decode_lead, encode_lead


def main(rules: str) -> None:
    """Answer until the input ends."""
    # What the release itself prints must not get between the answers.
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    evaluator = Evaluator(load_ruleset(Path(rules)), default_engine("compiled"))
    while True:
        try:
            states, records = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        leads = {lead_id: decode_lead(lead_id, state) for lead_id, state in states.items()}
        changed: set[str] = set()
        results: list[str | tuple[str, bytes] | None] = []
        for key, value, headers in records:
            try:
                activity = parse_record(value, key, headers, time.time_ns() // 1000)
            except Rejected as rejected:
                results.append(rejected.reason)
                continue
            lead = leads.get(activity.lead_id) or Lead(activity.lead_id)
            assessment = evaluator.assess(lead, activity)
            if assessment.lead is not lead:
                leads[lead.id] = assessment.lead
                changed.add(lead.id)
            decision = assessment.decision
            results.append(None if decision is None else (lead.id, decision.to_json()))
        pickle.dump(({lead_id: encode_lead(leads[lead_id]) for lead_id in changed}, results), answers)
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
