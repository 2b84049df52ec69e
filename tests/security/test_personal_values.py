"""No log, metric, span, error or line of the audit log shows who a lead is, whatever becomes of what was sent."""

import gzip
import json
import os
import signal
import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scorer.cli import app
from tests import planted
from tests.brokers.marks import embedded_only
from tests.factory import SMALL_RULES, ruleset_folder
from tests.integration.activities import START, binary, event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service, service
from tests.integration.test_tracing import collector
from tests.planted import EMAIL, FACT, NAME, PHONE, VALUES

RULES = SMALL_RULES.replace(
    "fields: {installed_base: {type: integer}}",
    "fields: {installed_base: {type: integer}, name: {type: string}, email: {type: string}, phone: {type: string},"
    " note: {type: string}}",
)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LARGE = "x" * 3_000
WHO = json.dumps(VALUES).encode()


def good() -> Iterator[Record]:
    """Activities that say who the lead is, in every field that takes a text."""
    number = 0

    def made(kind: str, data: dict[str, Any], lead: str = "L-1") -> dict[str, Any]:
        nonlocal number
        number += 1
        # A state of a trace that is valid, and one that is not, which OpenTelemetry would log.
        trace = {"traceparent": TRACEPARENT, "tracestate": f"crm={EMAIL}" if number % 2 else EMAIL}
        return {**event(lead, number, f"lead.{kind}", data, START), **trace}

    profile = {"company": NAME, "job_title": EMAIL, "department": PHONE, "lead_source": FACT, "custom": VALUES}
    for lead in ("L-1", "L-2", "L-3"):
        yield structured(made("profile_updated", {**profile, "employees": 900, "country": "DE"}, lead))
    yield structured(made("profile_updated", {"custom": {"undeclared": EMAIL, "installed_base": FACT}}))
    yield structured(made("page_viewed", {"url": f"https://a.example/pricing?email={EMAIL}", "referrer": f"/{NAME}"}))
    yield binary(made("form_submitted", {"form": NAME, "fields": VALUES}))
    yield structured(made("sales_returned", {"by": NAME, "reason": f"{EMAIL} {PHONE}", "competitor": FACT}))
    yield structured(made("qualification_updated", {"bant": {"budget_status": "approved"}, "custom": VALUES}))
    yield structured(made("demo_requested", {"product": NAME, **VALUES}))
    yield structured(made("booth_visited", {"minutes": 6, **VALUES}))
    # Fails in our own code, because the fault point says so.
    yield structured({**made("page_viewed", {"url": f"/{EMAIL}"}), "id": "fails"})
    yield structured(made("merged", {"into": "L-1", **VALUES}, "L-2"))
    yield structured(made("erased", {"reason": NAME, **VALUES}, "L-3"))


def bad() -> Iterator[Record]:
    """Input that is no activity: each reason, around a personal value."""
    page = event("L-1", 1_000, "lead.page_viewed", {"url": f"/{NAME}", **VALUES}, START)
    yield Record(b"L-1", WHO[:-3])
    yield Record(b"L-1", f"{NAME} <{EMAIL}>".encode())
    yield Record(b"L-1", WHO + b"\xff")
    yield Record(b"L-1", WHO)
    yield Record(b"L-1", json.dumps([VALUES, page]).encode())
    yield Record(b"L-1", json.dumps(EMAIL).encode())
    yield Record(b"L-1", b'{"email": "%b", "n": NaN}' % EMAIL.encode())
    yield Record(b"L-1", b'{"email": "%b", "n": ' % EMAIL.encode() + b"[" * 200 + b"]" * 200 + b"}")
    yield Record(b"L-1", json.dumps({**page, "filler": LARGE}).encode())
    yield Record(b"L-1", None, [("ce_id", EMAIL.encode())])
    yield Record(b"L-1", WHO, [("ce_id", EMAIL.encode()), ("ce_type", NAME.encode()), ("ce_source", PHONE.encode())])
    yield Record(b"L-1", WHO, [("content-type", f"application/{EMAIL}".encode()), ("ce_id", b"1")])
    yield Record(b"L-1", WHO, [("content-type", f"application/cloudevents+{EMAIL}".encode())])
    yield Record(b"L-1", WHO, [(f"ce_{EMAIL}", NAME.encode()), ("ce_specversion", EMAIL.encode())])
    yield Record(b"L-1", WHO, [("ce_id", EMAIL.encode() + b"\xff")])
    for attribute in ("specversion", "id", "source", "type", "time", "subject", "datacontenttype", "traceparent"):
        yield Record(b"L-1", json.dumps({**page, attribute: EMAIL}).encode())
        yield Record(b"L-1", json.dumps({**page, attribute: {NAME: EMAIL}}).encode())
    for field in ("custom", "employees", "country", "company", "job_level", "technologies"):
        for wrong in (EMAIL, {EMAIL: NAME}, [NAME] * 100, {EMAIL: {NAME: PHONE}}):
            yield structured({**page, "type": "lead.profile_updated", "data": {field: wrong, NAME: EMAIL}})
    yield structured({**page, "data": EMAIL})
    yield structured({**page, "data": {"url": {NAME: EMAIL}}})
    yield structured({**page, "type": "lead.merged", "data": {"into": [EMAIL]}})
    yield structured(page)._replace(key=None)
    yield structured(page)._replace(key=EMAIL.encode())


