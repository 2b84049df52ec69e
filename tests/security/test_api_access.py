"""Who may read lead data over real HTTP: each permission lets somebody in, and without it nobody comes in."""

import contextlib
import hashlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.security.certificates import Authority

ROOT = Path(__file__).parents[2]
SECONDS = 30.0
PATHS = ("/leads/lead-1", "/ruleset", "/asyncapi", "/openapi.json")


class Running:
    """`scorer run` that waits for a Kafka which does not exist: it has no leads, but says who may ask."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.process = process
        self._folder = folder

    def log(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return lines(self._folder / "service.log")

    def event(self, name: str) -> dict[str, Any]:
        """The first line of the log with this event."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found = next((line for line in self.log() if line.get("event") == name), None)
            if found is not None:
                return found
            time.sleep(0.05)
        raise AssertionError(f"no {name}: {(self._folder / 'service.log').read_text()}")

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        listener: str = "api_listening",
        method: str = "GET",
    ) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
        """Status, content and headers of an answer. Raises `OSError` if the handshake or the connection fails."""
        connection = self.connected(tls, listener)
        with contextlib.closing(connection):
            return ask(connection, path, headers, method)

    def connected(
        self, tls: ssl.SSLContext | None = None, listener: str = "api_listening"
    ) -> http.client.HTTPConnection:
        """A connection to a listener."""
        port = self.event(listener)["port"]
        if tls is None:
            return http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=tls)

    def audit(self) -> list[dict[str, Any]]:
        """The reads in its audit log: who, lead and status."""
        wanted = ("who", "lead", "path", "status")
        reads = [line for line in lines(self._folder / "audit.log") if line["event"] == "lead_read"]
        return [{name: line[name] for name in wanted} for line in reads]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{") and line.endswith("}")]


def ask(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
    connection.request(method, path, headers=dict(headers or {}))
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body) if body else {}, answer.headers


@contextlib.contextmanager
def running(folder: Path, **settings: object) -> Iterator[Running]:
    """The service with these settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    environment |= {
        "SCORER_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SCORER_STARTUP_TIMEOUT_S": "600",
        "SCORER_HTTP_PORT": "0",
        "SCORER_AUDIT_FILE": str(folder / "audit.log"),
        **{f"SCORER_{name.upper()}": str(value) for name, value in settings.items()},
    }
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "scorer", "run"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        yield Running(process, folder)
    finally:
        process.kill()
        process.wait()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def replace(path: Path, text: str) -> None:
    """As a rotation does it: at once, and under another inode."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


# The same in each process, because they are in the names of tests.
OLD, NEW, RULES_ONLY = (hashlib.sha256(name).hexdigest() for name in (b"old", b"new", b"rules"))


@pytest.fixture(scope="module")
def with_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    folder = tmp_path_factory.mktemp("tokens")
    tokens = folder / "tokens"
    tokens.write_text(f"# of the CRM\ncrm:{OLD}\n\nci:{RULES_ONLY}:rules\n")
    with running(
        folder,
        api_port=0,
        api_host="0.0.0.0",
        api_token_file=tokens,
        api_allowed_hosts="scorer.example, *.pods.example",
    ) as service:
        yield service, tokens


# Tokens


@pytest.mark.parametrize("path", PATHS)
def test_a_token_lets_in_and_without_one_nobody_comes_in(with_tokens: tuple[Running, Path], path: str) -> None:
    service, _ = with_tokens
    assert service.get(path, bearer(OLD))[0] in (200, 503)
    status, body, headers = service.get(path)
    assert (status, set(body)) == (401, {"error"})
    assert headers["WWW-Authenticate"] == 'Bearer realm="lead-scorer"'
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {OLD[:-1]}",
        f"Bearer {OLD}0",
        f"Bearer {OLD.upper()}",
        "Bearer ",
        f"Basic {OLD}",
        f"crm:{OLD}",
        f"Bearer crm:{OLD}",
        f"Bearer {'ä' * 40}",
    ],
)
def test_a_wrong_token_lets_nobody_in(with_tokens: tuple[Running, Path], value: str) -> None:
    service, _ = with_tokens
    status, _, headers = service.get("/ruleset", {"Authorization": value})
    assert status == 401
    assert headers["WWW-Authenticate"].startswith('Bearer realm="lead-scorer"')


