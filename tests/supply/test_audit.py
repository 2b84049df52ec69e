"""The audit is red for a known vulnerability, green for one that is accepted for a time, and says if it saw nothing."""

import datetime
import json
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.supply.audit import ACCEPTED, Finding, by_name_once, complaints, looked, main

LOCK = "jinja2==3.1.6 \\\n    --hash=sha256:00\nmarkupsafe==3.0.4 \\\n    --hash=sha256:00\n"
ADVISORY = {
    "id": "GHSA-0000-0000-0000",
    "aliases": ["CVE-2026-0001"],
    "summary": "templates escape",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.7"}]}],
        }
    ],
}
FINDING = Finding("jinja2", "3.1.6", ("GHSA-0000-0000-0000", "CVE-2026-0001"), ("3.1.7",))
TODAY = datetime.date(2026, 6, 1)


class Advisories(BaseHTTPRequestHandler):
    """An OSV service that knows of one package."""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps({"vulns": [ADVISORY]} if query["package"]["name"] == "jinja2" else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        server.shutdown()


def accepted(**changed: Any) -> dict[str, Any]:
    entry = {"id": "CVE-2026-0001", "package": "jinja2", "because": "no templates of others", "since": TODAY}
    return {**entry, "until": datetime.date(2026, 7, 1), **changed}


def test_a_known_vulnerability_is_red_and_named(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock, empty = tmp_path / "some.lock", tmp_path / "accepted.toml"
    lock.write_text(LOCK)
    empty.write_text("")
    assert main(["--lock", str(lock), "--osv-url", service, "--accepted", str(empty)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "jinja2 3.1.6: CVE-2026-0001, GHSA-0000-0000-0000; fixed in 3.1.7",
        "audit: 2 packages, 1 findings, 1 not accepted; not looked up: none",
    ]


def test_without_advisories_it_is_not_red_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(LOCK)
    assert main(["--lock", str(lock), "--osv-url", "http://127.0.0.1:9/v1/query"]) == 0
    assert capsys.readouterr().out == (
        "audit: skipped, no advisories could be reached: 2 packages were not looked up\n"
    )


def test_a_finding_is_accepted_until_its_day() -> None:
    assert list(complaints([FINDING], [accepted()], TODAY, complete=True)) == []
    assert list(complaints([FINDING], [accepted(id="GHSA-0000-0000-0000")], TODAY, complete=True)) == []
    (over,) = complaints([FINDING], [accepted()], datetime.date(2026, 7, 2), complete=True)
    assert over == f"{FINDING}; it was accepted until 2026-07-01"


@pytest.mark.parametrize("changed", [{"id": "CVE-2026-0002"}, {"package": "markupsafe"}])
def test_an_entry_accepts_one_finding_of_one_package(changed: dict[str, str]) -> None:
    assert str(FINDING) in list(complaints([FINDING], [accepted(**changed)], TODAY, complete=True))


def test_an_entry_that_nothing_needs_is_a_fault_if_everything_was_looked_up() -> None:
    (stale,) = complaints([], [accepted()], TODAY, complete=True)
    assert "but nothing has it" in stale
    assert list(complaints([], [accepted()], TODAY, complete=False)) == []


def test_a_package_that_the_service_does_not_know_is_not_called_safe() -> None:
    report = {"dependencies": [{"name": "a", "skip_reason": "not found"}, {"name": "b", "version": "1", "vulns": []}]}
    assert looked(report) == (frozenset({"b 1"}), frozenset({"a"}), ())


def test_two_versions_of_a_package_are_both_looked_up() -> None:
    groups = by_name_once([("a", "1"), ("a", "2"), ("b", "1")])
    assert groups == [{"a": "1", "b": "1"}, {"a": "2"}]


def test_every_accepted_finding_has_a_reason_and_two_dates() -> None:
    for entry in tomllib.loads(ACCEPTED.read_text()).get("accepted", []):
        assert entry.keys() == {"id", "package", "because", "since", "until"}
        assert entry["since"] < entry["until"] <= entry["since"] + datetime.timedelta(days=183)
        assert len(entry["because"]) > 20
