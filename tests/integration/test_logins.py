"""Logins against Apache Kafka: each mechanism and each kind of certificate is accepted as it should be; a refused one
is named in one line, at once; and a secret that changes takes effect without a restart."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from scorer.kafka.access import Verdict, check
from scorer.kafka.denied import Operation, Permission, Resource
from scorer.kafka.principal import user
from scorer.kafka.sign_in import refused_because
from scorer.runtime.settings import Settings, load_settings
from tests.brokers.authority import Authority, Issuer
from tests.brokers.secured import MUTUAL_TLS, SASL, SASL_TLS, SHORT, TLS, Acl, change_password, grant
from tests.faults.sizes import FULL_CLUSTER
from tests.integration.kafka import DEADLINE, Names
from tests.integration.secured import (
    PASSWORD,
    PLAIN,
    USER,
    Cluster,
    create_topics,
    demo_request,
    run_command,
    secured_cluster,
    settings_of,
)
from tests.integration.service import RULES, Service, service
from tests.integration.token_endpoint import Endpoint, granted, refused, token_endpoint

pytestmark = pytest.mark.apache

HOST: Final = "127.0.0.1"
CLIENT: Final = "client one"
SECRET: Final = "s3cret+&%:"
NO_SASL: Final = {"sasl_mechanism": "", "sasl_username": "", "sasl_password": ""}
TOKENS: Final = {**NO_SASL, "sasl_mechanism": "OAUTHBEARER", "security_protocol": "SASL_SSL", "tls_ca_file": "ours"}
CERTIFICATE: Final = {**NO_SASL, "security_protocol": "SSL", "tls_ca_file": "ours"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker for all tests here."""
    yield from secured_cluster(tmp_path_factory.mktemp("secured"))


