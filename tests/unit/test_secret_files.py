"""Secrets in files: what is accepted, and what is said of the others without showing them."""

from pathlib import Path

import pytest
from faststream.kafka.security import parse_security
from structlog.testing import capture_logs

from scorer.kafka.connection import connection, faststream_connection
from scorer.kafka.principal import principal
from scorer.runtime.secret_files import secret_in
from scorer.runtime.settings import Settings, SettingsError, load_settings


@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\n", b"s3cret\r\n"])
def test_the_end_of_the_line_is_no_part_of_the_secret(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert secret_in("sasl_password_file", path) == "s3cret"


def test_spaces_are_part_of_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(" größer \xa0\n")
    assert secret_in("sasl_password_file", path) == " größer \xa0"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; expected one line"),
        (b" \n", "is empty; expected one line"),
        (b"s3cret\ns3cret\n", "has more than one line"),
        (b"s3cret\0x", "or a control character"),
        (b"s3cret\xff", "is not UTF-8 (byte 6)"),
        (b"s3cret" * 200_000, "cannot be read: it is larger than 1 MiB"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_without_a_secret_is_refused_by_name(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as error:
        secret_in("sasl_password_file", path)
    assert str(error.value).startswith(f"SCORER_SASL_PASSWORD_FILE is '{path}', which ")
    assert says in str(error.value)
    assert "s3cret" not in str(error.value)


def login(**changed: object) -> Settings:
    return load_settings(
        None,
        rules=Path(),
        **{
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "u",
            "sasl_password": "p",
            **changed,
        },
    )


def test_user_and_password_come_from_their_files(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("somebody\n")
    (tmp_path / "password").write_text("s3cret\n")
    settings = login(
        sasl_username=None,
        sasl_username_file=tmp_path / "user",
        sasl_password=None,
        sasl_password_file=tmp_path / "password",
    )
    arguments = connection(settings)
    assert arguments["sasl_plain_username"] == "somebody"
    assert arguments["sasl_plain_password"] == "s3cret"
    assert principal(settings) == "User:somebody"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("name", ["sasl_username", "sasl_password"])
def test_a_changed_file_is_read_for_the_next_connection(tmp_path: Path, name: str) -> None:
    path = tmp_path / "secret"
    path.write_text("first\n")
    arguments = connection(login(**{name: None, f"{name}_file": path}))
    text = arguments[name.replace("sasl_", "sasl_plain_")]
    assert text.read() == "first"
    path.write_text("second\n")
    with capture_logs() as lines:
        assert [text.read(), text.read()] == ["second", "second"]
        # In the middle of an exchange there may be no file.
        path.unlink()
        assert text.read() == "second"
    assert [line["event"] for line in lines] == ["secret_file_renewed", "secret_file_unusable"]


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_the_consumer_logs_in_as_all_other_clients_do(tmp_path: Path, mechanism: str, protocol: str) -> None:
    """A consumer that took PLAIN for SCRAM would send the password itself."""
    changed: dict[str, object] = {"sasl_mechanism": mechanism, "security_protocol": protocol}
    if mechanism == "OAUTHBEARER":
        (tmp_path / "token").write_text("abc")
        changed |= {"sasl_username": None, "sasl_password": None, "sasl_oauth_token_file": tmp_path / "token"}
    settings = login(**changed)
    given, asked = faststream_connection(settings), connection(settings)
    security = parse_security(given.pop("security"))
    context = security.pop("ssl_context")
    assert type(context) is type(asked.pop("ssl_context", None))
    assert {**given, **security} == asked


@pytest.mark.parametrize("name", ["sasl_username", "sasl_password"])
def test_a_secret_has_one_form(tmp_path: Path, name: str) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    variable = f"SCORER_{name.upper()}"
    with pytest.raises(SettingsError, match=f"^{variable}_FILE is set, and so is {variable}; set one of them$"):
        login(**{f"{name}_file": path})
    with pytest.raises(SettingsError, match=f"^{variable} is not set, but .*; set it, or {variable}_FILE$"):
        login(**{name: None})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {},
            "SCORER_SASL_OAUTH_TOKEN_FILE is not set, but SCORER_SASL_MECHANISM is OAUTHBEARER; set it, or SCORER_",
        ),
        (
            {"sasl_username": "u"},
            "SCORER_SASL_USERNAME is set, but SCORER_SASL_MECHANISM is OAUTHBEARER; expected SCORER",
        ),
        (
            {"file": True, "url": "https://a/t"},
            "SCORER_SASL_OAUTH_TOKEN_URL is set, and so is SCORER_SASL_OAUTH_TOKEN_FILE",
        ),
        (
            {"file": True, "scope": "s"},
            "SCORER_SASL_OAUTH_SCOPE is set, but SCORER_SASL_OAUTH_TOKEN_URL is not; set both",
        ),
        (
            {"url": "https://a/t"},
            "SCORER_SASL_OAUTH_CLIENT_ID is not set, but SCORER_SASL_OAUTH_TOKEN_URL is; set both",
        ),
        ({"url": "https://a/t", "id": "c"}, "SCORER_SASL_OAUTH_CLIENT_SECRET_FILE is not set"),
        (
            {"url": "http://a/t", "id": "c", "secret": True},
            "SCORER_SASL_OAUTH_TOKEN_URL is 'http://a/t'; expected https://",
        ),
        (
            {"url": "https://[a", "id": "c", "secret": True},
            "SCORER_SASL_OAUTH_TOKEN_URL is 'https://[a'; expected https:",
        ),
        ({"url": "https://u:s3cret@a/t", "id": "c", "secret": True}, "SCORER_SASL_OAUTH_TOKEN_URL has a part with @;"),
    ],
)
def test_the_settings_of_tokens_belong_together(tmp_path: Path, changed: dict[str, object], says: str) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    names = {
        "file": "sasl_oauth_token_file",
        "url": "sasl_oauth_token_url",
        "id": "sasl_oauth_client_id",
        "secret": "sasl_oauth_client_secret_file",
        "scope": "sasl_oauth_scope",
    }
    values = {names.get(name, name): path if value is True else value for name, value in changed.items()}
    with pytest.raises(SettingsError) as error:
        login(**{"sasl_mechanism": "OAUTHBEARER", "sasl_username": None, "sasl_password": None, **values})
    assert says in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_token_is_for_tokens_only(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("x")
    with pytest.raises(
        SettingsError, match="SCORER_SASL_MECHANISM is PLAIN; expected SCORER_SASL_MECHANISM=OAUTHBEARER"
    ):
        login(sasl_oauth_token_file=path)
