"""The audit log of commands says as whom they asked Kafka, and what cannot be recorded does not happen."""

import asyncio
import base64
import json
from pathlib import Path

import pytest
import typer

from scorer.cli.auditing import audited
from scorer.cli.common import ExitStatus
from scorer.runtime.audit import AuditError
from scorer.runtime.settings import load_settings
from scorer.service.compose import build
from tests.brokers.authority import Authority
from tests.factory import SMALL_RULES, ruleset_folder


def kafka_users(folder: Path, **login: object) -> list[object]:
    """In the lines of an action with this login."""
    audit = folder / "audit.log"
    rules = ruleset_folder(folder / "rules", SMALL_RULES)
    with audited(load_settings(None, rules=rules, audit_file=audit, **login), "purge", topic="t"):
        pass
    return [json.loads(line)["kafka_user"] for line in audit.read_text().splitlines()]


@pytest.mark.parametrize("action", ["replay", "purge", "offsets_reset"])
@pytest.mark.parametrize("file", ["none/audit.log", "/dev/full"])
def test_what_cannot_be_recorded_does_not_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, action: str
) -> None:
    """The file cannot be opened, or the line cannot be written."""
    settings = load_settings(None, rules=tmp_path, audit_file=tmp_path / file)
    begun = []
    with pytest.raises(typer.Exit) as ended, audited(settings, action, topic="t"):
        begun.append(action)
    assert begun == []
    assert ended.value.exit_code == ExitStatus.USAGE
    assert "cannot be written" in (errors := capsys.readouterr().err)
    assert errors.endswith("; nothing was done\n")


def test_an_end_that_cannot_be_recorded_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = tmp_path / "audit.log"
    settings = load_settings(None, rules=tmp_path, audit_file=audit)

    def purge() -> None:
        with audited(settings, "purge", topic="t") as outcome:
            outcome["removed"] = 3
            audit.rename(tmp_path / "rotated.log")
            audit.mkdir()

    with pytest.raises(typer.Exit) as ended:
        purge()
    assert ended.value.exit_code == ExitStatus.FINDINGS
    assert "what was done is not recorded: {'completed': True, 'removed': 3}" in capsys.readouterr().err


def test_a_service_whose_rules_cannot_be_recorded_does_not_start(tmp_path: Path) -> None:
    settings = load_settings(None, rules=ruleset_folder(tmp_path / "rules"), audit_file=Path("/dev/full"))
    with pytest.raises(AuditError, match="cannot be written: No space left on device"):
        build(settings)


@pytest.mark.parametrize("number", [0, 1], ids=["live", "shadow"])
def test_changed_rules_that_cannot_be_recorded_do_not_take_effect(tmp_path: Path, number: int) -> None:
    folders, audit = [ruleset_folder(tmp_path / name) for name in ("live", "shadow")], tmp_path / "audit.log"
    service = build(load_settings(None, rules=folders[0], shadow_rules=folders[1], audit_file=audit, engine="compiled"))
    before = service.rules.ruleset.revision
    audit.rename(tmp_path / "rotated.log")
    audit.mkdir()
    ruleset_folder(folders[number], SMALL_RULES.replace("warm: 20", "warm: 21"))
    reload = asyncio.run(service.reloaders[number].reload())
    assert reload.outcome == "refused"
    assert "cannot be written" in (reload.error or "")
    assert service.rules.ruleset.revision == before


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