def command(environment: dict[str, str], *arguments: str, stdin: str | None = None) -> tuple[str, str]:
    """Standard output and errors of a command."""
    unset = dict.fromkeys(name for name in os.environ if name.startswith("SCORER_"))
    result = CliRunner().invoke(app, arguments, env={**unset, **environment}, input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.stdout, result.stderr


def ask(running: Service) -> Iterator[str]:
    """Answers that concern nobody in particular, after requests that name somebody."""
    quoted = urllib.parse.quote(EMAIL)
    # Not as an id of the listener for lead data: the audit log says for which id somebody asked.
    running.get(f"/leads/{quoted}")
    for address in (running.address, running.api_address):
        for path in (f"/{quoted}", f"/leads/L-1?email={quoted}", f"/metrics?{quoted}", "/leads/L-3"):
            running.get(path, address)
        host, port = address.removeprefix("http://").rsplit(":", 1)
        for request in (
            f"{EMAIL}\r\n\r\n",
            f"GET /{EMAIL} HTTP/9\r\n\r\n",
            f"{NAME} / HTTP/1.1\r\nhost: {EMAIL}\r\n\r\n",
        ):
            with socket.create_connection((host, int(port)), timeout=10) as client:
                client.sendall(request.encode())
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass
    for path in ("/metrics", "/health/live", "/health/ready"):
        yield running.get(path)[1]
    for path in ("/ruleset", "/asyncapi", "/openapi.json"):
        yield running.get(path, running.api_address)[1]


@embedded_only
def test_nothing_that_the_service_and_its_commands_say_shows_a_personal_value(
    kafka: Kafka, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, candidate = ruleset_folder(tmp_path / "rules", RULES), ruleset_folder(tmp_path / "candidate", RULES)
    ruleset_folder(candidate, RULES.replace("points: 20, reason: Budget", "points: 1, reason: Budget"))
    audit = tmp_path / "the-audit.log"
    said: dict[str, str | bytes] = {}
    sent = list(good())
    broken = list(bad())
    common = {"max_value_bytes": "2048", "audit_file": str(audit)}
    with collector() as (address, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        with service(
            kafka,
            names,
            tmp_path,
            rules=str(rules),
            shadow_rules=str(candidate),
            fault_point="assessing:fails:fail",
            tracing="on",
            log_level="DEBUG",
            api_port="0",
            max_value_bytes=common["max_value_bytes"],
            audit_file=common["audit_file"],
        ) as running:
            running.wait(lambda: running.metric("scorer_shadow_last_reload_successful") == 1)
            kafka.write(names.activity, [*sent[:-2], *broken, *sent[-2:]])
            running.wait(lambda: running.metric('scorer_activities_total{type="lead.erased"}') == 1)
            ruleset_folder(rules, RULES.replace("points: 20, reason: Budget", "points: 30, reason: Budget"))
            running.wait(lambda: running.metric('scorer_rules_reloads_total{outcome="loaded"}') == 1)
            running.wait(lambda: running.metric('scorer_rescore_leads_total{outcome="published"}') >= 1)
            running.process.send_signal(signal.SIGHUP)
            for number, answer in enumerate(ask(running)):
                said[f"answer {number}"] = answer
            assert EMAIL in running.get("/leads/L-1", running.api_address)[1], "the values must have reached the state"
            assert running.terminate() == 0
            said["the log"] = running.text()
        # A trace arrives as it is, or compressed.
        exported = [request.SerializeToString() for request in received]
        assert exported
        said["the spans"] = b"\n".join(exported)
    letters = kafka.read(names.dead_letters)
    reasons = {dict(letter.headers)["dlq-reason"].decode() for letter in letters}
    assert {"internal_error", "too_large", "null_key", "key_mismatch", "invalid_data", "not_json"} <= reasons
    for letter in letters:
        said[f"the detail of {letter.offset}"] = dict(letter.headers)["dlq-detail"]

    environment = {
        "SCORER_BOOTSTRAP_SERVERS": kafka.bootstrap,
        **names.environment,
        **{f"SCORER_{name.upper()}": value for name, value in common.items()},
    }
    lines = tmp_path / "activities.jsonl"
    lines.write_bytes(b"\n".join(record.value or b"" for record in (*sent, *broken)))
    compressed = tmp_path / "activities.jsonl.gz"
    compressed.write_bytes(gzip.compress(lines.read_bytes()))
    keys = b"\n".join(letter.key or b"" for letter in letters)
    for arguments in (
        ("dlq", "list", "--counts"),
        ("dlq", "replay", "--reason", "invalid_data"),
        ("dlq", "purge", "--lead", "L-1", "--yes"),
        ("offsets", "show"),
        ("offsets", "reset", "--to", "earliest"),
        ("topics", "ensure"),
    ):
        out, err = command(environment, *arguments)
        said[" ".join(arguments)] = out + err
    # What these print on stdout is about leads; their errors are not.
    for arguments in (
        ("score", str(lines), "--rules", str(rules)),
        ("score", str(compressed), "--rules", str(rules)),
    ):
        errors = command(environment, *arguments)[1]
        # The summary shows an example of each key that does not fit, to the person who has the file.
        summary = [line for line in errors.splitlines() if ", e.g. " in line]
        assert summary
        said["errors of " + " ".join(arguments)] = "\n".join(set(errors.splitlines()).difference(summary))
    said["the audit log"] = audit.read_bytes()
    assert {json.loads(line)["event"] for line in audit.read_text().splitlines()} >= {
        *("rules_in_effect", "replay_started", "replay_ended", "purge_started", "purge_ended")
    }
    # The search finds what it looks for.
    assert planted.found_in(keys)
    assert {place: planted.found_in(text) for place, text in said.items() if planted.found_in(text)} == {}
