"""Listeners with SASL and with TLS, and ACLs, for Apache Kafka in the tests."""

import asyncio
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from tests.brokers.authority import Authority, Issuer

SASL: Final = "SASL"
TLS: Final = "TLS"
SASL_TLS: Final = "SASLTLS"
MUTUAL_TLS: Final = "MTLS"
SHORT: Final = "SHORT"
LISTENERS: Final = {SASL: "SASL_PLAINTEXT", TLS: "SSL", SASL_TLS: "SASL_SSL", MUTUAL_TLS: "SSL", SHORT: "SASL_SSL"}
"""Their names, and what each speaks. SHORT closes a connection that logged in two seconds ago."""
_MECHANISMS: Final = {SASL: "PLAIN,SCRAM-SHA-512"}
_ALL_MECHANISMS: Final = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
_ITERATIONS: Final = 4096
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


@dataclass(frozen=True)
class Secured:
    """Users and their passwords, valid with PLAIN and both kinds of SCRAM; and who signs certificates and tokens.

    A client of the plain listener is the super user, as are the brokers. All others may do only what an ACL
    says.
    """

    users: Mapping[str, str]
    authority: Authority
    issuer: Issuer

    @property
    def certificate(self) -> Path:
        """The certificate of the authority (PEM)."""
        return self.authority.certificate

    def settings(self, host: str) -> dict[str, str]:
        """Server properties of a node on this host, besides `listeners`."""
        plain = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
        login = "org.apache.kafka.common.security"
        settings = {
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}"
                for name, protocol in {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **LISTENERS}.items()
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certify(host)),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificate),
            f"listener.name.{MUTUAL_TLS.lower()}.ssl.client.auth": "required",
            f"listener.name.{SHORT.lower()}.connections.max.reauth.ms": "2000",
            **self.issuer.settings(),
        }
        for name in (SASL, SASL_TLS, SHORT):
            prefix = f"listener.name.{name.lower()}"
            settings[f"{prefix}.sasl.enabled.mechanisms"] = _MECHANISMS.get(name, _ALL_MECHANISMS)
            settings[f"{prefix}.plain.sasl.jaas.config"] = f"{login}.plain.PlainLoginModule required {plain};"
            for kind in ("256", "512"):
                settings[f"{prefix}.scram-sha-{kind}.sasl.jaas.config"] = f"{login}.scram.ScramLoginModule required;"
            tokens = f"{prefix}.oauthbearer.sasl"
            settings[f"{tokens}.jaas.config"] = f"{login}.oauthbearer.OAuthBearerLoginModule required;"
            handler = f"{login}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            settings[f"{tokens}.server.callback.handler.class"] = handler
        return settings

    def certify(self, host: str) -> Path:
        """Make a certificate for a host, or another one if there is one; the file for the broker."""
        pair = self.authority.issue("broker", f"/CN={host}", hosts=f"IP:{host}")
        both = pair.key.with_name("broker-store.pem")
        both.write_text(pair.key.read_text() + pair.certificate.read_text())
        return both

    def format_options(self) -> list[str]:
        """Options of the command that formats the storage: they add the users for SCRAM."""
        kinds = ("SCRAM-SHA-256", "SCRAM-SHA-512")
        users = [f"{kind}=[name={name},password={password}]" for name, password in self.users.items() for kind in kinds]
        return [option for user in users for option in ("--add-scram", user)]

    def java_options(self) -> list[str]:
        """Options of the virtual machine: the broker may read the keys of the issuer."""
        return [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.issuer.keys.as_uri()}"]


class _AlterScramResponse(Response):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScramStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AlterScramResponse
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScram(Request[_AlterScramStruct]):  # type: ignore[misc]
    API_KEY = 51

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._salt = os.urandom(16)
        self._salted = hashlib.pbkdf2_hmac("sha512", password.encode(), self._salt, _ITERATIONS)

    def build(self, request_struct_class: type[_AlterScramStruct]) -> _AlterScramStruct:
        return request_struct_class([], [(self._user, 2, _ITERATIONS, self._salt, self._salted, {})], {})


def change_password(bootstrap: str, user: str, password: str) -> None:
    """Change the password of a user for SCRAM-SHA-512, as the super user."""

    async def work() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            response = await admin._send_to_controller(_AlterScram(user, password))
            assert [result[1] for result in response.results] == [0], response
        finally:
            await admin.close()

    asyncio.run(work())


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
