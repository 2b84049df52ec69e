"""The Helm chart: what it renders is what Kubernetes, the operators and the service accept, and no more is allowed than
is needed. There is no Kubernetes here: nothing is installed."""

import json
import re
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
from tests.integration.test_access import documented

# The first test may have to build Helm.
pytestmark = [pytest.mark.timeout(helm_tool.SECONDS + 300), pytest.mark.usefixtures("program")]

NAMES: Final = [path.stem for path in VALUE_FILES]
OLDEST: Final = "1.28"
MIXIN: Final = ROOT / "deploy" / "mixin"
RULE_FILES: Final = ("alerts.yaml", "recording-rules.yaml")
FULL_NAME: Final = "demo-lead-scorer"
OWN_VALUES: Final = {
    "bootstrap_servers": "kafka.bootstrapServers",
    "security_protocol": "kafka.securityProtocol",
    "sasl_mechanism": "kafka.sasl.mechanism",
    "sasl_username": "kafka.sasl.username",
    "sasl_password": "kafka.sasl.passwordKey",
    "tls_ca_file": "kafka.tls.caKey",
    "tls_cert_file": "kafka.tls.certKey",
    "tls_key_file": "kafka.tls.keyKey",
    "instance": "workload.kind",
    "rules": "rules.source",
    "shadow_rules": "shadowRules.source",
    "http_host": "ports.host",
    "http_port": "ports.http",
    "health_port": "ports.health",
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
            "ConfigMap KafkaTopic*5 KafkaUser Pod PodDisruptionBudget Service ServiceAccount ServiceMonitor StatefulSet",
        ),
        (
            "deployment-hpa",
            "Deployment HorizontalPodAutoscaler Job NetworkPolicy Pod PodDisruptionBudget PodMonitor Service "
            "ServiceAccount",
        ),
        ("keda", "Pod PodDisruptionBudget ScaledObject Service ServiceAccount StatefulSet TriggerAuthentication"),
        (
            "everything",
            "KafkaTopic*6 KafkaUser NetworkPolicy Pod PodDisruptionBudget PrometheusRule ScaledObject Service "
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
            assert container["securityContext"] == {
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
    assert not selector.items() <= only(objects, "Pod")["metadata"]["labels"].items()
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
        "startup": {"path": "/health/live", "port": "health"},
        "liveness": {"path": "/health/live", "port": "health"},
        "readiness": {"path": "/health/ready", "port": "health"},
    }
    assert container["livenessProbe"]["timeoutSeconds"] >= 2
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    given = environment(container)
    assert (ports["health"], ports["http"]) == (given["SCORER_HEALTH_PORT"], given["SCORER_HTTP_PORT"])


@pytest.mark.parametrize("seconds", [None, 1, 44.2, 600])
def test_a_pod_gets_more_time_to_end_than_the_service_takes(seconds: float | None) -> None:
    objects = render(values={"settings": {} if seconds is None else {"shutdownTimeoutS": seconds}})
    longest = Settings.model_fields["shutdown_timeout_s"].default if seconds is None else seconds
    assert worker_pod(objects)["terminationGracePeriodSeconds"] >= longest + 10


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
    assert settings.health_port == 8081
    assert settings.http_host == "0.0.0.0"


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
            values[name] = f"a.{name}"
    objects = render(values={"settings": {camel(name): value for name, value in values.items()}})
    settings = settings_of(worker_pod(objects), tmp_path)
    assert {name: getattr(settings, name) for name in values} == values


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
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "/podLabels"),
        ({"rules": {"source": "git"}}, "/rules/git"),
        ({"rules": {"source": "volume"}}, "/rules/volume"),
        ({"rules": {"source": "configMap"}}, "/rules/configMap"),
        ({"rules": {"path": "x"}}, "/rules/path"),
        ({"rules": {"source": "volume", "volume": {"emptyDir": {}}, "path": "../x"}}, "/rules/path"),
        ({"rules": {"files": {"sub/x.yaml": ""}}}, "/rules/files"),
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
        ("minimal", {"ports": {"http": 8081}}, "ports.http and ports.health are the same"),
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
    ],
    ids=str,
)
def test_values_that_contradict_each_other_are_refused(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmError) as refused:
        render(name, values=values)
    assert message in str(refused.value)
