"""The Helm chart: what it renders is what Kubernetes, the operators and the service accept, and no more is allowed than
is needed. There is no Kubernetes here: nothing is installed."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
from typer.testing import CliRunner

from scorer.cli import app
from scorer.kafka.access import NEEDS
from scorer.kafka.topics import needs
from scorer.offline.ruleset_files import load_ruleset
from scorer.runtime.settings import Settings, load_settings, variable
from tests.brokers.jars import MissingError
from tests.deploy import helm as helm_tool
from tests.deploy.chart import (
    CHART,
    NEWEST,
    ROOT,
    VALUE_FILES,
    HelmError,
    Object,
    check,
    copied,
    environment,
    load,
    of_kind,
    only,
    pod_specs,
    render,
    rendered,
    run_helm,
    scorer_container,
    value_file,
    worker,
    worker_pod,
)
from tests.deploy.values_table import default_of, defaults, leaves, page_with_table, schema
from tests.integration.test_access import TICKS, documented

# The first test may have to build Helm.
pytestmark = [pytest.mark.timeout(helm_tool.SECONDS + 300), pytest.mark.usefixtures("program")]

NAMES: Final = [path.stem for path in VALUE_FILES]
OLDEST: Final = "1.28"
FULL_NAME: Final = "demo-lead-scorer"
OWN_VALUES: Final = {
    "bootstrap_servers": "kafka.bootstrapServers",
    "security_protocol": "kafka.securityProtocol",
    "sasl_mechanism": "kafka.sasl.mechanism",
    "sasl_username": "kafka.sasl.username",
    "sasl_username_file": "kafka.sasl.usernameKey",
    # A variable could not change while the pod runs.
    "sasl_password": "kafka.sasl.passwordKey",
    "sasl_password_file": "kafka.sasl.passwordKey",
    "sasl_oauth_token_file": "kafka.sasl.oauth.audience",
    "sasl_oauth_token_url": "kafka.sasl.oauth.tokenUrl",
    "sasl_oauth_client_id": "kafka.sasl.oauth.clientId",
    "sasl_oauth_client_secret_file": "kafka.sasl.oauth.clientSecretKey",
    "sasl_oauth_scope": "kafka.sasl.oauth.scope",
    "sasl_oauth_ca_file": "kafka.sasl.oauth.caKey",
    "tls_ca_file": "kafka.tls.caKey",
    "tls_cert_file": "kafka.tls.certKey",
    "tls_key_file": "kafka.tls.keyKey",
    "tls_key_password_file": "kafka.tls.keyPasswordKey",
    "instance": "workload.kind",
    "rules": "rules.source",
    "shadow_rules": "shadowRules.source",
    "http_host": "ports.host",
    "http_port": "ports.http",
    "api_host": "api.host",
    "api_port": "api.port",
    "api_token_file": "api.tokenKey",
    "api_tls_cert_file": "api.certKey",
    "api_tls_key_file": "api.keyKey",
    "api_client_ca_file": "api.clientCaKey",
    "api_allowed_hosts": "api.allowedHosts",
}
"""Settings that are not below `settings`, with the value that says them."""


@pytest.fixture(scope="session")
def program() -> Path:
    try:
        return helm_tool.helm()
    except MissingError as missing:
        pytest.skip(str(missing))


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def settings_of(pod: Object, folder: Path) -> Settings:
    """What the service would make of the environment of its container. The files are below `folder`."""
    (folder / "etc/lead-scorer").mkdir(parents=True, exist_ok=True)
    given = {}
    for name, value in environment(scorer_container(pod)).items():
        if not name.startswith("SCORER_"):
            continue
        if value.startswith("/etc/lead-scorer/"):
            path = folder / value[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=True) if name.endswith("RULES") else path.touch()
            value = str(path)
        given[name] = value
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        return load_settings(None)


# What is rendered


@pytest.mark.parametrize("name", NAMES)
def test_the_chart_passes_its_own_linter(name: str) -> None:
    run_helm("lint", "--strict", CHART, "-f", value_file(name), "--kube-version", NEWEST)


@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_and_the_operators_accept_every_object(name: str) -> None:
    for each in rendered(name):
        check(each)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "everything"])
def test_the_oldest_kubernetes_that_the_chart_allows_accepts_every_object(name: str) -> None:
    """All but a volume of an image, which is newer."""
    for each in rendered(name):
        check(each, OLDEST)
    assert f'">={OLDEST}.0-0"' in (CHART / "Chart.yaml").read_text()


@pytest.mark.parametrize("kind", ["StatefulSet", "KafkaUser", "ScaledObject", "PrometheusRule", "ServiceMonitor"])
def test_an_unknown_name_in_an_object_is_found(kind: str) -> None:
    each = json.loads(json.dumps(only(rendered("everything"), kind)))
    each["spec"]["surprise"] = 1
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check(each)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("minimal", "Pod PodDisruptionBudget Service ServiceAccount StatefulSet"),
        (
            "strimzi-mtls",
            "ConfigMap KafkaTopic*5 KafkaUser Pod*2 PodDisruptionBudget Service ServiceAccount ServiceMonitor "
            "StatefulSet",
        ),
        (
            "deployment-hpa",
            "Deployment HorizontalPodAutoscaler Job NetworkPolicy Pod*2 PodDisruptionBudget PodMonitor Service "
            "ServiceAccount",
        ),
        ("keda", "Pod*2 PodDisruptionBudget ScaledObject Service ServiceAccount StatefulSet TriggerAuthentication"),
        (
            "everything",
            "KafkaTopic*6 KafkaUser NetworkPolicy Pod*2 PodDisruptionBudget PrometheusRule ScaledObject Service "
            "ServiceAccount ServiceMonitor StatefulSet TriggerAuthentication",
        ),
    ],
)
def test_these_objects_are_made(name: str, kinds: str) -> None:
    found = Counter(each["kind"] for each in rendered(name))
    shown = " ".join(kind if number == 1 else f"{kind}*{number}" for kind, number in sorted(found.items()))
    assert shown == kinds


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_made_and_none_is_needed_as_a_value(name: str) -> None:
    assert of_kind(rendered(name), "Secret") == []
    for path, each in leaves(schema()):
        if "password" in path.lower() or "secret" in path.lower():
            assert re.search("(Secret|Key|Secrets)$", path), path
            assert "Secret" in each["description"]


@pytest.mark.parametrize("name", NAMES)
def test_every_pod_is_restricted(name: str) -> None:
    pods = list(pod_specs(rendered(name)))
    assert len(pods) >= 2
    for pod, spec in pods:
        assert spec["enableServiceLinks"] is False, pod
        assert spec["automountServiceAccountToken"] is False, pod
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            given = dict(container["securityContext"])
            assert given.pop("runAsUser", 1) != 0
            assert given.pop("runAsGroup", 1) != 0
            assert given == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (pod, container["name"])
            assert container["resources"]["limits"]["memory"]
            assert "cpu" not in container["resources"]["limits"], "a limit would delay heartbeats"


@pytest.mark.parametrize("name", NAMES)
def test_selectors_find_the_workers_and_nothing_else(name: str) -> None:
    objects = rendered(name)
    template = worker(objects)["spec"]["template"]["metadata"]["labels"]
    selector = worker(objects)["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template.items()
    assert only(objects, "Service")["spec"]["selector"] == selector
    assert only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == selector
    for pod in of_kind(objects, "Pod"):
        assert not selector.items() <= pod["metadata"]["labels"].items()
    for job in of_kind(objects, "Job"):
        assert not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_a_new_version_of_the_chart_alone_restarts_nobody(tmp_path: Path) -> None:
    chart = copied(tmp_path)
    file = chart / "Chart.yaml"
    file.write_text(file.read_text().replace("\nversion: ", "\nversion: 9"))
    assert worker(render(chart=chart))["spec"]["template"] == worker(rendered("minimal"))["spec"]["template"]


def test_names_stay_short_enough(tmp_path: Path) -> None:
    objects = render(values={"fullnameOverride": "a" * 50, "rules": {"source": "inline", "files": {"a.yaml": "x"}}})
    assert max(len(each["metadata"]["name"]) for each in objects) <= 63


# Workers


def test_a_worker_of_a_stateful_set_keeps_its_name() -> None:
    instance = {"name": "SCORER_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert instance in scorer_container(worker_pod(rendered("minimal")))["env"]
    assert (
        worker(rendered("minimal"))["spec"]["serviceName"] == only(rendered("minimal"), "Service")["metadata"]["name"]
    )
    assert "SCORER_INSTANCE" not in environment(scorer_container(worker_pod(rendered("deployment-hpa"))))


def test_probes_fit_what_the_service_answers() -> None:
    pod = worker_pod(rendered("minimal"))
    container = scorer_container(pod)
    paths = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {
        "startup": {"path": "/health/live", "port": "http"},
        "liveness": {"path": "/health/live", "port": "http"},
        "readiness": {"path": "/health/ready", "port": "http"},
    }
    assert container["livenessProbe"]["timeoutSeconds"] >= 2
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports == {"http": environment(container)["SCORER_HTTP_PORT"]}


@pytest.mark.parametrize("seconds", [None, 1, 44.2, 600])
def test_a_pod_gets_more_time_to_end_than_the_service_takes(seconds: float | None) -> None:
    """It takes up to its limit for the transactions in flight, and then again for leaving the group."""
    objects = render(values={"settings": {} if seconds is None else {"shutdownTimeoutS": seconds}})
    longest = Settings.model_fields["shutdown_timeout_s"].default if seconds is None else seconds
    assert worker_pod(objects)["terminationGracePeriodSeconds"] >= 2 * longest + 10


def test_metrics_of_workers_that_are_not_ready_are_scraped() -> None:
    assert only(rendered("minimal"), "Service")["spec"]["publishNotReadyAddresses"] is True


def test_a_worker_that_waits_for_a_broker_does_not_keep_a_node_from_being_drained() -> None:
    assert only(rendered("minimal"), "PodDisruptionBudget")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize(("surge", "unavailable"), [(0, 1), (1, 0), (3, 0)])
def test_an_update_of_a_deployment_can_go_on(surge: int, unavailable: int) -> None:
    deployment = worker(render("deployment-hpa", values={"workload": {"maxSurge": surge}}))
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": unavailable}


# Settings


@pytest.mark.parametrize("name", NAMES)
def test_the_service_accepts_its_environment(name: str, tmp_path: Path) -> None:
    settings = settings_of(worker_pod(rendered(name)), tmp_path)
    assert (settings.http_host, settings.http_port) == ("0.0.0.0", 8080)
    assert (settings.api_port is None) is (name != "everything")


def test_every_setting_can_be_set() -> None:
    below = schema()["properties"]["settings"]["properties"]
    assert set(Settings.model_fields) == {name for name in Settings.model_fields if camel(name) in below} | set(
        OWN_VALUES
    )
    assert set(below) == {camel(name) for name in Settings.model_fields if name not in OWN_VALUES}
    known = dict(leaves(schema()))
    assert set(OWN_VALUES.values()) <= set(known)


def test_the_schema_has_the_bounds_of_the_settings() -> None:
    below = schema()["properties"]["settings"]["properties"]
    for name, field in Settings.model_json_schema()["properties"].items():
        if name in OWN_VALUES:
            continue
        if "anyOf" in field:
            field = {**field, **next(each for each in field["anyOf"] if each["type"] != "null")}
        ours = below[camel(name)]
        assert ours["description"] == f"`{variable(name)}`: {field['description']}"
        for bound in ("type", "enum", "minimum", "maximum", "exclusiveMinimum"):
            assert ours.get(bound) == field.get(bound), (name, bound)


def test_what_is_set_arrives_as_it_was_set(tmp_path: Path) -> None:
    """All settings at once, with numbers that a careless template writes as 1e+06."""
    values: dict[str, Any] = {}
    for name, field in Settings.model_json_schema()["properties"].items():
        if name in OWN_VALUES:
            continue
        if "anyOf" in field:
            field = {**field, **next(each for each in field["anyOf"] if each["type"] != "null")}
        if "enum" in field:
            values[name] = field["enum"][-1]
        elif field["type"] == "boolean":
            values[name] = True
        elif field["type"] == "number":
            values[name] = 0.25
        elif field["type"] == "integer":
            values[name] = min(field.get("maximum", 40_000_000), 40_000_000)
        else:
            values[name] = "a.b:c" if name == "sources" else f"a.{name}"
    objects = render(values={"settings": {camel(name): value for name, value in values.items()}})
    settings = settings_of(worker_pod(objects), tmp_path)
    # A path comes as a text.
    assert {name: type(value)(getattr(settings, name)) for name, value in values.items()} == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"setings": {}}, "'setings' not allowed"),
        ({"settings": {"maxRecord": 1}}, "'maxRecord' not allowed"),
        ({"settings": {"saslPassword": "s3cret"}}, "'saslPassword' not allowed"),
        ({"settings": {"instance": "one"}}, "'instance' not allowed"),
        ({"settings": {"maxRecords": 0}}, "/settings/maxRecords"),
        ({"settings": {"reload": False}}, "/settings/reload"),
        ({"settings": {"group": "a b"}}, "/settings/group"),
        ({"image": {"tag": "latest"}}, "/image/tag"),
        ({"image": {"digest": "sha256:12"}}, "/image/digest"),
        ({"kafka": {"bootstrapServers": ""}}, "/kafka/bootstrapServers"),
        ({"kafka": {"bootstrapServers": "kafka"}}, "/kafka/bootstrapServers"),
        ({"kafka": {"bootstrapServers": "u:p@kafka:9092"}}, "/kafka/bootstrapServers"),
        ({"kafka": {"sasl": {"password": "s3cret"}}}, "'password' not allowed"),
        ({"extraEnv": [{"name": "SCORER_GROUP", "value": "x"}]}, "/extraEnv/0/name"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "invalid propertyName 'app.kubernetes.io/name'"),
        ({"rules": {"source": "git"}}, "/rules/git"),
        ({"rules": {"source": "volume"}}, "/rules/volume"),
        ({"rules": {"source": "configMap"}}, "/rules/configMap"),
        ({"rules": {"path": "x"}}, "/rules/path"),
        ({"rules": {"source": "volume", "volume": {"emptyDir": {}}, "path": "../x"}}, "/rules/path"),
        ({"rules": {"files": {"sub/x.yaml": ""}}}, "invalid propertyName 'sub/x.yaml'"),
        ({"resources": {"limit": {"memory": "2Gi"}}}, "invalid propertyName 'limit'"),
        ({"rules": {"git": {"resources": {"limit": {}}}}}, "invalid propertyName 'limit'"),
        ({"affinity": {"nodeSelectorTerms": []}}, "invalid propertyName 'nodeSelectorTerms'"),
        ({"autoscaling": {"minReplicas": 0}}, "/autoscaling/minReplicas"),
        ({"monitoring": {"job": "other"}}, "/monitoring/job"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_before_anything_is_installed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmError) as refused:
        render(values=values)
    assert message in str(refused.value)
    assert "meet the specifications of the schema" in str(refused.value)


@pytest.mark.parametrize("servers", ["a:1", "a.b:9092, c:9093", "[::1]:9092", "10.0.0.1:9092"])
def test_addresses_that_the_service_accepts_are_accepted(servers: str, tmp_path: Path) -> None:
    objects = render(values={"kafka": {"bootstrapServers": servers}})
    assert settings_of(worker_pod(objects), tmp_path).bootstrap_servers == servers


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("minimal", {"kafka": {"securityProtocol": "SASL_SSL"}}, "kafka.sasl.existingSecret is not set"),
        (
            "minimal",
            {"kafka": {"securityProtocol": "SASL_SSL", "sasl": {"existingSecret": "x"}}},
            "kafka.sasl.username is not set",
        ),
        ("minimal", {"kafka": {"sasl": {"existingSecret": "x"}}}, "expected SASL_SSL or SASL_PLAINTEXT"),
        ("minimal", {"kafka": {"tls": {"caSecret": "x"}}}, "expected SSL or SASL_SSL"),
        ("minimal", {"api": {"enabled": True, "port": 8080}}, "ports.http and api.port are the same"),
        ("minimal", {"api": {"enabled": True, "host": "::"}}, "api.host is ::, where everybody could read leads"),
        ("minimal", {"api": {"enabled": True, "clientCaSecret": "ca"}}, "api.tlsSecret is not set, but api.clientCa"),
        ("minimal", {"api": {"enabled": True}, "service": {"leads": True}}, "which nobody reaches; expected 0.0.0.0"),
        ("minimal", {"service": {"leads": True}}, "service.leads or networkPolicy.leadsFrom is set, but api.enabled"),
        ("minimal", {"settings": {"routingTopic": "lead.activity"}}, "two topics have the name lead.activity"),
        ("minimal", {"settings": {"stateTopic": "lead.activity.dlq"}}, "two topics have the name lead.activity.dlq"),
        ("strimzi-mtls", {"strimzi": {"cluster": ""}}, "strimzi.cluster is not set"),
        ("strimzi-mtls", {"kafka": {"securityProtocol": "PLAINTEXT"}}, "expected SSL"),
        ("strimzi-mtls", {"strimzi": {"user": {"authentication": "scram-sha-512"}}}, "SASL_SSL or SASL_PLAINTEXT"),
        ("strimzi-mtls", {"workload": {"replicas": 13}}, "up to 13 workers for 12 partitions"),
        ("strimzi-mtls", {"topicsJob": {"enabled": True}}, "the topics can have one creator"),
        ("deployment-hpa", {"autoscaling": {"maxReplicas": 13}}, "up to 13 workers for 12 partitions"),
        ("keda", {"autoscaling": {"minReplicas": 13}}, "larger than autoscaling.maxReplicas"),
        ("minimal", {"rules": {"source": "inline"}}, "there are no files"),
        ("keda", {"rules": {"git": {"credentials": "none"}}}, "is reached by ssh, but rules.git.credentials is none"),
        (
            "keda",
            {"rules": {"git": {"repository": "git@git.example.net:rules.git", "credentials": "password"}}},
            "is reached by ssh, but rules.git.credentials is password",
        ),
        ("keda", {"networkPolicy": {"enabled": True}}, "set networkPolicy.extraEgress"),
        *(
            (
                "strimzi-mtls",
                {"strimzi": {"topics": {"config": {role: {"cleanup.policy": policy}}}}},
                f"strimzi.topics.config.{role} has cleanup.policy {policy}",
            )
            for role, policy in [
                ("activity", "compact"),
                ("deadLetter", "compact,delete"),
                ("state", "delete"),
                ("replayMarks", "delete"),
                ("companies", "delete"),
            ]
        ),
    ],
    ids=str,
)
def test_values_that_contradict_each_other_are_refused(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmError) as refused:
        render(name, values=values)
    assert message in str(refused.value)


# Rules


def test_rules_in_a_config_map_are_rules_and_change_without_a_restart(tmp_path: Path) -> None:
    objects = rendered("strimzi-mtls")
    folder = environment(scorer_container(worker_pod(objects)))["SCORER_RULES"]
    (mount,) = [each for each in scorer_container(worker_pod(objects))["volumeMounts"] if each["mountPath"] == folder]
    assert "subPath" not in mount, "Kubernetes does not update those"
    for file, text in only(objects, "ConfigMap")["data"].items():
        (tmp_path / file).write_text(text)
    assert load_ruleset(tmp_path).name == "small"
    changed = {"rules": {"files": {"small.yaml": "ruleset: other\n"}}}
    assert worker(render("strimzi-mtls", values=changed)) == worker(objects)
    off = {"settings": {"reload": "off"}}
    before, after = (worker(render("strimzi-mtls", values={**off, **more})) for more in ({}, changed))
    assert before["spec"]["template"] != after["spec"]["template"], "without a reload, the pods are replaced"


def test_a_real_ruleset_can_be_given_file_by_file() -> None:
    rules = sorted((ROOT / "rules" / "b2b").glob("*.yaml"))
    options = [f"--set-file=rules.files.{path.name.replace('.', chr(92) + '.')}={path}" for path in rules]
    data = only(render("minimal", "--set=rules.source=inline", *options), "ConfigMap")["data"]
    assert data == {path.name: path.read_text() for path in rules}


def test_more_than_a_config_map_holds_is_refused() -> None:
    full = {"rules": {"source": "inline", "files": {"a.yaml": "x" * ((1 << 20) - 6)}}}
    assert of_kind(render(values=full), "ConfigMap")
    with pytest.raises(HelmError, match="1048577 bytes and a ConfigMap holds 1048576; use source volume, oci or git"):
        render(values={"rules": {"source": "inline", "files": {"a.yaml": "x" * ((1 << 20) - 5)}}})


def test_rules_of_a_repository_are_there_before_the_service_starts_and_then_follow_it() -> None:
    pod = worker_pod(rendered("keda"))
    (first,) = pod["initContainers"]
    _, following = pod["containers"]
    for container in (first, following):
        assert container["securityContext"]["runAsUser"] == 65533, "ssh refuses a user that /etc/passwd does not name"
    assert "runAsUser" not in scorer_container(pod)["securityContext"]
    assert "--one-time" in first["args"]
    assert "--period=60s" in following["args"]
    assert {*first["args"]} - {"--one-time"} == {*following["args"]} - {"--period=60s", "--max-failures=-1"}
    root = next(each for each in following["args"] if each.startswith("--root=")).removeprefix("--root=")
    assert environment(scorer_container(pod))["SCORER_RULES"] == f"{root}/current/rules/b2b"
    assert {mount["mountPath"]: mount.get("readOnly") for mount in scorer_container(pod)["volumeMounts"]}[root] is True


@pytest.mark.parametrize("source", ["inline", "configMap", "volume", "oci", "git"])
def test_shadow_rules_come_from_the_same_places(source: str) -> None:
    spec = {
        "source": source,
        "files": {"a.yaml": "ruleset: a\n"},
        "configMap": "candidate",
        "volume": {"emptyDir": {}},
        "oci": {"reference": "r:1"},
        "git": {
            "image": "git-sync:v4.4.0",
            "repository": "https://git.example.net/r.git",
            "credentials": "password",
            "existingSecret": "login",
        },
    }
    objects = render(values={"shadowRules": spec, "rules": spec})
    for each in objects:
        check(each)
    given = environment(scorer_container(worker_pod(objects)))
    below = "/current" if source == "git" else ""
    assert given["SCORER_RULES"] == f"/etc/lead-scorer/rules{below}"
    assert given["SCORER_SHADOW_RULES"] == f"/etc/lead-scorer/shadow-rules{below}"


# Topics and permissions


@pytest.mark.parametrize("name", ["strimzi-mtls", "everything"])
def test_the_topics_are_those_that_the_service_needs(name: str, tmp_path: Path) -> None:
    objects = rendered(name)
    topics = {each["spec"]["topicName"]: each["spec"] for each in of_kind(objects, "KafkaTopic")}
    settings = settings_of(worker_pod(objects), tmp_path)
    wanted = {need.topic: need for need in needs(settings) if need.ours}
    assert set(topics) == set(wanted)
    for topic, spec in topics.items():
        need = wanted[topic]
        config = {key: str(value) for key, value in spec["config"].items()}
        if need.compact is not None:
            assert config["cleanup.policy"] == ("compact" if need.compact else "delete")
        for key, value in need.config.items():
            if key == "max.message.bytes":
                assert int(config[key]) >= int(value), topic
            else:
                assert config[key] == value
        assert spec["partitions"] == (need.partitions or topics[settings.activity_topic]["partitions"])
        assert config["min.insync.replicas"] == "2", "an acknowledged record must survive a broker"
    letters = int(topics[settings.dead_letter_topic]["config"]["max.message.bytes"])
    assert letters > int(topics[settings.activity_topic]["config"].get("max.message.bytes", 1_048_588))


@pytest.mark.parametrize(("replicas", "expected"), [(1, None), (2, None), (5, 2)])
def test_few_replicas_are_not_asked_to_be_in_sync(replicas: int, expected: int | None) -> None:
    topics = of_kind(render("strimzi-mtls", values={"strimzi": {"topics": {"replicas": replicas}}}), "KafkaTopic")
    assert {topic["spec"]["config"].get("min.insync.replicas") for topic in topics} == {expected}


@pytest.mark.parametrize("name", ["strimzi-mtls", "everything"])
def test_removing_the_release_removes_no_topic(name: str) -> None:
    for topic in of_kind(rendered(name), "KafkaTopic"):
        assert topic["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", topic["metadata"]["name"])


def granted(objects: list[Object]) -> set[tuple[str, str, str, bool]]:
    """Resource, name, operation and whether it is a prefix, of each ACL of the user."""
    acls = only(objects, "KafkaUser")["spec"]["authorization"]["acls"]
    found = [
        (acl["resource"]["type"], acl["resource"]["name"], operation, acl["resource"]["patternType"] == "prefix")
        for acl in acls
        for operation in acl["operations"]
    ]
    assert len(found) == len(set(found))
    assert {(acl["type"], acl["host"]) for acl in acls} == {("allow", "*")}
    return set(found)


RUN: Final = "`scorer run`"


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ({}, [RUN, TICKS]),
        ({"settings": {"tickSeconds": 0}}, [RUN]),
        ({"settings": {"createTopics": True}}, [RUN, TICKS, "… with `SCORER_CREATE_TOPICS=true`"]),
        ({"settings": {"nullKeys": "rekey", "tickSeconds": 0}}, [RUN, "… with `SCORER_NULL_KEYS=rekey`"]),
        (
            {"settings": {"sources": "lead.activity:cloudevents,crm.events:segment", "tickSeconds": 0}},
            [RUN, "… with `SCORER_SOURCES`"],
        ),
        (
            {"settings": {"companyTopic": "company.profile", "tickSeconds": 0}},
            [RUN, "… with `SCORER_COMPANY_TOPIC`"],
        ),
        ({"shadowRules": {"source": "configMap", "configMap": "c"}}, [RUN, TICKS, "… with `SCORER_SHADOW_RULES`"]),
        ({"settings": {"group": "emea", "deadLetterTopic": "letters", "stateTopic": "states"}}, [RUN, TICKS]),
        *(
            ({"strimzi": {"user": {"commands": [command]}}}, [RUN, TICKS, f"`scorer {command}`"])
            for command in NEEDS
            if command != "run"
        ),
    ],
    ids=str,
)
def test_the_user_may_do_exactly_what_the_manual_says(values: dict[str, Any], rows: list[str], tmp_path: Path) -> None:
    values = {**values, "strimzi": {"user": {"describeConfigs": False, **values.get("strimzi", {}).get("user", {})}}}
    objects = render("strimzi-mtls", values=values)
    settings = settings_of(worker_pod(objects), tmp_path)
    kinds = {"transactional-id": "transactionalId"}
    wanted = {
        (kinds.get(acl.resource, acl.resource), acl.name, acl.operation, acl.prefixed)
        for row in rows
        for acl in documented(settings, row)
    }
    assert granted(objects) == wanted


def test_the_user_may_also_read_the_settings_of_its_topics() -> None:
    without = granted(render("strimzi-mtls", values={"strimzi": {"user": {"describeConfigs": False}}}))
    topics = {name for kind, name, _, _ in without if kind == "topic"}
    assert granted(rendered("strimzi-mtls")) - without == {("topic", name, "DescribeConfigs", False) for name in topics}


def test_every_command_with_a_row_can_be_granted() -> None:
    commands = schema()["properties"]["strimzi"]["properties"]["user"]["properties"]["commands"]["items"]["enum"]
    assert {*commands, "run"} == set(NEEDS)


def test_the_pods_log_in_as_the_user_of_strimzi() -> None:
    pod = worker_pod(rendered("strimzi-mtls"))
    secrets = {each["name"]: each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
    assert secrets == {"kafka-ca": "events-cluster-ca-cert", "kafka-client": FULL_NAME}
    assert only(rendered("strimzi-mtls"), "KafkaUser")["metadata"]["name"] == FULL_NAME
    pod = worker_pod(rendered("everything"))
    given = environment(scorer_container(pod))
    assert given["SCORER_SASL_USERNAME"] == FULL_NAME
    assert mounted(pod, given["SCORER_SASL_PASSWORD_FILE"]) == {"secretName": FULL_NAME, "defaultMode": 0o440}


def mounted(pod: Object, path: str) -> Any:
    """What the volume is that has this file."""
    (mount,) = [each for each in scorer_container(pod)["volumeMounts"] if path.startswith(f"{each['mountPath']}/")]
    (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
    return volume.get("secret") or volume["projected"]


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_a_variable(name: str) -> None:
    """A variable keeps its value until the pod ends, and is in every crash report."""
    for pod, spec in pod_specs(rendered(name)):
        for container in spec["containers"]:
            if container["image"].partition("@")[0].partition(":")[0].endswith("lead-scorer"):
                from_secrets = [
                    each["name"] for each in container.get("env", []) if "secretKeyRef" in each.get("valueFrom", {})
                ]
                assert from_secrets == [], pod


def with_tokens(existing: str = "", **oauth: Any) -> dict[str, Any]:
    sasl = {"mechanism": "OAUTHBEARER", "existingSecret": existing, "usernameKey": "", "oauth": oauth}
    return {"kafka": {"securityProtocol": "SASL_SSL", "sasl": sasl}}


def test_the_pods_log_in_with_their_own_token(tmp_path: Path) -> None:
    pod = worker_pod(render(values=with_tokens(audience="kafka", expirationSeconds=7200)))
    settings = settings_of(pod, tmp_path)
    assert settings.sasl_mechanism == "OAUTHBEARER"
    token = mounted(pod, environment(scorer_container(pod))["SCORER_SASL_OAUTH_TOKEN_FILE"])
    source = {"path": "token", "audience": "kafka", "expirationSeconds": 7200}
    assert token["sources"] == [{"serviceAccountToken": source}]
    # The token of Kubernetes itself stays away.
    assert pod["automountServiceAccountToken"] is False


def test_the_pods_log_in_with_tokens_of_an_endpoint(tmp_path: Path) -> None:
    given = {"tokenUrl": "https://login.example.net/token", "clientId": "scorer", "scope": "kafka", "caKey": "ca.crt"}
    objects = render("keda", values=with_tokens("kafka-client-secret", **given))
    pod = worker_pod(objects)
    settings = settings_of(pod, tmp_path)
    assert settings.sasl_oauth_token_url == "https://login.example.net/token"
    assert (settings.sasl_oauth_client_id, settings.sasl_oauth_scope) == ("scorer", "kafka")
    secret = environment(scorer_container(pod))["SCORER_SASL_OAUTH_CLIENT_SECRET_FILE"]
    assert mounted(pod, secret)["secretName"] == "kafka-client-secret"
    for each in objects:
        check(each)
    (trigger,) = only(objects, "ScaledObject")["spec"]["triggers"]
    assert trigger["metadata"]["sasl"] == "oauthbearer"
    assert {
        each["parameter"]
        for each in (
            *only(objects, "TriggerAuthentication")["spec"]["env"],
            *only(objects, "TriggerAuthentication")["spec"]["secretTargetRef"],
        )
    } == {"username", "password", "oauthTokenEndpointUri", "scopes", "ca"}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("minimal", with_tokens(), "set kafka.sasl.oauth.audience for a token of the pod"),
        ("minimal", with_tokens("x", audience="kafka"), "kafka.sasl.existingSecret is set, but the login is a token"),
        (
            "minimal",
            with_tokens(tokenUrl="https://a/t", clientId="c"),
            "set kafka.sasl.oauth.clientId and kafka.sasl.exi",
        ),
        ("minimal", with_tokens("x", tokenUrl="https://a/t"), "set kafka.sasl.oauth.clientId and kafka.sasl.existing"),
        ("minimal", with_tokens("x", tokenUrl="https://a/t", clientId="c", audience="k"), "are both set; set one"),
        ("minimal", with_tokens("x", tokenUrl="http://a/t"), "/kafka/sasl/oauth/tokenUrl"),
        ("minimal", {"kafka": {"sasl": {"oauth": {"audience": "k"}}}}, "expected kafka.sasl.mechanism OAUTHBEARER"),
        ("keda", with_tokens(audience="kafka"), "keda, which cannot log in with a token of the pod"),
    ],
    ids=str,
)
def test_the_values_of_tokens_belong_together(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmError) as refused:
        render(name, values=values)
    assert message in str(refused.value)


# Load


@pytest.mark.parametrize("name", ["deployment-hpa", "keda", "everything"])
def test_one_party_alone_sets_the_number_of_workers(name: str) -> None:
    objects = rendered(name)
    assert "replicas" not in worker(objects)["spec"]
    scaler = (of_kind(objects, "HorizontalPodAutoscaler") or of_kind(objects, "ScaledObject"))[0]["spec"]
    target = scaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (worker(objects)["kind"], worker(objects)["metadata"]["name"])
    assert (scaler.get("minReplicas") or scaler["minReplicaCount"]) >= 1


def test_keda_looks_at_the_lag_of_the_service(tmp_path: Path) -> None:
    objects = rendered("everything")
    settings = settings_of(worker_pod(objects), tmp_path)
    triggers = only(objects, "ScaledObject")["spec"]["triggers"]
    assert settings.source_topics
    assert [each["metadata"]["topic"] for each in triggers] == [settings.activity_topic, *settings.source_topics]
    for trigger in triggers:
        shown = trigger["metadata"]
        assert (shown["consumerGroup"], shown["bootstrapServers"]) == (settings.group, settings.bootstrap_servers)
        assert (shown["sasl"], shown["tls"]) == ("scram_sha512", "enable")
        assert trigger["authenticationRef"]["name"] == only(objects, "TriggerAuthentication")["metadata"]["name"]
        assert all(isinstance(value, str) for value in shown.values())
        assert tuple(map(int, shown["version"].split("."))) >= (2, 1, 0), "Kafka 4 answers nothing older"


@pytest.mark.parametrize(
    ("sources", "topics"),
    [
        (None, ["lead.activity"]),
        ("a.events:segment,b.events:hubspot", ["lead.activity", "a.events", "b.events"]),
        ("lead.activity:cloudevents,a.events:segment", ["lead.activity", "a.events"]),
    ],
)
def test_keda_looks_at_each_topic_that_the_workers_read(sources: str | None, topics: list[str]) -> None:
    objects = render("keda", values={"settings": {} if sources is None else {"sources": sources}})
    triggers = only(objects, "ScaledObject")["spec"]["triggers"]
    assert [trigger["metadata"]["topic"] for trigger in triggers] == topics
    for each in objects:
        check(each)


# Network and monitoring


def test_nobody_reads_leads_unless_allowed() -> None:
    policy = only(rendered("deployment-hpa"), "NetworkPolicy")["spec"]
    (incoming,) = policy["ingress"]
    assert [port["port"] for port in incoming["ports"]] == [8080]
    assert incoming["from"]
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [53, 53, 9096]
    _, leads = only(rendered("everything"), "NetworkPolicy")["spec"]["ingress"]
    assert leads == {
        "ports": [{"port": 8090, "protocol": "TCP"}],
        "from": [{"podSelector": {"matchLabels": {"app": "console"}}}],
    }
    assert [port["name"] for port in only(rendered("minimal"), "Service")["spec"]["ports"]] == ["http"]
    assert [port["name"] for port in only(rendered("everything"), "Service")["spec"]["ports"]] == ["http", "api"]


def test_lead_data_is_as_secure_as_its_secrets_say(tmp_path: Path) -> None:
    pod = worker_pod(rendered("everything"))
    settings = settings_of(pod, tmp_path)
    assert (settings.api_host, settings.api_port) == ("0.0.0.0", 8090)
    mounts = {mount["name"]: mount["mountPath"] for mount in scorer_container(pod)["volumeMounts"]}
    volumes = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    for path, secret in (
        (settings.api_token_file, "lead-scorer-tokens"),
        (settings.api_tls_cert_file, "lead-scorer-tls"),
        (settings.api_tls_key_file, "lead-scorer-tls"),
        (settings.api_client_ca_file, "lead-scorer-clients"),
    ):
        assert path is not None
        (volume,) = [name for name, place in mounts.items() if str(path).endswith(f"{place}/{path.name}")]
        assert volumes[volume] == secret
    name = f"{only(rendered('everything'), 'Service')['metadata']['name']}.sales.svc"
    assert {"scorer.example.net", name, f"*.{name}"} <= set(settings.api_hosts)


def test_lead_data_on_loopback_is_for_who_may_forward_a_port(tmp_path: Path) -> None:
    objects = render(values={"api": {"enabled": True}})
    settings = settings_of(worker_pod(objects), tmp_path)
    assert (settings.api_host, settings.api_port, settings.api_hosts) == ("127.0.0.1", 8090, ())
    assert [port["name"] for port in scorer_container(worker_pod(objects))["ports"]] == ["http"]


@pytest.mark.parametrize(("name", "kind"), [("strimzi-mtls", "ServiceMonitor"), ("deployment-hpa", "PodMonitor")])
def test_metrics_have_the_job_that_alerts_ask_for(name: str, kind: str) -> None:
    objects = rendered(name)
    spec = only(objects, kind)["spec"]
    (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "lead-scorer"}]
    labelled = (
        only(objects, "Service")["metadata"]
        if kind == "ServiceMonitor"
        else worker(objects)["spec"]["template"]["metadata"]
    )
    assert spec["selector"]["matchLabels"].items() <= labelled["labels"].items()
    assert endpoint["port"] in {port["name"] for port in scorer_container(worker_pod(objects))["ports"]}


RULES: Final = """groups:
  - name: lead-scorer-availability
    rules:
      - alert: LeadScorerAbsent
        expr: absent(up{job="lead-scorer"} == 1) or absent(up{job=~"lead-scorer.*"})
        for: 5m
        labels: {severity: critical}
        annotations:
          description: Nobody sees {{ $labels.job }} ({{ $value | humanize }}).
          runbook_url: https://lead-scorer.example/docs/runbooks/LeadScorerAbsent.md