class Files:
    """The files that the settings of the tests name, made when one is asked for."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        foreign = Authority(folder / "foreign")
        issuer, authority = cluster.secured.issuer, cluster.secured.authority
        self._makers: Mapping[str, Callable[[], str | Path]] = {
            "ours": lambda: cluster.secured.certificate,
            "foreign": lambda: foreign.certificate,
            "right password": lambda: self._text(PASSWORD + "\n"),
            "wrong password": lambda: self._text("wrong"),
            "user": lambda: self._text(USER),
            "client": lambda: authority.issue("client", "/O=acme, inc/CN=scorer").certificate,
            "locked": lambda: authority.issue("locked", "/CN=locked", passphrase="open sesame").certificate,
            "expired": lambda: authority.issue("expired", "/CN=scorer", days=-1).certificate,
            "stranger": lambda: foreign.issue("stranger", "/CN=scorer").certificate,
            "passphrase": lambda: self._text("open sesame"),
            "token": lambda: self._text(issuer.token("token-user") + "\n"),
            "expired token": lambda: self._text(issuer.token("token-user", seconds=-3600)),
            "foreign token": lambda: self._text(Issuer(folder / "issuer").token("token-user")),
            "no token": lambda: self._text("no token at all"),
            "secret": lambda: self._text(SECRET),
            "wrong secret": lambda: self._text("guessed"),
        }

    def __call__(self, name: str) -> Path:
        return Path(self._makers[name]())

    def _text(self, text: str) -> Path:
        path = self._folder / f"secret-{len(list(self._folder.iterdir()))}"
        path.write_text(text)
        return path


class Login(NamedTuple):
    """Over which listener, and with which other settings. A value of a `…_file` names one of the files."""

    listener: str
    changed: Mapping[str, str]

    def settings(self, cluster: Cluster, files: Files, endpoint: str = "") -> dict[str, str]:
        """As `load_settings` takes them."""
        login = cluster.login(self.listener, **self.changed)
        for name in [name for name in login if name.endswith("_file")]:
            login[name] = str(files(login[name]))
            if name == "tls_cert_file":
                login["tls_key_file"] = str(Path(login[name]).with_suffix(".key"))
        if "sasl_oauth_token_url" in login:
            login["sasl_oauth_token_url"] = endpoint
        if login["bootstrap_servers"].startswith(HOST) and "host" in login:
            login["bootstrap_servers"] = login["bootstrap_servers"].replace(HOST, login.pop("host"))
        return login


def by_password(mechanism: str, **changed: str) -> Login:
    return Login(
        SASL_TLS,
        {"security_protocol": "SASL_SSL", "tls_ca_file": "ours", "sasl_mechanism": mechanism, "sasl_password": ""}
        | {"sasl_password_file": "right password"}
        | changed,
    )


def by_endpoint(secret: str, **changed: str) -> Login:
    client = {"sasl_oauth_token_url": "the endpoint", "sasl_oauth_client_id": CLIENT, "sasl_oauth_ca_file": "ours"}
    return Login(SASL_TLS, {**TOKENS, **client, "sasl_oauth_client_secret_file": secret, **changed})


@pytest.fixture(scope="module")
def endpoint(cluster: Cluster) -> Iterator[Endpoint]:
    issuer = cluster.secured.issuer
    right = granted(access_token=issuer.token("endpoint-user"), expires_in=3600)
    with token_endpoint(
        cluster.secured.authority,
        lambda asked: right if asked[:2] == (CLIENT, SECRET) else refused("invalid_client"),
    ) as found:
        yield found


@pytest.fixture
def files(cluster: Cluster, tmp_path: Path) -> Files:
    return Files(cluster, tmp_path)


# --- logins that are accepted

LOGINS: Final = {
    "PLAIN": (by_password("PLAIN"), USER),
    "SCRAM-SHA-256": (by_password("SCRAM-SHA-256"), USER),
    "SCRAM-SHA-512, user in a file": (by_password("SCRAM-SHA-512", sasl_username="", sasl_username_file="user"), USER),
    "password in the environment": (Login(SASL, {}), USER),
    "token in a file": (Login(SASL_TLS, {**TOKENS, "sasl_oauth_token_file": "token"}), "token-user"),
    "token of an endpoint": (by_endpoint("secret"), "endpoint-user"),
    "client certificate": (Login(MUTUAL_TLS, {**CERTIFICATE, "tls_cert_file": "client"}), r"CN=scorer,O=acme\, inc"),
    "key with a passphrase": (
        Login(MUTUAL_TLS, {**CERTIFICATE, "tls_cert_file": "locked", "tls_key_password_file": "passphrase"}),
        "CN=locked",
    ),
}


@pytest.mark.parametrize(("login", "name"), LOGINS.values(), ids=LOGINS)
def test_each_login_gives_the_user_that_has_the_permissions(
    cluster: Cluster, names: Names, files: Files, endpoint: Endpoint, login: Login, name: str
) -> None:
    settings = loaded(login.settings(cluster, files, endpoint.url))
    assert asyncio.run(refused_because(settings)) is None
    assert user(settings) == name
    wanted = [Permission(Resource.TOPIC, names.activity, Operation.READ)]
    cluster.admin.create({names.activity: 1})
    ((_, before),) = asyncio.run(check(settings, wanted))
    grant(cluster.admin.bootstrap, name, [Acl("topic", names.activity, "Read")])
    ((_, after),) = asyncio.run(check(settings, wanted))
    assert (before, after) == (Verdict.DENIED, Verdict.ALLOWED)


def loaded(login: Mapping[str, Any]) -> Settings:
    return load_settings(None, rules=RULES, **login)


# --- logins that are refused


class Refusal(NamedTuple):
    """A login that fails, and what the message says."""

    login: Login
    says: str


WRONG_PASSWORD: Final = Refusal(
    Login(SASL, {"sasl_password": "wrong"}),
    f"refuses the user '{USER}' with SCRAM-SHA-512: check SCORER_SASL_USERNAME and SCORER_SASL_PASSWORD. ",
)
REFUSALS: Final = {
    "wrong password, SCRAM": WRONG_PASSWORD,
    "wrong user, SCRAM": Refusal(
        Login(SASL, {"sasl_username": "stranger"}), "refuses the user 'stranger' with SCRAM-SHA-512"
    ),
    "wrong password, PLAIN": Refusal(
        Login(SASL, {"sasl_mechanism": "PLAIN", "sasl_password": "wrong"}),
        f"refuses the user '{USER}' with PLAIN: check SCORER_SASL_USERNAME and SCORER_SASL_PASSWORD. ",
    ),
    "wrong password in a file": Refusal(
        by_password("SCRAM-SHA-256", sasl_password_file="wrong password"),
        f"refuses the user '{USER}' with SCRAM-SHA-256: check SCORER_SASL_USERNAME and SCORER_SASL_PASSWORD_FILE. ",
    ),
    "unknown mechanism": Refusal(
        Login(SASL, {"sasl_mechanism": "SCRAM-SHA-256"}),
        "does not offer SCORER_SASL_MECHANISM=SCRAM-SHA-256; it offers PLAIN, SCRAM-SHA-512",
    ),
    "expired token": Refusal(
        Login(SASL_TLS, {**TOKENS, "sasl_oauth_token_file": "expired token"}),
        "refuses our token of 'token-user', which expired at 20",
    ),
    "token of another issuer": Refusal(
        Login(SASL_TLS, {**TOKENS, "sasl_oauth_token_file": "foreign token"}),
        "refuses our token of 'token-user': check SCORER_SASL_OAUTH_TOKEN_FILE",
    ),
    "no token": Refusal(
        Login(SASL_TLS, {**TOKENS, "sasl_oauth_token_file": "no token"}),
        "which has no token in it",
    ),
    "wrong secret at the endpoint": Refusal(
        by_endpoint("wrong secret"),
        "answers 401 (invalid_client): check SCORER_SASL_OAUTH_CLIENT_ID, SCORER_SASL_OAUTH_CLIENT_SECRET_FILE",
    ),
    "endpoint with a foreign certificate": Refusal(
        by_endpoint("secret", sasl_oauth_ca_file="foreign"), "check SCORER_SASL_OAUTH_CA_FILE"
    ),
    "no login where one is needed": Refusal(
        Login(SASL, {"security_protocol": "PLAINTEXT", **NO_SASL}),
        "speaks SASL_PLAINTEXT, but SCORER_SECURITY_PROTOCOL is PLAINTEXT",
    ),
    "a login where there is none": Refusal(
        Login(PLAIN, {}), "speaks PLAINTEXT, but SCORER_SECURITY_PROTOCOL is SASL_PLAINTEXT"
    ),
    "plaintext to TLS": Refusal(
        Login(TLS, {"security_protocol": "PLAINTEXT", **NO_SASL}),
        "speaks SSL, but SCORER_SECURITY_PROTOCOL is PLAINTEXT",
    ),
    "plaintext login to TLS": Refusal(
        Login(SASL_TLS, {}), "speaks SASL_SSL, but SCORER_SECURITY_PROTOCOL is SASL_PLAINTEXT"
    ),
    "TLS to plaintext": Refusal(Login(PLAIN, CERTIFICATE), "speaks PLAINTEXT, but SCORER_SECURITY_PROTOCOL is SSL"),
    "a certificate that nobody vouches for": Refusal(
        Login(SASL_TLS, {"security_protocol": "SASL_SSL"}),
        "(unable to get local issuer certificate): check SCORER_TLS_CA_FILE",
    ),
    "a certificate of another authority": Refusal(
        by_password("PLAIN", tls_ca_file="foreign"),
        "is not trusted (",
    ),
    "a certificate for another host": Refusal(
        by_password("PLAIN", host="localhost"),
        "is for another host (Hostname mismatch, certificate is not valid for 'localhost')",
    ),
    "no client certificate": Refusal(
        Login(MUTUAL_TLS, CERTIFICATE),
        "refuses our TLS certificate: check SCORER_TLS_CERT_FILE and SCORER_TLS_KEY_FILE, which are not set",
    ),
    "foreign client certificate": Refusal(
        Login(MUTUAL_TLS, {**CERTIFICATE, "tls_cert_file": "stranger"}),
        "refuses our TLS certificate: check SCORER_TLS_CERT_FILE and SCORER_TLS_KEY_FILE. It says:",
    ),
    "expired client certificate": Refusal(
        Login(MUTUAL_TLS, {**CERTIFICATE, "tls_cert_file": "expired"}),
        "check SCORER_TLS_CERT_FILE and SCORER_TLS_KEY_FILE; the certificate expired at 20",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_login_is_named_with_the_settings_to_check(
    cluster: Cluster, names: Names, files: Files, endpoint: Endpoint, refusal: Refusal
) -> None:
    login = refusal.login.settings(cluster, files, endpoint.url)
    done = run_command("topics check-access", names, login)
    assert done.status == 1
    assert refusal.says in done.errors
    assert len(done.errors.splitlines()) == 1
    if "oauth" not in refusal.says.lower() and "token in it" not in refusal.says:
        assert login["bootstrap_servers"] in done.errors


def test_a_broker_that_is_away_does_not_hide_the_refusal_of_another(cluster: Cluster, files: Files) -> None:
    login = WRONG_PASSWORD.login.settings(cluster, files)
    login["bootstrap_servers"] = f"127.0.0.1:1,{login['bootstrap_servers']}"
    reason = asyncio.run(refused_because(loaded(login)))
    assert reason is not None
    assert WRONG_PASSWORD.says in reason
    login["bootstrap_servers"] = "127.0.0.1:1"
    assert asyncio.run(refused_because(loaded(login))) is None


full_size: Final = pytest.mark.skipif(not FULL_CLUSTER, reason="SCORER_FAULT_CLUSTER=full runs it")


@pytest.mark.parametrize(
    "case",
    [
        "wrong password in a file",
        "expired token",
        "a certificate for another host",
        "expired client certificate",
        *(
            pytest.param(case, marks=full_size)
            for case in ("unknown mechanism", "wrong secret at the endpoint", "a certificate of another authority")
        ),
    ],
)
def test_the_service_ends_at_once_when_its_login_is_refused(
    cluster: Cluster, names: Names, files: Files, endpoint: Endpoint, tmp_path: Path, case: str
) -> None:
    refusal = REFUSALS[case]
    login = refusal.login.settings(cluster, files, endpoint.url)
    with service(cluster.admin, names, tmp_path, ready=False, **login) as running:
        assert running.process.wait(DEADLINE) == 1
        lines = [line for line in running.log() if line["level"] in ("warning", "error")]
    assert [line["event"] for line in lines] == ["kafka_refuses_login"], running.text()
    assert refusal.says in lines[0]["error"]


@pytest.mark.parametrize("command", ["topics ensure", "dlq list", "offsets show"])
def test_a_command_names_the_refused_login(cluster: Cluster, names: Names, files: Files, command: str) -> None:
    done = run_command(command, names, WRONG_PASSWORD.login.settings(cluster, files))
    assert done.status == 1
    assert WRONG_PASSWORD.says in done.errors
    assert len(done.errors.splitlines()) == 1


# --- secrets that change while the service runs


def acls(settings: Settings) -> list[Acl]:
    """What the service needs."""
    topics = (settings.activity_topic, settings.routing_topic, settings.dead_letter_topic, settings.state_topic)
    needed = [Acl("topic", topic, operation) for topic in topics for operation in ("Read", "Write")]
    needed.append(Acl("group", settings.group, "Read"))
    return [*needed, Acl("transactional-id", f"{settings.group}-", "Write", prefixed=True)]


@contextmanager
def working(cluster: Cluster, names: Names, folder: Path, name: str, login: Mapping[str, str]) -> Iterator[Service]:
    """The service, after it has decided on lead-1. On leaving it must decide on lead-2, in the same process."""
    create_topics(cluster, names)
    grant(cluster.admin.bootstrap, name, acls(settings_of(cluster, names)))
    with service(cluster.admin, names, folder, ready=True, **login) as running:
        cluster.admin.write(names.activity, [demo_request("lead-1")])
        cluster.admin.read(names.routing, 1)
        yield running
        cluster.admin.write(names.activity, [demo_request("lead-2")])
        assert {record.key for record in cluster.admin.read(names.routing, 2)} == {b"lead-1", b"lead-2"}
        running.wait(running.ready)
        assert running.terminate() == 0


def test_a_changed_password_takes_effect_without_a_restart(
    cluster: Cluster, names: Names, files: Files, tmp_path: Path
) -> None:
    name = "rotated"
    change_password(cluster.admin.bootstrap, name, PASSWORD)
    login = by_password("SCRAM-SHA-512", sasl_username=name)._replace(listener=SHORT).settings(cluster, files)
    with working(cluster, names, tmp_path, name, login) as running:
        change_password(cluster.admin.bootstrap, name, "another")
        refused = running.wait(lambda: [line for line in running.log() if line["event"] == "kafka_refuses_login"])
        assert "refuses the user 'rotated' with SCRAM-SHA-512: check SCORER_SASL_USERNAME and" in refused[0]["error"]
        assert "refuses the user 'rotated'" in running.wait(running.unready)["access"]
        Path(login["sasl_password_file"]).write_text("another\n")
        running.wait(lambda: [line for line in running.log() if line["event"] == "secret_file_renewed"])
    done = run_command("topics check-access", names, {**login, "sasl_password_file": str(files("right password"))})
    assert "refuses the user 'rotated'" in done.errors


def test_a_changed_token_takes_effect_without_a_restart(
    cluster: Cluster, names: Names, files: Files, tmp_path: Path
) -> None:
    login = Login(SHORT, {**TOKENS, "sasl_oauth_token_file": "token"}).settings(cluster, files)
    grant(cluster.admin.bootstrap, "next-user", acls(settings_of(cluster, names)))
    with working(cluster, names, tmp_path, "token-user", login) as running:
        Path(login["sasl_oauth_token_file"]).write_text(cluster.secured.issuer.token("next-user"))
        running.wait(lambda: [line for line in running.log() if line["event"] == "secret_file_renewed"])


@full_size
def test_changed_certificates_take_effect_without_a_restart(
    cluster: Cluster, names: Names, files: Files, tmp_path: Path
) -> None:
    """Broker and clients get certificates of another authority, and the old one is trusted by nobody any more."""
    login = Login(MUTUAL_TLS, {**CERTIFICATE, "tls_cert_file": "client"}).settings(cluster, files)
    with working(cluster, names, tmp_path, r"CN=scorer,O=acme\, inc", login) as running:
        cluster.broker.kill(1)
        cluster.secured.authority.renew()
        cluster.secured.certify(HOST)
        files("client")
        cluster.broker.restart(1)
        running.wait(lambda: [line for line in running.log() if line["event"] == "tls_files_renewed"])
