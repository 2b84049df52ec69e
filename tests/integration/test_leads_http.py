"""GET /leads/{id} of the running service gives the same story as offline, from its own states."""

import json
from pathlib import Path

from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.explain.story import NothingToExplain, explain_lead
from scorer.explain.story_model import Story
from scorer.offline.ruleset_files import load_ruleset
from tests.brokers.marks import embedded_only
from tests.integration.activities import offline, stream
from tests.integration.kafka import Kafka, Names
from tests.integration.service import RULES, Service, service
from tests.integration.test_service import total
from tests.unit.test_cli import scorer


def asked(running: Service, path: str) -> tuple[int, str]:
    """The answer, also if the worker has too little time for it at first (503)."""

    def answer() -> tuple[int, str] | None:
        found = running.get(path, running.api_address)
        return None if found[0] == 503 else found

    return running.wait(answer)


@embedded_only
def test_the_service_tells_the_same_story_as_the_files(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = stream(300, leads=12, seed=5)
    expected, leads = offline(records)
    rules = Evaluator(load_ruleset(RULES), default_engine("compiled"))
    with service(kafka, names, tmp_path, api_port="0") as running:
        kafka.write(names.activity, records)
        kafka.read(names.routing, at_least=total(expected))
        running.wait(lambda: running.metric('scorer_consumer_lag_records{partition="0"}') == 0)
        running.wait(lambda: running.metric('scorer_consumer_lag_records{partition="1"}') == 0)
        explained = []
        for lead_id, lead in leads.items():
            status, body = asked(running, f"/leads/{lead_id}")
            try:
                story = explain_lead(lead, rules)
            except NothingToExplain:
                assert status == 410
                continue
            assert status == 200
            assert Story.model_validate_json(body) == story
            explained.append(lead_id)
        done = scorer("explain", explained[0], "--service", running.api_address)
        assert done.returncode == 0, done.stderr.decode()
        assert b"There is no timeline" in b" ".join(done.stdout.split())
        status, body = running.get("/leads/nobody", running.api_address)
        assert status == 404
        assert json.loads(body)["partitions"] == {"0": "running", "1": "running"}
        assert json.loads(body)["partition"] in (0, 1)
        unknown = scorer("explain", "nobody", "--service", running.api_address)
        assert unknown.returncode == 1
        assert b"'nobody': nothing is known about this lead; its default partition is held by this" in unknown.stderr
