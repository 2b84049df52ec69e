"""GET /leads/{id}: the answer to each kind of request."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest

from scorer.domain.instant import to_text
from scorer.domain.lead import Lead
from scorer.explain.story_model import Story
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings
from scorer.service.api import Api, Sources
from scorer.service.api_access import Access
from scorer.service.http import build_asgi
from scorer.service.lead_explanations import LeadExplanations
from scorer.state.codec import CodecError
from scorer.state.store import LeadStore
from tests.contract.test_schemas import validator
from tests.factory import MONDAY, activity, evaluator

RULES = evaluator()
ODD = "a/b?c=d#e%2F é\u202e"


class Worker:
    """Has leads as a worker does."""

    def __init__(self, *leads: Lead, ready: bool = True, partition: int = 5) -> None:
        self.leads = {lead.id: lead for lead in leads}
        self._ready = ready
        self._partition = partition

    def lead(self, lead_id: str) -> Lead | None:
        if lead_id == "damaged":
            raise CodecError("the state of 'damaged' is damaged: secret")
        return self.leads.get(lead_id)

    def partition_of(self, lead_id: str) -> int | None:
        return self._partition

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        state = "running" if self._ready else "restoring"
        return self._ready, {"partitions": {"0": state, "3": "running"}, "status": state}

    def live(self) -> tuple[bool, Mapping[str, object]]:
        return True, {}


class Recorded:
    """An audit log in memory; it fails with `broken`."""

    def __init__(self, broken: bool = False) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []
        self._broken = broken

    def write(self, event: str, **fields: object) -> None:
        if self._broken:
            raise OSError("the disk is full")
        self.lines.append((event, fields))


def api(worker: Worker, audit: Recorded | None = None) -> Api:
    """The application for lead data on loopback, without a login."""
    sources = Sources(LeadExplanations(worker, lambda: RULES.ruleset), dict, {"asyncapi": {}})
    return Api(sources, Access(Settings(_env_file=None, api_port=0)), audit or Recorded())


def get(
    worker: Worker, path: str, query: str = "", method: str = "GET", audit: Recorded | None = None
) -> tuple[int, dict[str, Any], dict[str, str]]:
    return asked(api(worker, audit), path, query, method)


def asked(app: Any, path: str, query: str, method: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"127.0.0.1:8090")],
        "client": ("127.0.0.1", 50000),
    }

    async def answered() -> None:
        await app(scope, receive, send)

    asyncio.run(answered())
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = sent[1]["body"]
    return sent[0]["status"], json.loads(body) if body else {}, headers


def known(lead_id: str = "lead-1", *more: Any) -> Lead:
    lead = Lead(lead_id)
    for event in (activity("trial_started", lead=lead_id), *more):
        lead = RULES.assess(lead, event).lead
    return lead


def test_a_lead_is_explained_with_a_note_that_there_is_no_timeline() -> None:
    status, body, headers = get(Worker(known()), "/leads/lead-1")
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "application/json", "no-store")
    validator("story.json").validate(body)
    story = Story.model_validate(body)
    assert (story.lead_id, story.score.total, story.timeline) == ("lead-1", 15, None)
    assert story.signals[0].days[0].events == []
    assert "not its history" in story.notes[0]


@pytest.mark.parametrize("quoted", ["a%2Fb%3Fc%3Dd%23e%252F%20%C3%A9%E2%80%AE"])
def test_ids_are_percent_decoded_once(quoted: str) -> None:
    status, body, _ = get(Worker(known(ODD)), f"/leads/{quoted}")
    assert (status, body["lead_id"]) == (200, ODD)


def test_an_id_can_contain_line_breaks() -> None:
    assert get(Worker(known("a\nb\n")), "/leads/a%0Ab%0A")[1]["lead_id"] == "a\nb\n"


def test_a_path_that_only_looks_like_a_lead_is_not_found() -> None:
    assert get(Worker(known()), "/leads%2Flead-1")[0] == 404
    assert get(Worker(known()), "/leads%2Flead-1", method="POST")[0] == 404
    assert get(Worker(known()), "/%6Ceads/lead-1", method="DELETE")[0] == 404


@pytest.mark.parametrize("path", ["/metrics%0A", "/health/live%0A", "/health/ready%0A"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_path_with_a_line_break_at_its_end_is_not_found(path: str, method: str) -> None:
    assert asked(build_asgi(Metrics(), Worker()), path, "", method)[0] == 404
    assert asked(api(Worker()), "/ruleset%0A", "", method)[0] == 404


def test_a_lead_that_is_not_here_is_404_with_the_partitions_of_the_worker() -> None:
    status, body, _ = get(Worker(known("somebody-else")), "/leads/lead-1")
    assert status == 404
    assert body == {
        "error": "nothing is known about this lead here; another worker may hold it",
        "partition": 5,
        "partitions": {"0": "running", "3": "running"},
    }


def test_no_other_worker_is_named_if_this_one_has_the_default_partition() -> None:
    status, body, _ = get(Worker(partition=3), "/leads/lead-1")
    assert (status, body["partition"]) == (404, 3)
    assert body["error"] == "nothing is known about this lead; its default partition is held by this worker"


def test_while_restoring_it_is_503_unless_the_lead_is_restored_already() -> None:
    status, body, _ = get(Worker(known(), ready=False), "/leads/lead-2")
    assert (status, body["partitions"]) == (503, {"0": "restoring", "3": "running"})
    assert get(Worker(known(), ready=False), "/leads/lead-1")[0] == 200


def test_an_erased_lead_is_gone() -> None:
    status, body, _ = get(Worker(known("lead-1", activity("erased", day=2))), "/leads/lead-1")
    assert status == 410
    assert body["error"].startswith("all data about this lead was erased")


def test_at_cannot_be_before_the_latest_activity() -> None:
    worker = Worker(known())
    late = to_text(MONDAY + 100 * 86_400_000_000)
    assert get(worker, "/leads/lead-1", f"at={late}")[1]["score"]["total"] == 0
    status, body, _ = get(worker, "/leads/lead-1", "at=2020-01-01")
    assert (status, body) == (400, {"error": "at: the lead has been active since; the state knows no past"})
    assert get(worker, "/leads/lead-1", "at=soon")[0] == 400


@pytest.mark.parametrize(
    ("path", "query", "about"),
    [
        ("/leads/", "", "/leads/{id}"),
        ("/leads/%FF", "", "the lead id"),
        ("/leads/lead-1", "as=2026-01-01", "/leads/{id}?at=TIME"),
        ("/leads/lead-1", "at=2026-02-01&at=2026-03-01", "/leads/{id}?at=TIME"),
        ("/leads/lead-1", "at=%FF", "at=TIME"),
    ],
)
def test_a_wrong_request_is_400(path: str, query: str, about: str) -> None:
    status, body, _ = get(Worker(known()), path, query)
    assert status == 400
    assert set(body) == {"error"}
    assert about in body["error"]
    assert ("lead id" in body["error"]) == (about == "the lead id")


def test_only_reading_is_allowed() -> None:
    assert get(Worker(known()), "/leads/lead-1", method="DELETE")[0] == 405
    assert get(Worker(known()), "/leads/lead-1", method="HEAD")[:2] == (200, {})
    assert get(Worker(known()), "/leads", method="GET")[0] == 404


def test_a_damaged_state_is_500_and_is_not_shown() -> None:
    status, body, _ = get(Worker(), "/leads/damaged")
    assert status == 500
    assert "secret" not in json.dumps(body)


def test_a_worker_explains_the_committed_state_only() -> None:
    store, before = LeadStore(), known()
    store.stage(before)
    assert store.committed("lead-1") is None
    store.commit()
    store.stage(known("lead-1", activity("trial_started", day=1)))
    assert store.committed("lead-1") == before


def test_a_client_is_told_when_to_ask_again() -> None:
    assert get(Worker(known(), ready=False), "/leads/lead-2")[2]["retry-after"] == "1"


def test_the_audit_log_has_who_read_which_lead() -> None:
    audit = Recorded()
    get(Worker(known(ODD)), "/leads/a%2Fb%3Fc%3Dd%23e%252F%20%C3%A9%E2%80%AE", audit=audit)
    get(Worker(known()), "/leads/nobody", method="HEAD", audit=audit)
    get(Worker(known()), "/ruleset", audit=audit)
    who = {"who": "loopback", "address": "127.0.0.1"}
    assert audit.lines == [
        ("lead_read", {**who, "lead": ODD, "path": "/leads/a%2Fb%3Fc%3Dd%23e%252F%20%C3%A9%E2%80%AE", "status": 200}),
        ("lead_read", {**who, "lead": "nobody", "path": "/leads/nobody", "status": 404}),
    ]


def test_what_cannot_be_recorded_is_not_shown() -> None:
    status, body, _ = get(Worker(known()), "/leads/lead-1", audit=Recorded(broken=True))
    assert status == 503
    assert set(body) == {"error"}
    assert "audit log" in body["error"]


def test_the_open_listener_has_no_lead_data() -> None:
    app = build_asgi(Metrics(), Worker(known()))
    for path in ("/leads/lead-1", "/ruleset", "/asyncapi", "/openapi.json"):
        status, body, _ = asked(app, path, "", "GET")
        assert (status, body) == (404, {"error": "not found; there are /metrics, /health/live and /health/ready"})


def test_a_method_that_is_not_allowed_is_answered_with_those_that_are() -> None:
    for app, path in ((build_asgi(Metrics(), Worker()), "/health/live"), (api(Worker()), "/leads/lead-1")):
        status, _, headers = asked(app, path, "", "POST")
        assert (status, headers["allow"]) == (405, "GET, HEAD")
