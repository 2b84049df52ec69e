"""The OpenAPI document is true: Schemathesis asks the running service what the document allows, and what not."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.brokers.marks import embedded_only
from tests.integration.activities import stream
from tests.integration.kafka import Kafka, Names
from tests.integration.service import service
from tests.variables import given

TOKEN = "0123456789abcdef" * 4
EXAMPLES = int(given("SCORER_TEST_SCHEMA_EXAMPLES", "30"))
LONGEST_ANSWER = 10.0
"""Seconds, as docs/operations.md promises."""


@embedded_only
@pytest.mark.timeout(900)
def test_no_answer_is_a_fault_outside_the_document_or_late(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"schemathesis:{TOKEN}\n")
    audit = tmp_path / "audit.log"
    with service(kafka, names, tmp_path, api_port="0", api_token_file=str(tokens), audit_file=str(audit)) as running:
        kafka.write(names.activity, stream(300, leads=12, seed=5))
        running.wait(lambda: running.metric('scorer_consumer_lag_records{partition="0"}') == 0)
        running.wait(lambda: running.metric('scorer_consumer_lag_records{partition="1"}') == 0)
        for configuration, examples in ((ANY_LEAD, EXAMPLES), (KNOWN_LEAD, EXAMPLES // 3)):
            done = schemathesis(running.api_address, tmp_path, configuration, examples)
            assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
        assert running.ready() is not None
        assert "api_failed" not in running.text()
    assert audit.read_text().count('"lead_read"') > 50


def schemathesis(address: str, folder: Path, configuration: str, examples: int) -> "subprocess.CompletedProcess[str]":
    """All checks and phases over the document that the service serves."""
    (folder / "schemathesis.toml").write_text(configuration)
    request = urllib.request.Request(f"{address}/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        # From a file, because it leaves out the address from which it has the document.
        (folder / "openapi.json").write_bytes(answer.read())
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml"), "run"),
        *(str(folder / "openapi.json"), "--url", address),
        *("--header", f"Authorization: Bearer {TOKEN}", "--checks", "all", "--mode", "all"),
        *(
            "--max-response-time",
            str(LONGEST_ANSWER),
            "--request-timeout",
            "60",
            "--max-examples",
            str(examples),
            "--seed",
            "1",
            "--no-color",
        ),
        *("--generation-database", "none", "--continue-on-failure", "--warnings", "off"),
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=800)


ANY_LEAD = ""
KNOWN_LEAD = """
[[operations]]
include-path = "/leads/{id}"
parameters = { id = "lead-3" }
# The lead has been active since, or is deleted by then: only the service can know that.
checks.positive_data_acceptance.expected-statuses = [200, 400, 404]
"""
