"""Tokens from a file, and from an endpoint over real HTTPS: when a new one is fetched, and what is said of failures."""

import asyncio
import base64
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scorer.kafka import tokens
from scorer.kafka.tokens import EndpointTokens, FileTokens, TokenError, claims_of, expiry_of
from tests.brokers.authority import Authority
from tests.brokers.jars import MissingError
from tests.integration.token_endpoint import Answer, Asked, Endpoint, granted, refused, token_endpoint


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    try:
        return Authority(tmp_path_factory.mktemp("tls"))
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def endpoint(authority: Authority) -> Iterator[Endpoint]:
    with token_endpoint(authority, lambda asked: granted(access_token="first", expires_in=100)) as found:
        yield found


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


Provider = Callable[..., EndpointTokens]


@pytest.fixture
def provider(endpoint: Endpoint, authority: Authority, tmp_path: Path) -> Provider:
    """Makes a provider for the endpoint; `secret` is the text in its file."""

    def make(clock: Clock | None = None, url: str = "", scope: str | None = None) -> EndpointTokens:
        secret = tmp_path / "secret"
        secret.write_text("s3cret&\n")
        return EndpointTokens(url or endpoint.url, "client one", secret, scope, authority.certificate, clock or Clock())

    return make


def token_of(provider: EndpointTokens) -> str:
    return asyncio.run(provider.token())


def failure_of(provider: EndpointTokens | FileTokens) -> TokenError:
    with pytest.raises(TokenError) as error:
        asyncio.run(provider.token())
    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)
    return error.value


def test_the_endpoint_is_asked_for_client_credentials(endpoint: Endpoint, provider: Provider) -> None:
    assert token_of(provider(scope="kafka read")) == "first"
    fields = {"grant_type": ["client_credentials"], "scope": ["kafka read"]}
    assert endpoint.asked == [Asked("client one", "s3cret&", fields)]


def test_a_token_is_replaced_before_it_expires(endpoint: Endpoint, provider: Provider) -> None:
    clock = Clock()
    ours = provider(clock)
    assert token_of(ours) == "first"
    endpoint.answer = lambda asked: granted(access_token="second", expires_in=100)
    clock.now += 79
    assert token_of(ours) == "first"
    clock.now += 2
    assert token_of(ours) == "second"
    assert len(endpoint.asked) == 2


def test_a_changed_secret_is_used_for_the_next_token(endpoint: Endpoint, provider: Provider, tmp_path: Path) -> None:
    clock = Clock()
    ours = provider(clock)
    token_of(ours)
    (tmp_path / "secret").write_text("another")
    clock.now += 100
    token_of(ours)
    assert [asked.secret for asked in endpoint.asked] == ["s3cret&", "another"]


def test_while_the_endpoint_fails_a_valid_token_serves_on(endpoint: Endpoint, provider: Provider) -> None:
    clock = Clock()
    ours = provider(clock)
    token_of(ours)
    endpoint.answer = lambda asked: refused("temporarily_unavailable", 503)
    clock.now += 90
    assert token_of(ours) == "first"
    clock.now += 20
    assert not failure_of(ours).final


@pytest.mark.parametrize(
    ("answer", "says", "final"),
    [
        (
            refused("invalid_client"),
            "answers 401 (invalid_client): check SCORER_SASL_OAUTH_CLIENT_ID, SCORER_SASL",
            True,
        ),
        (refused("invalid_scope", 400), "answers 400 (invalid_scope): check SCORER_SASL_OAUTH_CLIENT_ID", True),
        ((404, {}, b"<html>"), "answers 404 (Not Found): check the address", True),
        ((302, {"Location": "https://elsewhere/"}, b""), "a redirection is not followed", True),
        ((500, {}, b"oops"), "answers 500 (Internal Server Error): it may be overloaded", False),
        ((429, {}, b""), "answers 429 (Too Many Requests): it may be overloaded", False),
        ((200, {}, b"<html>"), "answers without an access_token in JSON", True),
        ((200, {}, b"[" * 60_000), "answers without an access_token in JSON", True),
        (granted(access_token="a\x01auth=x"), "answers without an access_token in JSON", True),
    ],
)
def test_an_answer_without_a_token_is_explained(
    endpoint: Endpoint, provider: Provider, answer: Answer, says: str, final: bool
) -> None:
    endpoint.answer = lambda asked: answer
    error = failure_of(provider())
    assert f"the token endpoint {endpoint.url} (SCORER_SASL_OAUTH_TOKEN_URL)" in str(error)
    assert says in str(error)
    assert error.final == final
    # The secret did not follow a redirection.
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("lifetime", [None, "soon", -5, 0, True, float("inf")])
def test_a_token_without_a_usable_lifetime_serves_for_a_minute(
    endpoint: Endpoint, provider: Provider, lifetime: object
) -> None:
    clock = Clock()
    ours = provider(clock)
    endpoint.answer = lambda asked: granted(access_token="first", expires_in=lifetime)
    token_of(ours)
    clock.now += 61
    token_of(ours)
    assert len(endpoint.asked) == 2


def test_an_endpoint_that_is_away_may_come_back(provider: Provider) -> None:
    error = failure_of(provider(url="https://127.0.0.1:1/token"))
    assert "does not answer: Connection refused" in str(error)
    assert not error.final


def test_an_endpoint_that_is_silent_is_not_waited_for(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure_of(provider(url=f"https://127.0.0.1:{silent.getsockname()[1]}/token"))
    assert "does not answer within 0.2 s" in str(error)
    assert not error.final


def test_a_certificate_of_another_authority_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    foreign = Authority(tmp_path / "foreign").certificate
    error = failure_of(EndpointTokens(endpoint.url, "c", tmp_path / "secret", None, foreign))
    assert "check SCORER_SASL_OAUTH_CA_FILE" in str(error)
    assert error.final
    assert endpoint.asked == []


@pytest.mark.parametrize("content", ["", "two words", "a\nb", 'a",x', "é"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    error = failure_of(FileTokens(path))
    assert str(error).startswith(f"SCORER_SASL_OAUTH_TOKEN_FILE is '{path}', which ")
    assert error.final


def test_a_file_is_read_for_each_connection(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    ours = FileTokens(path)
    assert asyncio.run(ours.token()) == "first"
    path.write_text("second\n")
    assert asyncio.run(ours.token()) == "second"


def web_token(claims: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


def test_a_web_token_says_when_it_expires() -> None:
    token = web_token({"sub": "somebody", "exp": 1_700_000_000})
    assert claims_of(token)["sub"] == "somebody"
    assert expiry_of(token) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "token", ["opaque", "a.b.c", "a.é.c", web_token([]), web_token({"exp": "x"}), web_token({"exp": 1e300}), "a..c"]
)
def test_other_tokens_say_nothing(token: str) -> None:
    assert expiry_of(token) is None
