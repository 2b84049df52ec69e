"""Settings of the service: `SCORER_*` environment variables or a `.env` file."""

import difflib
import ipaddress
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, StringConstraints, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from scorer.runtime import record_bytes
from scorer.runtime.default_rules import default_rules

PREFIX = "SCORER_"
_MOST_BYTES: Final = 1 << 20
_INPUT_SOURCE: Final = "cloudevents"
_KAFKA_WORDS: Final = {"BROKER", "BROKERS", "BOOTSTRAP", "KAFKA", "SERVER", "SERVERS"}
_REMOVED: Final = {
    "HEALTH_PORT": "SCORER_HTTP_PORT has only health and metrics now, and lead data is at SCORER_API_PORT; remove it",
}
TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
OptionalFile = Path | None


class SettingsError(Exception):
    """A wrong setting. The message is one line that names the variable or the file."""


class Settings(BaseSettings):
    """The settings of the service. Load them with `load_settings`, which reports errors in one line."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, env_ignore_empty=True)

    bootstrap_servers: str = Field("localhost:9092", description="Kafka brokers, host:port, comma-separated.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to Kafka."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        None, description="How to log in."
    )
    sasl_username: str | None = Field(None, description="User name.")
    sasl_username_file: OptionalFile = Field(None, description="File with the user name, in place of it.")
    sasl_password: SecretStr | None = Field(None, description="Password.")
    sasl_password_file: OptionalFile = Field(None, description="File with the password, in place of it.")
    sasl_oauth_token_file: OptionalFile = Field(None, description="OAUTHBEARER: file with the token.")
    sasl_oauth_token_url: str | None = Field(
        None, description="OAUTHBEARER: endpoint that gives tokens for client credentials, https://…"
    )
    sasl_oauth_client_id: str | None = Field(None, description="Client id at that endpoint.")
    sasl_oauth_client_secret_file: OptionalFile = Field(None, description="File with the secret of the client.")
    sasl_oauth_scope: str | None = Field(None, description="Scope to ask for; default: none.")
    sasl_oauth_ca_file: OptionalFile = Field(
        None, description="CA certificates (PEM) of that endpoint; default: those of the system."
    )
    tls_ca_file: OptionalFile = Field(None, description="CA certificates (PEM); default: those of the system.")
    tls_cert_file: OptionalFile = Field(None, description="Client certificate (PEM).")
    tls_key_file: OptionalFile = Field(None, description="Key of the client certificate (PEM).")
    tls_key_password_file: OptionalFile = Field(
        None, description="File with the passphrase of that key, if it has one."
    )

    activity_topic: TopicName = Field("lead.activity", description="Input: what leads do.")
    sources: str = Field(
        "",
        description="Topics of other senders that are translated into the input, comma-separated `topic:source`; "
        "`scorer sources list` names the sources.",
    )
    company_topic: TopicName | None = Field(
        None, description="Profiles of companies, compacted, by company key; default: none."
    )
    company_profiles: Annotated[int, Field(ge=1)] = Field(
        200_000, description="Most companies of that topic; each worker has all of them in memory."
    )
    routing_topic: TopicName = Field("lead.routing", description="Output: decisions.")
    dead_letter_topic: TopicName = Field("lead.activity.dlq", description="Output: rejected input.")
    state_topic: str = Field("", description="Changelog of lead states; default: <group>.lead-state.")
    group: TopicName = Field("lead-scorer", description="Consumer group; also the base of transactional ids.")
    instance: TopicName | None = Field(
        None,
        description="Name of this worker in the group. It must be unique and the same after a restart (the pod name of "
        "a StatefulSet). The worker then gets its partitions back at once, and nobody else gets them before the "
        "session timeout.",
    )
    create_topics: bool = Field(False, description="Create missing topics at start.")
    topic_partitions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        6, description="Partitions of an input topic that is created."
    )

    rules: Path = Field(
        default_factory=default_rules,
        description="Directory of the ruleset; default elsewhere: the built-in copy of it.",
    )
    engine: Literal["durable", "compiled"] | None = Field(
        None, description="Rule engine; default: durable where it can be loaded, else compiled."
    )

    reload: Literal["on", "off"] = Field(
        "on", description="Whether changed rules and mapping files are loaded while the service runs, and on SIGHUP."
    )
    shadow_rules: Path | None = Field(
        None, description="Directory of a candidate ruleset that judges beside the live one, without effect."
    )
    shadow_topic: str = Field(
        "", description="Output: leads on which the candidate differs; default: <routing topic>.shadow."
    )

    http_host: str = Field("127.0.0.1", description="Address of /metrics and /health, which are open to everybody.")
    http_port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="Their port; 0: any free port.")
    api_host: str = Field(
        "127.0.0.1",
        description="Address of the listener for lead data. Another than loopback needs SCORER_API_TOKEN_FILE or "
        "SCORER_API_CLIENT_CA_FILE.",
    )
    api_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None, description="Port of the listener for lead data (/leads, /ruleset); 0: any free port; default: none."
    )
    api_token_file: OptionalFile = Field(None, description="Tokens that may read lead data, a line each: NAME:TOKEN.")
    api_tls_cert_file: OptionalFile = Field(None, description="Certificate of the listener for lead data (PEM).")
    api_tls_key_file: OptionalFile = Field(None, description="Key of this certificate (PEM).")
    api_client_ca_file: OptionalFile = Field(
        None, description="CA certificates (PEM); a client needs a certificate of one of them."
    )
    api_allowed_hosts: str = Field(
        "",
        description="Names under which clients reach the listener for lead data, besides those of loopback and "
        "SCORER_API_HOST, comma-separated; `*.` stands for any one label.",
    )

    max_records: Annotated[int, Field(ge=1, le=100_000)] = Field(2_000, description="Most activities per transaction.")
    linger_ms: Annotated[int, Field(ge=0, le=10_000)] = Field(
        5, description="How long a transaction waits, after the one before, for more activities."
    )
    max_value_bytes: Annotated[int, Field(ge=1024, le=1 << 28)] = Field(
        1 << 20, description="Larger activities go to the dead letters."
    )
    null_keys: Literal["dead_letter", "rekey"] = Field(
        "dead_letter",
        description="What becomes of an activity without a key: a dead letter, or it is written back into the input "
        "with its subject as key.",
    )
    max_record_bytes: Annotated[int, Field(ge=record_bytes.LEAST, le=record_bytes.MOST)] = Field(
        record_bytes.DEFAULT,
        description="The largest state of a lead and the largest decision; the topics must allow more.",
    )
    cache_leads: Annotated[int, Field(ge=0)] = Field(10_000, description="Leads kept decoded in memory, per partition.")
    session_timeout_ms: Annotated[int, Field(ge=1_000, le=1_800_000)] = Field(
        10_000, description="A member without a heartbeat for this long leaves the group."
    )
    transaction_timeout_ms: Annotated[int, Field(ge=1_000, le=900_000)] = Field(
        8_000,
        description="After this time the broker aborts an open transaction, also that of a worker that was killed.",
    )
    unfenced: Literal["refuse", "allow"] = Field(
        "refuse",
        description="Whether a second worker may run on a broker that does not fence former members of a group.",
    )
    startup_timeout_s: Annotated[float, Field(gt=0)] = Field(60.0, description="How long to wait for Kafka at start.")
    shutdown_timeout_s: Annotated[float, Field(gt=0)] = Field(
        20.0, description="How long to wait at the end for transactions in flight."
    )
    stalled_after_s: Annotated[float, Field(gt=0)] = Field(
        120.0, description="A partition with something to do and no progress for this long makes the worker unready."
    )
    dead_letter_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="A larger share of dead letters within a minute is logged; 1: never."
    )

    tick_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        60,
        description="A partition without records gets a tick in the input, at most one in so many seconds, when time "
        "alone has to change a decision; 0: never.",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="Form of the log.")
    tracing: Literal["off", "on"] = Field(
        "off", description="Whether OpenTelemetry spans are made; `OTEL_*` variables say where they go."
    )
    rules_source_file: OptionalFile = Field(
        None,
        description="File whose text says where the rules come from, for the audit log; read at every load; default: "
        "the git commit if the rules are in a work tree.",
    )
    audit_file: OptionalFile = Field(
        None, description="File to which the audit log is appended, also a pipe or `/dev/fd/N`; default: stderr."
    )

    @property
    def api_hosts(self) -> tuple[str, ...]:
        """The entries of `api_allowed_hosts`."""
        return tuple(host.strip() for host in self.api_allowed_hosts.split(",") if host.strip())

    @property
    def source_topics(self) -> Mapping[str, str]:
        """The source of each topic of another sender. The input is not among them."""
        pairs = (entry.strip().partition(":") for entry in self.sources.split(",") if entry.strip())
        return {topic: source for topic, _, source in pairs if topic != self.activity_topic}

    @property
    def replay_marks_topic(self) -> str:
        """The topic that records which dead letters were replayed."""
        return f"{self.dead_letter_topic}.replayed"

    @model_validator(mode="after")
    def _complete_and_check(self) -> Self:
        if not self.state_topic:
            object.__setattr__(self, "state_topic", f"{self.group}.lead-state")
        if not self.shadow_topic:
            object.__setattr__(self, "shadow_topic", f"{self.routing_topic}.shadow")
        self._check_bootstrap()
        self._check_ports()
        self._check_api()
        self._check_topics()
        self._check_sources()
        self._check_sasl()
        self._check_tls()
        return self

    def _check_bootstrap(self) -> None:
        if "@" in self.bootstrap_servers:
            # The value is not shown, because it may contain a password.
            reason = "SCORER_SASL_USERNAME and SCORER_SASL_PASSWORD are for the user and the password"
            raise _wrong("bootstrap_servers", f"has a part with @; expected host:port; {reason}")
        for server in self.bootstrap_servers.split(","):
            scheme, separator, _ = server.strip().partition("://")
            if separator:
                raise _wrong("bootstrap_servers", f"has {server.strip()!r}; expected host:port, without {scheme}://")
            host, colon, port = server.strip().rpartition(":")
            if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
                raise _wrong("bootstrap_servers", f"has {server.strip()!r}; expected host:port")

    def _check_ports(self) -> None:
        if self.api_port and self.api_port == self.http_port:
            raise _wrong("api_port", f"is {self.api_port}, the same as SCORER_HTTP_PORT; expected another port")

    def _check_api(self) -> None:
        files = ("api_token_file", "api_tls_cert_file", "api_tls_key_file", "api_client_ca_file")
        if self.api_port is None:
            for name in (*files, "api_allowed_hosts"):
                if getattr(self, name):
                    raise _wrong(name, "is set, but SCORER_API_PORT is not; set the port of lead data")
            return
        for name in files:
            path: Path | None = getattr(self, name)
            problem = None if path is None else unreadable(path)
            if problem is not None:
                raise _wrong(name, f"is {str(path)!r}, which cannot be read: {problem}")
        if self.api_tls_cert_file is None:
            for name in ("api_tls_key_file", "api_client_ca_file"):
                if getattr(self, name) is not None:
                    raise _wrong("api_tls_cert_file", f"is not set, but {variable(name)} is; set both")
        for host in self.api_hosts:
            if re.fullmatch(r"(\*\.)?[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+", host) is None:
                raise _wrong("api_allowed_hosts", f"has {host!r}; expected names without scheme and port")
        if self.api_token_file is None and self.api_client_ca_file is None and not is_loopback(self.api_host):
            login = "SCORER_API_TOKEN_FILE or SCORER_API_CLIENT_CA_FILE"
            what = f"is {self.api_host!r}, where everybody could read leads"
            raise _wrong("api_host", f"{what}; set {login}, or 127.0.0.1")

    def _check_topics(self) -> None:
        names = ["activity_topic", "routing_topic", "dead_letter_topic", "state_topic"]
        if self.shadow_rules is not None:
            names.append("shadow_topic")
        if self.company_topic is not None:
            names.append("company_topic")
        for name in names[3:]:
            topic = getattr(self, name)
            if re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic) is None:
                raise _wrong(name, f"is {topic!r}; expected 1 to 249 of A-Z a-z 0-9 . _ -")
        seen: dict[str, str] = {}
        for name in names:
            topic = getattr(self, name)
            if topic in seen:
                raise _wrong(name, f"is {topic!r}, the same as {variable(seen[topic])}; expected different topics")
            seen[topic] = name

    def _check_sources(self) -> None:
        ours = {
            getattr(self, name): variable(name)
            for name in ("routing_topic", "dead_letter_topic", "state_topic", "shadow_topic")
        } | {self.replay_marks_topic: "the marks of replayed dead letters"}
        seen = set()
        for entry in self.sources.split(","):
            if not entry.strip():
                continue
            match = re.fullmatch(r"([A-Za-z0-9._-]{1,249}):([a-z0-9_-]{1,64})", entry.strip())
            if match is None:
                raise _wrong("sources", f"has {entry.strip()!r}; expected topic:source, such as segment.events:segment")
            topic, source = match.groups()
            if topic in seen:
                raise _wrong("sources", f"has the topic {topic!r} twice; expected one source for a topic")
            seen.add(topic)
            if topic == self.activity_topic and source != _INPUT_SOURCE:
                expected = f"the input has {_INPUT_SOURCE} only, and another topic of that sender is translated into it"
                raise _wrong("sources", f"has {entry.strip()!r}, and {topic!r} is SCORER_ACTIVITY_TOPIC; {expected}")
            if topic == self.company_topic:
                raise _wrong("sources", f"has the topic {topic!r}, which is SCORER_COMPANY_TOPIC; expected another one")
            if topic in ours:
                what = f"has the topic {topic!r}, which the service itself writes ({ours[topic]})"
                raise _wrong("sources", f"{what}; expected a topic of another sender")

    def _check_sasl(self) -> None:
        given = [
            name for name in type(self).model_fields if name.startswith("sasl_") and getattr(self, name) is not None
        ]
        if not self.security_protocol.startswith("SASL_"):
            for name in given:
                expected = "expected SASL_SSL or SASL_PLAINTEXT"
                raise _wrong(name, f"is set, but SCORER_SECURITY_PROTOCOL is {self.security_protocol}; {expected}")
            return
        if self.sasl_mechanism is None:
            reason = f"SCORER_SECURITY_PROTOCOL is {self.security_protocol}"
            raise _wrong("sasl_mechanism", f"is not set, but {reason}; set it")
        uses_tokens = self.sasl_mechanism == "OAUTHBEARER"
        for name in given:
            if name != "sasl_mechanism" and name.startswith("sasl_oauth_") != uses_tokens:
                expected = "SCORER_SASL_OAUTH_* instead" if uses_tokens else "SCORER_SASL_MECHANISM=OAUTHBEARER"
                raise _wrong(name, f"is set, but SCORER_SASL_MECHANISM is {self.sasl_mechanism}; expected {expected}")
        if uses_tokens:
            self._check_tokens()
        else:
            self._check_one_of("sasl_username", "sasl_username_file", "SECURITY_PROTOCOL", self.security_protocol)
            self._check_one_of("sasl_password", "sasl_password_file", "SECURITY_PROTOCOL", self.security_protocol)
        for name in given:
            if name.endswith("_file"):
                self._check_file(name)

    def _check_tokens(self) -> None:
        self._check_one_of("sasl_oauth_token_file", "sasl_oauth_token_url", "SASL_MECHANISM", "OAUTHBEARER")
        if self.sasl_oauth_token_url is None:
            for name in (
                "sasl_oauth_client_id",
                "sasl_oauth_client_secret_file",
                "sasl_oauth_scope",
                "sasl_oauth_ca_file",
            ):
                if getattr(self, name) is not None:
                    raise _wrong(name, "is set, but SCORER_SASL_OAUTH_TOKEN_URL is not; set both or none")
            return
        for name in ("sasl_oauth_client_id", "sasl_oauth_client_secret_file"):
            if getattr(self, name) is None:
                raise _wrong(name, "is not set, but SCORER_SASL_OAUTH_TOKEN_URL is; set both")
        if "@" in self.sasl_oauth_token_url:
            # The value is not shown, because it may contain a password.
            reason = (
                "SCORER_SASL_OAUTH_CLIENT_ID and SCORER_SASL_OAUTH_CLIENT_SECRET_FILE are for the client and its secret"
            )
            raise _wrong("sasl_oauth_token_url", f"has a part with @; {reason}")
        try:
            parts = urlsplit(self.sasl_oauth_token_url)
            usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise _wrong("sasl_oauth_token_url", f"is {self.sasl_oauth_token_url!r}; expected https://host/path")

    def _check_one_of(self, name: str, other: str, because: str, value: str) -> None:
        if getattr(self, name) is not None and getattr(self, other) is not None:
            raise _wrong(other, f"is set, and so is {variable(name)}; set one of them")
        if getattr(self, name) is None and getattr(self, other) is None:
            raise _wrong(name, f"is not set, but {PREFIX}{because} is {value}; set it, or {variable(other)}")

    def _check_tls(self) -> None:
        for name in ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_key_password_file"):
            if getattr(self, name) is None:
                continue
            if not self.security_protocol.endswith("SSL"):
                raise _wrong(
                    name,
                    f"is set, but SCORER_SECURITY_PROTOCOL is {self.security_protocol}; expected SSL or SASL_SSL",
                )
            self._check_file(name)
        for name in ("tls_key_file", "tls_key_password_file"):
            if getattr(self, name) is not None and self.tls_cert_file is None:
                raise _wrong("tls_cert_file", f"is not set, but {variable(name)} is; set both")

    def _check_file(self, name: str) -> None:
        path: Path = getattr(self, name)
        problem = unreadable(path)
        if problem is not None:
            raise _wrong(name, f"is {str(path)!r}, which cannot be read: {problem}")


def load_settings(env_file: Path | None = Path(".env"), **overrides: Any) -> Settings:
    """Load the settings. `overrides` take precedence over the environment, the environment over the file (if there is
    one), and the file over the defaults. Raises `SettingsError`, also for a `SCORER_*` variable that is no setting."""
    _check_names([*os.environ, *_names_in(env_file)])
    try:
        settings = Settings(_env_file=env_file, **overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    if not settings.rules.exists():
        raise SettingsError(str(_wrong("rules", f"is {str(settings.rules)!r}; expected an existing directory")))
    return settings


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or a name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def _names_in(env_file: Path | None) -> Iterable[str]:
    if env_file is None:
        return ()
    try:
        mode = env_file.stat().st_mode
        # Reading a pipe or a device might never end. A directory of this name may be a virtual environment.
        if stat.S_ISDIR(mode):
            return ()
        if not stat.S_ISREG(mode):
            raise SettingsError(f"{env_file} is not a regular file; use a file, or set the variables instead")
        return dotenv_values(env_file)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{env_file} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{env_file} cannot be read: {error.strerror}") from None


def _check_names(names: Iterable[str]) -> None:
    known = [name.upper() for name in Settings.model_fields]
    for name in names:
        upper = name.upper()
        removed = _REMOVED.get(upper.removeprefix(PREFIX)) if upper.startswith(PREFIX) else None
        if removed is not None:
            raise SettingsError(f"{name} is no longer a setting: {removed}")
        if upper.startswith(PREFIX) and upper.removeprefix(PREFIX) not in known:
            near = _nearest(upper.removeprefix(PREFIX), known)
            raise SettingsError(f"{name} is not a setting; did you mean {PREFIX}{near}?")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    if close:
        return close[0]
    words = set(name.split("_"))
    if words <= _KAFKA_WORDS:
        return "BOOTSTRAP_SERVERS"

    def likeness(setting: str) -> tuple[int, float]:
        # A word in common says more than letters in common: HOST means HTTP_HOST, not GROUP. Of several settings with
        # all words, the first is the usual one: TOPIC means ACTIVITY_TOPIC.
        common = len(words & set(setting.split("_")))
        ratio = difflib.SequenceMatcher(None, name, setting).ratio()
        return common, 1.0 if common == len(words) else ratio

    return max(known, key=likeness)


def unreadable(path: Path) -> str | None:
    """Why a PEM file or a file with a secret cannot be read; None if it can. A pipe or a device is not opened, because
    it might never end."""
    try:
        if not path.is_file():
            path.stat()
            return "it is not a regular file"
        with path.open("rb") as file:
            return "it is larger than 1 MiB" if len(file.read(_MOST_BYTES + 1)) > _MOST_BYTES else None
    except OSError as error:
        return error.strerror or str(error)


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return str(first["msg"]).removeprefix("Value error, ")
    name = str(first["loc"][0])
    message = first["msg"]
    if Settings.model_fields[name].annotation == SecretStr | None:
        return f"{variable(name)} is wrong: {message}"
    text = str(first["input"])
    shown = repr(text if len(text) <= 80 else text[:77] + "...")
    return f"{variable(name)} is {shown}: {message[:1].lower()}{message[1:]}"


def _wrong(name: str, what: str) -> ValueError:
    return ValueError(f"{variable(name)} {what}")
