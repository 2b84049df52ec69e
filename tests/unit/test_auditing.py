"""The audit log of commands says as whom they asked Kafka, whatever the login is."""

import base64
import json
from pathlib import Path

import pytest

from scorer.cli.auditing import audited
from scorer.runtime.settings import load_settings
from tests.brokers.authority import Authority
from tests.factory import SMALL_RULES, ruleset_folder


def kafka_users(folder: Path, **login: object) -> list[object]:
    """In the lines of an action with this login."""
    audit = folder / "audit.log"
    rules = ruleset_folder(folder / "rules", SMALL_RULES)
    with audited(load_settings(None, rules=rules, audit_file=audit, **login), "purge", topic="t"):
        pass
    return [json.loads(line)["kafka_user"] for line in audit.read_text().splitlines()]


def sasl(mechanism: str) -> dict[str, object]:
    return {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism}


def test_without_a_login_there_is_no_user(tmp_path: Path) -> None:
    assert kafka_users(tmp_path) == [None, None]


@pytest.mark.parametrize("in_file", [True, False])
def test_the_user_name(tmp_path: Path, in_file: bool) -> None:
    name = tmp_path / "user"
    name.write_text("operator\n")
    user = {"sasl_username_file": name} if in_file else {"sasl_username": "operator"}
    login = {**sasl("SCRAM-SHA-512"), "sasl_password": "secret", **user}
    assert kafka_users(tmp_path, **login) == ["operator", "operator"]


def test_the_subject_of_the_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    mine = authority.issue("mine", "/O=acme/CN=operator")
    login = {"security_protocol": "SSL", "tls_ca_file": authority.certificate, "tls_cert_file": mine.certificate}
    assert (
        kafka_users(tmp_path, **login, tls_key_file=mine.certificate.with_suffix(".key")) == ["CN=operator,O=acme"] * 2
    )


@pytest.mark.parametrize(("claims", "user"), [({"sub": "operator"}, "operator"), ({}, None)])
def test_the_subject_of_a_token(tmp_path: Path, claims: dict[str, str], user: str | None) -> None:
    token = tmp_path / "token"
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
    token.write_text(".".join([*parts, "signature"]) + "\n")
    login = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_file": token}
    assert kafka_users(tmp_path, **login) == [user, user]
    assert "signature" not in (tmp_path / "audit.log").read_text()