def test_nobody_learns_what_exists_without_a_token(with_tokens: tuple[Running, Path]) -> None:
    service, _ = with_tokens
    assert {service.get(path)[0] for path in ("/nowhere", "/leads/", "/")} == {401}
    assert service.get("/leads/lead-1", method="DELETE")[0] == 401
    assert service.get("/nowhere", bearer(OLD))[0] == 404


def test_a_token_for_rules_reads_rules_and_no_leads(with_tokens: tuple[Running, Path]) -> None:
    service, _ = with_tokens
    assert service.get("/ruleset", bearer(RULES_ONLY))[0] == 200
    status, body, headers = service.get("/leads/lead-1", bearer(RULES_ONLY))
    assert (status, body) == (403, {"error": "this token may not read leads"})
    assert "insufficient_scope" in headers["WWW-Authenticate"]


def test_the_audit_log_names_who_read_which_lead(with_tokens: tuple[Running, Path]) -> None:
    service, _ = with_tokens
    service.get("/leads/by%2Fname", bearer(OLD))
    service.get("/leads/by%2Fname", bearer(RULES_ONLY))
    service.get("/leads/by%2Fname", bearer(NEW))
    reads = [read for read in service.audit() if read["lead"] == "by/name"]
    assert reads == [
        {"who": "token:crm", "lead": "by/name", "path": "/leads/by%2Fname", "status": 503},
        {"who": "token:ci", "lead": "by/name", "path": "/leads/by%2Fname", "status": 403},
    ]


def test_no_token_is_in_the_log(with_tokens: tuple[Running, Path]) -> None:
    service, _ = with_tokens
    service.get("/ruleset", bearer(OLD))
    text = json.dumps(service.log()) + json.dumps(service.audit())
    assert OLD not in text
    assert RULES_ONLY not in text


def test_a_rotated_token_is_taken_up_without_a_restart_and_without_a_gap(with_tokens: tuple[Running, Path]) -> None:
    service, tokens = with_tokens
    before = tokens.read_text()
    try:
        assert [service.get("/ruleset", bearer(token))[0] for token in (OLD, NEW)] == [200, 401]
        replace(tokens, f"crm:{OLD}\ncrm:{NEW}\n")
        assert [service.get("/ruleset", bearer(token))[0] for token in (OLD, NEW)] == [200, 200]
        tokens.write_text(f"crm:{NEW}\n")
        assert [service.get("/ruleset", bearer(token))[0] for token in (OLD, NEW)] == [401, 200]
    finally:
        replace(tokens, before)


@pytest.mark.parametrize("wrong", [None, "", "crm\n", "crm:short\n", "crm:" + "ä" * 40, f"crm:{OLD}:write\n"])
def test_a_file_that_is_gone_or_wrong_admits_nobody_until_it_is_right(
    with_tokens: tuple[Running, Path], wrong: str | None
) -> None:
    service, tokens = with_tokens
    before = tokens.read_text()
    try:
        if wrong is None:
            tokens.unlink()
        else:
            tokens.write_text(wrong)
        assert service.get("/ruleset", bearer(OLD))[0] == 401
    finally:
        replace(tokens, before)
    assert service.get("/ruleset", bearer(OLD))[0] == 200
    refused = [line for line in service.log() if line["event"] == "api_tokens_refused"]
    assert str(tokens) in refused[-1]["error"]
    assert OLD not in refused[-1]["error"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"crm:{OLD}\n{OLD}\n", ":2 is no token; expected NAME:TOKEN"),
        ("crm:0123456789\n", ":1 has a token of less than 32 characters"),
        (f"a:{OLD}\nb:{OLD}\n", ":2 repeats the token of an earlier line"),
        ("# none\n", " has no token; expected NAME:TOKEN"),
    ],
)
def test_a_wrong_file_of_tokens_is_refused_at_the_start(tmp_path: Path, content: str, message: str) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(content)
    with running(tmp_path, api_port=0, api_token_file=tokens) as service:
        assert service.process.wait(SECONDS) == 2
        assert f"{tokens}{message}" in service.event("http_failed")["error"]
        assert OLD not in (tmp_path / "service.log").read_text()


