"""Settings: where they come from, and the one-line message for a wrong one."""

import os
from pathlib import Path

import pytest

from scorer.kafka.connection import connection
from scorer.runtime.settings import Settings, SettingsError, load_settings, variable


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("SCORER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules" / "b2b").mkdir(parents=True)


def test_defaults() -> None:
    settings = load_settings()
    assert settings.bootstrap_servers == "localhost:9092"
    assert settings.state_topic == "lead-scorer.lead-state"
    assert settings.engine is None


def test_the_changelog_is_named_after_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORER_GROUP", "emea")
    assert load_settings().state_topic == "emea.lead-state"


def test_the_environment_overrides_the_file_and_the_file_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("SCORER_GROUP=from-file\nSCORER_HTTP_PORT=1234\nOTHER=1\n")
    monkeypatch.setenv("SCORER_GROUP", "from-environment")
    settings = load_settings()
    assert (settings.group, settings.http_port) == ("from-environment", 1234)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HTTP_PORT": "http"}, "SCORER_HTTP_PORT is 'http': input should be a valid integer"),
        ({"HTTP_PORT": "70000"}, "SCORER_HTTP_PORT is '70000': input should be less than or equal to 65535"),
        (
            {"HEALTH_PORT": "8081"},
            "SCORER_HEALTH_PORT is no longer a setting: SCORER_HTTP_PORT has only health and metrics now, and lead "
            "data is at SCORER_API_PORT; remove it",
        ),
        ({"API_PORT": "8080"}, "SCORER_API_PORT is 8080, the same as SCORER_HTTP_PORT; expected another port"),
        (
            {"API_TOKEN_FILE": "t"},
            "SCORER_API_TOKEN_FILE is set, but SCORER_API_PORT is not; set the port of lead data",
        ),
        ({"API_ALLOWED_HOSTS": "a"}, "SCORER_API_ALLOWED_HOSTS is set, but SCORER_API_PORT is not"),
        (
            {"API_PORT": "0", "API_TOKEN_FILE": "no-file"},
            "SCORER_API_TOKEN_FILE is 'no-file', which cannot be read: No such file or directory",
        ),
        (
            {"API_PORT": "0", "API_CLIENT_CA_FILE": "/dev/null"},
            "SCORER_API_CLIENT_CA_FILE is '/dev/null', which cannot be read: it is not a regular file",
        ),
        *(
            (
                {"API_PORT": "0", "API_HOST": host},
                f"SCORER_API_HOST is '{host}', where everybody could read leads; set SCORER_API_TOKEN_FILE or "
                "SCORER_API_CLIENT_CA_FILE, or 127.0.0.1",
            )
            for host in ("0.0.0.0", "::", "10.0.0.1", "scorer.example")
        ),
        (
            {"API_PORT": "0", "API_ALLOWED_HOSTS": "a.example, http://b.example"},
            "SCORER_API_ALLOWED_HOSTS has 'http://b.example'; expected names without scheme and port",
        ),
        ({"ENGINE": "fast"}, "SCORER_ENGINE is 'fast': input should be 'durable' or 'compiled'"),
        ({"BOOTSTRAP_SERVERS": "a:1,b"}, "SCORER_BOOTSTRAP_SERVERS has 'b'; expected host:port"),
        (
            {"BOOTSTRAP_SERVERS": "a:1, http://x:1"},
            "SCORER_BOOTSTRAP_SERVERS has 'http://x:1'; expected host:port, without http://",
        ),
        ({"BOOTSTRAP_SERVERS": ":9092"}, "SCORER_BOOTSTRAP_SERVERS has ':9092'"),
        ({"ACTIVITY_TOPIC": "lead activity"}, "SCORER_ACTIVITY_TOPIC is 'lead activity'"),
        ({"ROUTING_TOPIC": "lead.activity"}, "SCORER_ROUTING_TOPIC is 'lead.activity', the same as SCORER_ACTIVITY"),
        ({"STATE_TOPIC": "a/b"}, "SCORER_STATE_TOPIC is 'a/b'"),
        ({"RULES": "rules/none"}, "SCORER_RULES is 'rules/none'; expected an existing directory"),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "SCORER_SASL_MECHANISM is not set, but SCORER_SECURITY_PROTOCOL is SASL"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "u"},
            "SCORER_SASL_PASSWORD is not set",
        ),
        ({"SASL_MECHANISM": "PLAIN"}, "SCORER_SASL_MECHANISM is set, but SCORER_SECURITY_PROTOCOL is PLAINTEXT"),
        ({"TLS_CA_FILE": "ca.pem"}, "SCORER_TLS_CA_FILE is set, but SCORER_SECURITY_PROTOCOL is PLAINTEXT"),
        (
            {"SECURITY_PROTOCOL": "SSL", "TLS_CA_FILE": "ca.pem"},
            "SCORER_TLS_CA_FILE is 'ca.pem', which cannot be read: No such file or directory",
        ),
        (
            {"BOOTSTRAP_SERVER": "a:1"},
            "SCORER_BOOTSTRAP_SERVER is not a setting; did you mean SCORER_BOOTSTRAP_SERVERS?",
        ),
        ({"LOGLEVEL": "INFO"}, "SCORER_LOGLEVEL is not a setting; did you mean SCORER_LOG_LEVEL?"),
        ({"KAFKA_BROKERS": "a:1"}, "SCORER_KAFKA_BROKERS is not a setting; did you mean SCORER_BOOTSTRAP_SERVERS?"),
        ({"TOPIC": "a"}, "SCORER_TOPIC is not a setting; did you mean SCORER_ACTIVITY_TOPIC?"),
        ({"HOST": "::"}, "SCORER_HOST is not a setting; did you mean SCORER_HTTP_HOST?"),
        ({"TLS_CA": "ca.pem"}, "SCORER_TLS_CA is not a setting; did you mean SCORER_TLS_CA_FILE?"),
        ({"FAULT_POINT": "sent:1:kill"}, "SCORER_FAULT_POINT is not a setting; did you mean "),
        ({"SASL_USERNAME": "u"}, "SCORER_SASL_USERNAME is set, but SCORER_SECURITY_PROTOCOL is PLAINTEXT; expected SA"),
        (
            {"SECURITY_PROTOCOL": "SSL", "SASL_PASSWORD": "s3cret"},
            "SCORER_SASL_PASSWORD is set, but SCORER_SECURITY_PROTOCOL is SSL; expected SASL_SSL or SASL_PLAINTEXT",
        ),
        *(
            ({"BOOTSTRAP_SERVERS": servers}, "SCORER_BOOTSTRAP_SERVERS has a part with @; expected host:port; ")
            for servers in ("u:s3cret@a:1", "a:1,sasl://u:s3cret@b:1", "u:s3cret,word@a:1")
        ),
        (
            {"SECURITY_PROTOCOL": "SSL", "TLS_CERT_FILE": "/dev/zero"},
            "SCORER_TLS_CERT_FILE is '/dev/zero', which cannot be read: it is not a regular file",
        ),
    ],
)
def test_a_wrong_setting_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"SCORER_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_misspelt_setting_in_the_file_is_reported_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SCORER_GROUPS=a\n")
    with pytest.raises(SettingsError, match="did you mean SCORER_GROUP"):
        load_settings()


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("SCORER_GROUP=größe\n".encode("latin-1"))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == ".env is not UTF-8 (byte 15); save it as UTF-8"