"""


def test_rules_reach_prometheus_as_they_are(tmp_path: Path) -> None:
    chart = copied(tmp_path)
    (chart / "files" / "alerts.yaml").write_text(RULES)
    (chart / "files" / "recording-rules.yaml").write_text("groups: []\n")
    (written,) = load(RULES)
    for values in ({}, {"monitoring": {"job": "lead-scorer-emea", "runbookUrl": "https://wiki.example.net/pages/"}}):
        rule = only(render("minimal", "--set=monitoring.rules=true", values=values, chart=chart), "PrometheusRule")
        check(rule)
        (alert,) = rule["spec"]["groups"][0]["rules"]
        if not values:
            assert rule["spec"]["groups"] == written["groups"]
        else:
            assert alert["annotations"]["runbook_url"] == "https://wiki.example.net/pages/LeadScorerAbsent.md"
            assert alert["expr"] == 'absent(up{job="lead-scorer-emea"} == 1) or absent(up{job=~"lead-scorer.*"})'
            assert "{{ $labels.job }}" in alert["annotations"]["description"]


# Commands and texts


@pytest.mark.parametrize("name", NAMES)
def test_pods_run_commands_that_exist(name: str) -> None:
    for pod, spec in pod_specs(rendered(name)):
        for container in spec["containers"]:
            if "lead-scorer" in container["image"]:
                done = CliRunner().invoke(app, [*container["args"], "--help"])
                assert done.exit_code == 0, (pod, done.output)


@pytest.mark.parametrize("name", NAMES)
def test_helm_can_show_the_logs_of_its_test(name: str) -> None:
    """`helm test --logs` reads them at the end, and without the name of a container."""
    pods = of_kind(rendered(name), "Pod")
    assert [pod["spec"]["containers"][0]["args"][0] for pod in pods] == ["topics", "check"][: len(pods)]
    for pod in pods:
        assert len(pod["spec"]["containers"]) == 1
        assert pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"
    for pod in pods[1:]:
        assert "SCORER_SASL_PASSWORD" not in environment(pod["spec"]["containers"][0]), "the rules need no login"


def test_the_notes_can_be_read(tmp_path: Path) -> None:
    """A ConfigMap in a copy of the chart shows them: without a cluster Helm prints none."""
    chart = copied(tmp_path)
    shown = '{{ include (print $.Template.BasePath "/NOTES.txt") . | quote }}'
    (chart / "templates" / "shown.yaml").write_text(f"kind: Notes\napiVersion: v1\nmetadata: {{}}\ntext: {shown}\n")
    for name in NAMES:
        text = only(render(name, chart=chart), "Notes")["text"]
        assert f"rollout status {worker(rendered(name))['kind'].lower()}/{FULL_NAME} --namespace sales" in text
        assert "helm test demo --namespace sales --logs" in text
        assert ("Copy them into sales" in text) == (name == "everything")
        assert "port-forward" not in text
        assert "without encryption: api" not in text
    text = only(render(values={"api": {"enabled": True}}, chart=chart), "Notes")["text"]
    assert f"kubectl port-forward --namespace sales statefulset/{FULL_NAME} 8090" in text
    api = {"enabled": True, "host": "0.0.0.0", "tokenSecret": "tokens"}
    text = only(render(values={"api": api}, chart=chart), "Notes")["text"]
    assert "Tokens and leads cross the network without encryption" in text


def test_the_readme_lists_every_value() -> None:
    page = (CHART / "README.md").read_text()
    assert page_with_table(page) == page, "run python -m tests.deploy.values_table"


def test_every_value_with_a_default_is_in_the_schema() -> None:
    known = {path for path, _ in leaves(schema())}

    def paths(values: Any, place: str = "") -> Iterator[str]:
        for name, value in values.items():
            path = f"{place}{name}"
            if path in known or not isinstance(value, dict):
                yield path
            else:
                yield from paths(value, f"{path}.")

    given = defaults()
    assert set(paths(given)) <= known
    optional = [path for path in known if default_of(path, given) is None]
    assert {path.split(".")[0] for path in optional} <= {"settings", "probes", "global"}


PAGE: Final = ROOT / "docs" / "kubernetes.md"


def commands() -> list[str]:
    """The commands of the page, one a line."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [line for language, block in blocks if not language for line in block.splitlines() if line]