# The Host


@pytest.mark.parametrize("host", ["scorer.example", "SCORER.example.:1", "a.pods.example", "127.0.0.1:99", "[::1]"])
def test_an_allowed_host_is_answered(with_tokens: tuple[Running, Path], host: str) -> None:
    service, _ = with_tokens
    assert service.get("/ruleset", {"Host": host, **bearer(OLD)})[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "pods.example",
        "a.b.pods.example",
        "scorer.example.evil.example",
        "scorer.example:1@evil.example",
        "localhost.evil.example",
        "0.0.0.0",
        "",
    ],
)
def test_another_host_is_misdirected_whoever_asks(with_tokens: tuple[Running, Path], host: str) -> None:
    service, _ = with_tokens
    assert service.get("/ruleset", {"Host": host, **bearer(OLD)})[0] == 421


def test_web_pages_of_others_are_refused(with_tokens: tuple[Running, Path]) -> None:
    service, _ = with_tokens
    assert service.get("/ruleset", {"Sec-Fetch-Site": "none", **bearer(OLD)})[0] == 200
    assert service.get("/ruleset", {"Sec-Fetch-Site": "cross-site", **bearer(OLD)})[0] == 403
    assert service.get("/ruleset", {"Origin": "https://evil.example", **bearer(OLD)})[0] == 403


# Loopback


def test_on_loopback_no_login_is_needed_and_the_audit_log_says_so(tmp_path: Path) -> None:
    with running(tmp_path, api_port=0) as service:
        assert service.event("api_listening")["host"] == "127.0.0.1"
        assert [service.get(path)[0] for path in PATHS] == [503, 200, 200, 200]
        assert service.get("/ruleset", {"Host": "rebound.example"})[0] == 421
        assert [read["who"] for read in service.audit()] == ["loopback"]


def test_lead_data_is_nowhere_unless_its_port_is_set(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        for path in PATHS:
            assert service.get(path, listener="http_listening")[0] == 404
        assert service.get("/health/live", listener="http_listening")[0] == 200
        assert not any(line["event"] == "api_listening" for line in service.log())


def test_another_address_without_a_login_is_refused_at_the_start(tmp_path: Path) -> None:
    with running(tmp_path, api_port=0, api_host="0.0.0.0") as service:
        assert service.process.wait(SECONDS) == 2
        text = (tmp_path / "service.log").read_text()
    assert "SCORER_API_HOST is '0.0.0.0', where everybody could read leads" in " ".join(text.split())


# Certificates


class Mutual:
    """A service that asks for certificates, and the CA that makes them."""

    def __init__(self, service: Running, folder: Path, ours: Authority, files: tuple[Path, Path, Path]) -> None:
        self.service = service
        self.folder = folder
        self.ours = ours
        self.certificate, self.key, self.client_ca = files

    def client(self, authority: Authority | None, name: str = "crm") -> ssl.SSLContext:
        """Of a client that trusts the service, with a certificate of this authority or without one."""
        context = ssl.create_default_context(cafile=str(self.ours.certificate_file))
        if authority is not None:
            context.load_cert_chain(*authority.certificate(name))
        return context


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mutual]:
    folder = tmp_path_factory.mktemp("mutual")
    ours = Authority(folder, "ours")
    pairs = [
        path.rename(folder / f"tls.{end}") for path, end in zip(ours.certificate("a"), ("crt", "key"), strict=True)
    ]
    client_ca = folder / "client-ca.pem"
    client_ca.write_bytes(ours.certificate_file.read_bytes())
    settings = {"api_tls_cert_file": pairs[0], "api_tls_key_file": pairs[1], "api_client_ca_file": client_ca}
    with running(folder, api_port=0, api_host="0.0.0.0", **settings) as service:
        yield Mutual(service, folder, ours, (pairs[0], pairs[1], client_ca))


def test_a_certificate_lets_in_and_the_audit_log_has_its_subject(mutual: Mutual) -> None:
    assert mutual.service.get("/ruleset", tls=mutual.client(mutual.ours))[0] == 200
    assert mutual.service.get("/leads/of-crm", tls=mutual.client(mutual.ours))[0] == 503
    assert [read["who"] for read in mutual.service.audit() if read["lead"] == "of-crm"] == ["certificate:CN=crm,O=Acme"]


