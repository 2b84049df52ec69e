"""TLS over real connections on the loopback: files that change while a client runs, and what is said of wrong ones."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from scorer.kafka.certificate import certificate_in
from scorer.kafka.principal import principal
from scorer.kafka.sign_in import refused_because
from scorer.kafka.tls import RenewedContext
from scorer.runtime.settings import Settings, SettingsError, load_settings
from tests.brokers.authority import Authority, Pair
from tests.brokers.jars import MissingError

HOST = "127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    try:
        return Authority(tmp_path / "tls")
    except MissingError as missing:
        pytest.skip(str(missing))


def settings_for(authority: Authority, pair: Pair | None = None, **changed: Any) -> Settings:
    ours = {} if pair is None else {"tls_cert_file": pair.certificate, "tls_key_file": pair.key}
    return load_settings(
        None,
        rules=Path(),
        **{"security_protocol": "SSL", "tls_ca_file": authority.certificate, **ours, **changed},
    )


@asynccontextmanager
async def listener(pair: Pair, trusted: Path | None = None) -> AsyncIterator[tuple[int, list[Any]]]:
    """A TLS server: its port, and the subjects of its clients. `trusted`: who must have signed their certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if trusted is not None:
        context.load_verify_locations(trusted)
        context.verify_mode = ssl.CERT_REQUIRED
    seen: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("peercert") or {}
        seen.append(dict(part for level in certificate.get("subject", ()) for part in level).get("commonName"))
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


async def greeted(context: ssl.SSLContext, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
    try:
        return await reader.read()
    finally:
        writer.close()


def test_each_connection_uses_the_files_as_they_are(authority: Authority) -> None:
    host, ours = authority.issue("host", "/CN=host", hosts=f"IP:{HOST}"), authority.issue("client", "/CN=first")

    async def work() -> None:
        context = RenewedContext(settings_for(authority, ours))
        async with listener(host, authority.certificate) as (port, seen):
            assert await greeted(context, port) == b"hello"
            authority.issue("client", "/CN=second")
            assert await greeted(context, port) == b"hello"
            assert seen == ["first", "second"]
            authority.renew()
            authority.issue("client", "/CN=third")
            # The authority from before is not trusted any more.
            with pytest.raises(ssl.SSLCertVerificationError):
                await greeted(context, port)
        async with listener(authority.issue("host", "/CN=h", hosts=f"IP:{HOST}"), authority.certificate) as (
            port,
            seen,
        ):
            assert await greeted(context, port) == b"hello"
            assert seen == ["third"]

    asyncio.run(work())


def test_files_that_are_not_usable_leave_what_was_there(authority: Authority) -> None:
    host, ours = authority.issue("host", "/CN=host", hosts=f"IP:{HOST}"), authority.issue("client", "/CN=first")

    async def work() -> None:
        context = RenewedContext(settings_for(authority, ours))
        async with listener(host, authority.certificate) as (port, seen):
            key = ours.key.read_text()
            for content in (authority.issue("other", "/CN=other").key.read_text(), "", key):
                ours.key.write_text(content)
                assert await greeted(context, port) == b"hello"
                assert await greeted(context, port) == b"hello"
            ours.key.unlink()
            assert await greeted(context, port) == b"hello"
            assert seen == ["first"] * 7

    with capture_logs() as lines:
        asyncio.run(work())
    unusable = [line["error"] for line in lines if line["event"] == "tls_files_unusable"]
    assert len(unusable) == 3
    assert "does not belong to the certificate in SCORER_TLS_CERT_FILE" in unusable[0]
    assert "cannot be read: No such file or directory. Connections use what the files had before" in unusable[2]


def test_a_passphrase_opens_a_key(authority: Authority, tmp_path: Path) -> None:
    locked = authority.issue("locked", "/CN=locked", passphrase="open sesame")
    (tmp_path / "passphrase").write_text("open sesame\n")
    RenewedContext(settings_for(authority, locked, tls_key_password_file=tmp_path / "passphrase"))


@pytest.mark.parametrize(
    ("passphrase", "says"),
    [
        (None, "which is encrypted; set SCORER_TLS_KEY_PASSWORD_FILE to a file with its passphrase"),
        ("wrong", "is SCORER_TLS_KEY_PASSWORD_FILE its passphrase?"),
        ("", "which is empty; expected one line"),
    ],
)
def test_a_locked_key_is_named(authority: Authority, tmp_path: Path, passphrase: str | None, says: str) -> None:
    """OpenSSL would ask for the passphrase on the terminal."""
    locked = authority.issue("locked", "/CN=locked", passphrase="open sesame")
    changed: dict[str, Any] = {}
    if passphrase is not None:
        (tmp_path / "passphrase").write_text(passphrase)
        changed = {"tls_key_password_file": tmp_path / "passphrase"}
    with pytest.raises(SettingsError) as error:
        RenewedContext(settings_for(authority, locked, **changed))
    assert str(error.value).startswith("SCORER_TLS_KEY_")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"tls_ca_file": "text"}, "SCORER_TLS_CA_FILE is "),
        ({"tls_cert_file": "text"}, "SCORER_TLS_CERT_FILE"),
        ({"tls_key_file": "text"}, "SCORER_TLS_CERT_FILE, SCORER_TLS_KEY_FILE: not usable as PEM files"),
        ({"tls_key_file": "other"}, "which does not belong to the certificate in SCORER_TLS_CERT_FILE"),
    ],
)
def test_files_that_are_not_usable_are_named(
    authority: Authority, tmp_path: Path, changed: dict[str, str], says: str
) -> None:
    (tmp_path / "text").write_text("not a certificate\n")
    files = {"text": tmp_path / "text", "other": authority.issue("other", "/CN=other").key}
    ours = authority.issue("client", "/CN=client")
    with pytest.raises(SettingsError) as error:
        RenewedContext(settings_for(authority, ours, **{name: files[value] for name, value in changed.items()}))
    assert says in str(error.value)


def test_the_expired_certificate_of_a_broker_is_named(authority: Authority) -> None:
    host = authority.issue("host", "/CN=host", hosts=f"IP:{HOST}", days=-1)

    async def work() -> None:
        async with listener(host) as (port, _):
            reason = await refused_because(settings_for(authority, bootstrap_servers=f"{HOST}:{port}"))
            assert reason == (
                f"the certificate of the broker {HOST}:{port} (SCORER_BOOTSTRAP_SERVERS), or of its authority, has "
                "expired: it must be renewed there"
            )

    asyncio.run(work())


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("/CN=scorer", "CN=scorer"),
        (r"/C=DE/O=Acme, Inc./OU=a\+b/CN=größer", r"CN=größer,OU=a\+b,O=Acme\, Inc.,C=DE"),
        ("/DC=example/UID=7/CN= s", r"CN=\ s,UID=7,DC=example"),
        # RFC 2253 has no name for it, and each broker its own.
        ("/CN=scorer/emailAddress=a@b", "SUBJECT-OF-THE-CERTIFICATE"),
    ],
)
def test_the_subject_of_the_certificate_is_the_user(authority: Authority, subject: str, name: str) -> None:
    assert principal(settings_for(authority, authority.issue("client", subject))) == f"User:{name}"


@pytest.mark.parametrize("cut", [0, 1, 5, 40, 200])
def test_a_broken_certificate_says_nothing(authority: Authority, tmp_path: Path, cut: int) -> None:
    der = ssl.PEM_cert_to_DER_cert(authority.certificate.read_text())
    path = tmp_path / "broken.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(der[:cut]))
    assert certificate_in(path) is None
