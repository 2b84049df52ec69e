"""Apache Kafka with logins and ACLs, for the tests of both."""

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from typer.testing import CliRunner

from scorer.cli import app
from scorer.runtime.settings import Settings, load_settings
from tests.brokers.apache import ApacheKafka
from tests.brokers.authority import Authority, Issuer
from tests.brokers.jars import VERSION, MissingError
from tests.brokers.secured import SASL, Secured
from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import RULES
from tests.variables import given

USER: Final = "scorer"
PASSWORD: Final = "right-password"
PLAIN: Final = "PLAINTEXT"


class Cluster(NamedTuple):
    """A broker with users and ACLs. `admin` is connected as the super user."""

    broker: ApacheKafka
    secured: Secured
    admin: Kafka

    def login(self, listener: str = SASL, **changed: str) -> dict[str, str]:
        """The settings of a user who logs in, without the prefix of the variables. An empty value leaves one out."""
        login = {
            "bootstrap_servers": self.admin.bootstrap if listener == PLAIN else self.broker.bootstrap_of(listener),
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": USER,
            "sasl_password": PASSWORD,
            "create_topics": "false",
        }
        return {name: value for name, value in {**login, **changed}.items() if value}


def secured_cluster(root: Path) -> Iterator[Cluster]:
    """A broker until the generator continues. Skips where it cannot run."""
    try:
        secured = Secured({USER: PASSWORD}, Authority(root / "tls"), Issuer(root / "issuer"))
        broker = ApacheKafka(root / "kafka", version=given("SCORER_TEST_KAFKA", VERSION), secured=secured)
    except MissingError as missing:
        pytest.skip(str(missing))
    with broker:
        yield Cluster(broker, secured, Kafka(broker.bootstrap))


class Done(NamedTuple):
    """The result of a command."""

    status: int
    output: str
    errors: str


def run_command(command: str, names: Names, settings: Mapping[str, str]) -> Done:
    """Run `scorer` in this process."""
    environment: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("SCORER_"))
    environment |= names.environment
    environment |= {f"SCORER_{name.upper()}": value for name, value in settings.items()}
    result = CliRunner().invoke(app, shlex.split(command), env=environment, catch_exceptions=False)
    return Done(result.exit_code, result.stdout, result.stderr)


def settings_of(cluster: Cluster, names: Names, **changed: Any) -> Settings:
    """The settings of the user with the names of a test."""
    settings = {name.removeprefix("SCORER_").lower(): value for name, value in names.environment.items()}
    return load_settings(None, **{"rules": RULES, **settings, **cluster.login(), **changed})


def create_topics(cluster: Cluster, names: Names) -> None:
    """All topics of the service, with one partition each."""
    cluster.admin.create(
        {
            **dict.fromkeys((names.activity, names.routing, names.dead_letters, names.state), 1),
            f"{names.dead_letters}.replayed": 1,
        }
    )


def demo_request(lead_id: str) -> Record:
    """An activity that leads to a decision."""
    return structured(event(lead_id, 1, "lead.demo_requested", {}, START))
