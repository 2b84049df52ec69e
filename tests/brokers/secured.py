"""Listeners with SASL and with TLS, and ACLs, for Apache Kafka in the tests."""

import asyncio
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

SASL: Final = "SASL"
TLS: Final = "TLS"
SASL_TLS: Final = "SASLTLS"
MUTUAL_TLS: Final = "MTLS"
LISTENERS: Final = {SASL: "SASL_PLAINTEXT", TLS: "SSL", SASL_TLS: "SASL_SSL", MUTUAL_TLS: "SSL"}
"""Their names, and what each speaks."""
_STORE_PASSWORD: Final = "only-for-tests"
_RESOURCES: Final = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
_OPERATIONS: Final = {
    "All": 2,
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
}
_LITERAL: Final = 3
_PREFIXED: Final = 4
_DENY: Final = 2
_ALLOW: Final = 3
_SECONDS: Final = 10.0


class Acl(NamedTuple):
    """What a user may do, or may not do with `deny`. `resource`: topic, group, cluster or transactional-id."""

    resource: str
    name: str
    operation: str
    prefixed: bool = False
    deny: bool = False


@dataclass(frozen=True, slots=True)
class Secured:
    """Users and their passwords, valid with SCRAM-SHA-512 and with PLAIN. `folder` gets the certificate.

    A client of the plain listener is the super user, as are the brokers. All others may do only what an ACL
    says.
    """

    users: Mapping[str, str]
    folder: Path

    @property
    def certificate(self) -> Path:
        """The certificate of the brokers, which is its own authority (PEM)."""
        return self.folder / "broker.pem"

    def settings(self, host: str) -> dict[str, str]:
        """Server properties of a node on this host, besides `listeners`."""
        self._make_certificate(host)
        plain = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
        login = "org.apache.kafka.common.security"
        settings = {
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}"
                for name, protocol in {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **LISTENERS}.items()
            ),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self._store),
            "ssl.keystore.password": _STORE_PASSWORD,
            f"listener.name.{MUTUAL_TLS.lower()}.ssl.client.auth": "required",
        }
        for name in (SASL, SASL_TLS):
            prefix = f"listener.name.{name.lower()}"
            settings[f"{prefix}.plain.sasl.jaas.config"] = f"{login}.plain.PlainLoginModule required {plain};"
            settings[f"{prefix}.scram-sha-512.sasl.jaas.config"] = f"{login}.scram.ScramLoginModule required;"
        return settings

    def format_options(self) -> list[str]:
        """Options of the command that formats the storage: they add the users for SCRAM."""
        users = [f"SCRAM-SHA-512=[name={name},password={password}]" for name, password in self.users.items()]
        return [option for user in users for option in ("--add-scram", user)]

    @property
    def _store(self) -> Path:
        return self.folder / "broker.p12"

    def _make_certificate(self, host: str) -> None:
        if self.certificate.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        store = ["-keystore", str(self._store), "-storetype", "PKCS12", "-storepass", _STORE_PASSWORD, "-alias", "b"]
        name = ["-dname", f"CN={host}", "-ext", f"SAN=IP:{host}", "-validity", "30"]
        subprocess.run(["keytool", "-genkeypair", "-keyalg", "EC", *store, *name], check=True, capture_output=True)
        export = ["keytool", "-exportcert", "-rfc", *store, "-file", str(self.certificate)]
        subprocess.run(export, check=True, capture_output=True)


def grant(bootstrap: str, user: str, acls: Iterable[Acl]) -> None:
    """Add ACLs, as the super user, and return when the broker knows them."""
    asyncio.run(_change(CreateAclsRequest, bootstrap, user, acls))


def take_away(bootstrap: str, user: str, acls: Iterable[Acl]) -> None:
    """Remove ACLs, as the super user, and return when the broker has forgotten them."""
    asyncio.run(_change(DeleteAclsRequest, bootstrap, user, acls))


async def _change(
    kind: type[CreateAclsRequest] | type[DeleteAclsRequest], bootstrap: str, user: str, acls: Iterable[Acl]
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for resource, name, operation, prefixed, deny in acls:
            fields = (
                *(_RESOURCES[resource], name, _PREFIXED if prefixed else _LITERAL, f"User:{user}", "*"),
                *(_OPERATIONS[operation], _DENY if deny else _ALLOW),
            )
            response = await admin._send_to_controller(kind(*fields))
            results = response.creation_responses if kind is CreateAclsRequest else response.filter_responses
            assert [result[0 if kind is DeleteAclsRequest else -2] for result in results] == [0], results
            await _known(admin, fields, kind is CreateAclsRequest)
    finally:
        await admin.close()


async def _known(admin: AIOKafkaAdminClient, fields: tuple[object, ...], wanted: bool) -> None:
    """The controller answers before the broker has taken a change over: ask the broker until it knows."""
    async with asyncio.timeout(_SECONDS):
        while True:
            response = await admin._send_request(DescribeAclsRequest(*fields))
            if bool(response.resources) == wanted:
                return
            await asyncio.sleep(0.02)