@pytest.mark.parametrize("command", [each for each in commands() if each.startswith(("helm install", "helm upgrade"))])
def test_what_the_page_installs_is_accepted(command: str, tmp_path: Path) -> None:
    for name, text in re.findall(
        r"^`([a-z-]+\.yaml)`:\n\n```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    ):
        (tmp_path / name).write_text(text)
    _, _, release, chart, *options = shlex.split(command.replace("\\.", "\\\\."))
    options = [each for each in options if each != "--wait"]
    given = [str(tmp_path / each) if (tmp_path / each).is_file() else each for each in options]
    objects = load(run_helm("template", release, chart, *given, "--kube-version", NEWEST))
    for each in objects:
        check(each)
    assert worker(objects)


def test_the_page_names_objects_that_exist() -> None:
    names = set(re.findall(r"(?:statefulset|scaledobject)/([a-z-]+)", PAGE.read_text()))
    assert names == {"lead-scorer"}
    objects = load(run_helm("template", "lead-scorer", CHART, "-f", value_file("minimal"), "--kube-version", NEWEST))
    assert worker(objects)["metadata"]["name"] == "lead-scorer"


def test_the_scorer_commands_of_the_page_exist() -> None:
    found = [command.partition(" -- scorer ")[2] for command in commands() if " -- scorer " in command]
    assert found
    for command in found:
        assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0, command