@pytest.mark.timeout(10)
def test_a_pipe_or_a_device_as_the_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(SettingsError, match=r"\.env is not a regular file"):
        load_settings()
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").symlink_to("/dev/zero")
    with pytest.raises(SettingsError, match=r"\.env is not a regular file"):
        load_settings()


def test_a_directory_of_the_name_of_the_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    load_settings()


def test_a_pem_file_of_any_size_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"x" * (1 << 20 | 1))
    with pytest.raises(SettingsError, match=r"SCORER_TLS_CA_FILE is .* which cannot be read: it is larger than 1 MiB"):
        load_settings(security_protocol="SSL", tls_ca_file=tmp_path / "ca.pem")


def test_other_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORERS_GROUP", "somewhere")
    load_settings()


def test_the_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", sasl_username="u", sasl_password="s3cret"
    )
    assert "s3cret" not in f"{settings!r} {settings}"
    assert connection(settings)["sasl_plain_password"] == "s3cret"


def test_a_file_that_is_not_a_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = load_settings(security_protocol="SSL", tls_ca_file=tmp_path / "ca.pem")
    with pytest.raises(SettingsError, match="SCORER_TLS_CA_FILE"):
        connection(settings)


def test_every_setting_is_in_the_manual() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert [
        name for name, field in Settings.model_fields.items() if row(name, str(field.description)) not in manual
    ] == []


def row(name: str, description: str) -> str:
    """How the manual's table ends for a setting with its default left out."""
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    shown = "" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    return f"| `{variable(name)}` | {shown} | {description} |"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_lead_data_needs_no_login_on_loopback(host: str) -> None:
    assert load_settings(None, api_port=0, api_host=host).api_host == host


def test_a_client_ca_needs_a_certificate_of_the_listener(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with pytest.raises(SettingsError, match="SCORER_API_TLS_CERT_FILE is not set, but SCORER_API_CLIENT_CA_FILE is"):
        load_settings(None, api_port=0, api_host="0.0.0.0", api_client_ca_file=tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ("segment.events", "has 'segment.events'; expected topic:source, such as segment.events:segment"),
        ("a b:segment", "has 'a b:segment'; expected topic:source"),
        ("crm:hubspot,crm:segment", "has the topic 'crm' twice; expected one source for a topic"),
        ("lead.activity:segment", "and 'lead.activity' is SCORER_ACTIVITY_TOPIC; the input has cloudevents only"),
        ("lead.routing:segment", "which the service itself writes (SCORER_ROUTING_TOPIC)"),
        ("lead.activity.dlq:segment", "which the service itself writes (SCORER_DEAD_LETTER_TOPIC)"),
        ("lead-scorer.lead-state:segment", "which the service itself writes (SCORER_STATE_TOPIC)"),
        ("lead.routing.shadow:segment", "which the service itself writes (SCORER_SHADOW_TOPIC)"),
        ("lead.activity.dlq.replayed:segment", "which the service itself writes (the marks of replayed dead letters)"),
    ],
)
def test_a_wrong_topic_of_another_sender_is_named(sources: str, problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(sources=sources)
    assert str(raised.value).startswith("SCORER_SOURCES ")
    assert problem in str(raised.value)


def test_the_input_may_be_named_among_the_sources_and_is_not_translated() -> None:
    settings = load_settings(sources="lead.activity:cloudevents, segment.events:segment,,crm-1:own_crm")
    assert settings.source_topics == {"segment.events": "segment", "crm-1": "own_crm"}
    assert load_settings().source_topics == {}