def test_without_a_certificate_nobody_comes_in(mutual: Mutual) -> None:
    with pytest.raises(OSError):
        mutual.service.get("/ruleset", tls=mutual.client(None))


def test_a_foreign_certificate_lets_nobody_in(mutual: Mutual, tmp_path: Path) -> None:
    # Of the same name, and with the same subjects: only the signature differs.
    with pytest.raises(OSError):
        mutual.service.get("/ruleset", tls=mutual.client(Authority(tmp_path, "ours")))


def test_plain_http_is_not_answered(mutual: Mutual) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        mutual.service.get("/ruleset")


def test_another_client_ca_is_taken_up_without_a_restart(mutual: Mutual, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    before = mutual.client_ca.read_text()
    kept = mutual.service.connected(mutual.client(mutual.ours))
    assert ask(kept, "/ruleset")[0] == 200
    try:
        replace(mutual.client_ca, other.certificate_file.read_text())
        assert mutual.service.get("/ruleset", tls=mutual.client(other))[0] == 200
        with pytest.raises(OSError):
            mutual.service.get("/ruleset", tls=mutual.client(mutual.ours))
        # Not even on a connection that is open.
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(kept, "/ruleset")
        replace(mutual.client_ca, "no certificate\n")
        for authority in (mutual.ours, other):
            with pytest.raises(OSError):
                mutual.service.get("/ruleset", tls=mutual.client(authority))
    finally:
        kept.close()
        replace(mutual.client_ca, before)
    assert mutual.service.get("/ruleset", tls=mutual.client(mutual.ours))[0] == 200


def test_a_renewed_certificate_of_the_service_is_taken_up_without_a_restart(mutual: Mutual) -> None:
    def serial() -> object:
        connection = mutual.service.connected(mutual.client(mutual.ours))
        connection.connect()
        with contextlib.closing(connection):
            assert isinstance(connection.sock, ssl.SSLSocket)
            certificate = connection.sock.getpeercert()
            assert certificate is not None
            return certificate["serialNumber"]

    first = serial()
    certificate, key = (path.read_text() for path in mutual.ours.certificate("b"))
    replace(mutual.certificate, certificate)
    # Its key is not there yet: until then the old pair serves.
    assert serial() == first
    replace(mutual.key, key)
    assert serial() != first
    assert mutual.service.get("/ruleset", tls=mutual.client(mutual.ours))[0] == 200


@pytest.mark.parametrize("wrong", ["api_tls_cert_file", "api_tls_key_file", "api_client_ca_file"])
def test_wrong_files_are_refused_at_the_start(tmp_path: Path, wrong: str) -> None:
    authority = Authority(tmp_path, "CA")
    certificate, key = authority.certificate("service")
    files = {
        "api_tls_cert_file": certificate,
        "api_tls_key_file": key,
        "api_client_ca_file": authority.certificate_file,
    }
    files[wrong] = tmp_path / "wrong.pem"
    files[wrong].write_text("nothing\n")
    with running(tmp_path, api_port=0, api_host="0.0.0.0", **files) as service:
        assert service.process.wait(SECONDS) == 2
        assert "wrong.pem" in service.event("http_failed")["error"]


def test_with_both_a_client_needs_both(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "CA")
    certificate, key = authority.certificate("service")
    tokens = tmp_path / "tokens"
    tokens.write_text(f"crm:{OLD}\n")
    files = {
        "api_tls_cert_file": certificate,
        "api_tls_key_file": key,
        "api_client_ca_file": authority.certificate_file,
    }
    with running(tmp_path, api_port=0, api_token_file=tokens, **files) as service:
        known = Mutual(service, tmp_path, authority, (certificate, key, authority.certificate_file))
        tls = known.client(authority)
        assert service.get("/leads/x", bearer(OLD), tls=tls)[0] == 503
        assert service.get("/leads/x", tls=tls)[0] == 401
        with pytest.raises(OSError):
            service.get("/leads/x", bearer(OLD), tls=known.client(None))
        assert [read["who"] for read in service.audit()] == ["token:crm certificate:CN=crm,O=Acme"]
