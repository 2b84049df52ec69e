"""Every value of the chart has an effect: each is set to something that occurs once, and it arrives in the objects."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.brokers.jars import MissingError
from tests.deploy import helm as helm_tool
from tests.deploy.chart import Object, of_kind, only, render, rendered, scorer_container, worker_pod
from tests.deploy.values_table import leaves, schema

pytestmark = pytest.mark.timeout(helm_tool.SECONDS + 300)

_GIT: Final = {
    "image": "mark-git:1",
    "repository": "https://mark-repository/r.git",
    "ref": "mark-ref",
    "period": "7001s",
    "credentials": "password",
    "existingSecret": "mark-git-secret",
    "resources": {"limits": {"memory": "7002Mi"}},
}
_PROBES: Final = {
    f"probes.{kind}.{name}": 7100 + 10 * number + place
    for number, kind in enumerate(("startup", "liveness", "readiness"))
    for place, name in enumerate(
        ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold")
    )
}
_COMMON: Final[dict[str, Any]] = {
    "fullnameOverride": "mark-full",
    "image.repository": "mark-repository/scorer",
    "image.pullSecrets": [{"name": "mark-pull"}],
    "serviceAccount.name": "mark-account",
    "serviceAccount.annotations": {"note": "mark-account-note"},
    "workload.annotations": {"note": "mark-workload"},
    "kafka.bootstrapServers": "mark-kafka:7003",
    "resources": {"limits": {"memory": "7004Mi"}},
    "ports.host": "mark-host",
    "ports.http": 7005,
    "api.enabled": True,
    "api.host": "mark-api-host",
    "api.port": 7006,
    "api.tokenSecret": "mark-tokens",
    "api.tokenKey": "mark-token-key",
    "api.tlsSecret": "mark-tls",
    "api.certKey": "mark-api-cert-key",
    "api.keyKey": "mark-api-key-key",
    "api.clientCaSecret": "mark-client-ca",
    "api.clientCaKey": "mark-client-ca-key",
    "api.allowedHosts": ["mark-allowed.example"],
    "podDisruptionBudget.maxUnavailable": 7007,
    "topologySpread": [{"topologyKey": "mark-zone", "maxSkew": 7008, "whenUnsatisfiable": "DoNotSchedule"}],
    "runAsUser": 7009,
    "podAnnotations": {"note": "mark-annotation"},
    "podLabels": {"team": "mark-label"},
    "nodeSelector": {"disk": "mark-disk"},
    "tolerations": [{"key": "mark-toleration", "operator": "Exists"}],
    "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "mark-affinity"}]}},
    "priorityClassName": "mark-priority",
    "extraEnv": [{"name": "MARK_VARIABLE", "value": "mark-variable"}],
    "extraVolumes": [{"name": "mark-volume", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "mark-volume", "mountPath": "/mark-mount"}],
    "networkPolicy.enabled": True,
    "networkPolicy.metricsFrom": [{"podSelector": {"matchLabels": {"app": "mark-metrics"}}}],
    "networkPolicy.leadsFrom": [{"podSelector": {"matchLabels": {"app": "mark-leads"}}}],
    "networkPolicy.kafkaTo": [{"podSelector": {"matchLabels": {"app": "mark-brokers"}}}],
    "networkPolicy.kafkaPorts": [7010],
    "networkPolicy.dnsTo": [{"podSelector": {"matchLabels": {"app": "mark-dns"}}}],
    "networkPolicy.extraEgress": [{"ports": [{"port": 7011}]}],
    "monitoring.job": "lead-scorer-mark",
    "monitoring.interval": "7012s",
    "monitoring.labels": {"release": "mark-monitor"},
}
_BEHAVIOR: Final = {
    "autoscaling.behavior.scaleUp": {"stabilizationWindowSeconds": 7020},
    "autoscaling.behavior.scaleDown": {"stabilizationWindowSeconds": 7021},
    "autoscaling.minReplicas": 7022,
    "autoscaling.maxReplicas": 7023,
}
FULL_NAME: Final = "demo-lead-scorer"
SITUATIONS: Final[dict[str, dict[str, Any]]] = {
    "git, Strimzi with certificates, KEDA": {
        **_COMMON,
        **_PROBES,
        **_BEHAVIOR,
        "nameOverride": "mark-name",
        "image.digest": f"sha256:{'7' * 64}",
        "kafka.securityProtocol": "SSL",
        "kafka.tls.caSecret": "mark-ca",
        "kafka.tls.caKey": "mark-ca-key",
        "kafka.tls.clientSecret": "mark-client",
        "kafka.tls.certKey": "mark-cert-key",
        "kafka.tls.keyKey": "mark-key-key",
        "kafka.tls.keyPasswordKey": "mark-passphrase-key",
        "rules.source": "git",
        "rules.path": "mark-path",
        **{f"rules.git.{name}": value for name, value in _GIT.items()},
        "shadowRules.source": "volume",
        "shadowRules.volume": {"persistentVolumeClaim": {"claimName": "mark-claim"}},
        "shadowRules.path": "mark-shadow-path",
        "strimzi.enabled": True,
        "strimzi.cluster": "mark-cluster",
        "strimzi.namespace": "mark-namespace",
        "strimzi.user.name": "mark-user",
        "strimzi.user.commands": ["dlq purge"],
        "strimzi.topics.partitions": 7030,
        "strimzi.topics.replicas": 71,
        "settings.companyTopic": "mark.companies",
        **{
            f"strimzi.topics.config.{role}": {"mark": f"mark-{role}"}
            for role in ("activity", "routing", "deadLetter", "state", "replayMarks", "companies", "shadow")
        },
        "autoscaling.kind": "keda",
        "autoscaling.keda.lagThreshold": 7032,
        "autoscaling.keda.activationLagThreshold": 7033,
        "autoscaling.keda.pollingInterval": 7034,
        "autoscaling.keda.kafkaVersion": "7.0.35",
        "autoscaling.keda.fallback.failureThreshold": 7036,
        "autoscaling.keda.fallback.replicas": 7037,
        "monitoring.monitor": "service",
        "monitoring.rules": True,
        "monitoring.ruleLabels": {"role": "mark-rules"},
        "monitoring.runbookUrl": "https://mark-wiki",
    },
    "images, a password, HPA, a job": {
        **_COMMON,
        **_BEHAVIOR,
        "image.tag": "mark-tag",
        "workload.kind": "Deployment",
        "workload.maxSurge": 7040,
        "kafka.securityProtocol": "SASL_SSL",
        "kafka.sasl.existingSecret": "mark-login",
        "kafka.sasl.username": "mark-username",
        "kafka.sasl.passwordKey": "mark-password-key",
        "rules.source": "oci",
        "rules.oci.reference": "mark-rules:1",
        "shadowRules.source": "git",
        **{f"shadowRules.git.{name}": value for name, value in _GIT.items()},
        "autoscaling.kind": "hpa",
        "autoscaling.hpa.cpuUtilization": 70,
        "topicsJob.enabled": True,
        "topicsJob.partitions": 7500,
        "topicsJob.replicationFactor": 77,
        "monitoring.monitor": "pod",
    },
    "files and ConfigMaps": {
        "kafka.bootstrapServers": "mark-kafka:7003",
        "kafka.securityProtocol": "SASL_PLAINTEXT",
        "kafka.sasl.existingSecret": "mark-login",
        "kafka.sasl.usernameKey": "mark-username-key",
        "workload.replicas": 7050,
        "rules.source": "inline",
        "rules.files": {"a.yaml": "mark-file"},
        "shadowRules.source": "configMap",
        "shadowRules.configMap": "mark-map",
    },
    "the other way round": {
        "kafka.bootstrapServers": "mark-kafka:7003",
        "kafka.securityProtocol": "SASL_PLAINTEXT",
        "kafka.sasl.mechanism": "OAUTHBEARER",
        "kafka.sasl.oauth.audience": "mark-audience",
        "kafka.sasl.oauth.expirationSeconds": 7060,
        "rules.source": "volume",
        "rules.volume": {"persistentVolumeClaim": {"claimName": "mark-claim"}},
        "shadowRules.source": "oci",
        "shadowRules.oci.reference": "mark-shadow:1",
    },
    "a ConfigMap and files": {
        "kafka.bootstrapServers": "mark-kafka:7003",
        "kafka.securityProtocol": "SASL_PLAINTEXT",
        "kafka.sasl.mechanism": "OAUTHBEARER",
        "kafka.sasl.existingSecret": "mark-oauth",
        "kafka.sasl.oauth.tokenUrl": "https://mark-tokens/token",
        "kafka.sasl.oauth.clientId": "mark-client-id",
        "kafka.sasl.oauth.clientSecretKey": "mark-client-secret-key",
        "kafka.sasl.oauth.scope": "mark-scope",
        "kafka.sasl.oauth.caKey": "mark-oauth-ca-key",
        "rules.source": "configMap",
        "rules.configMap": "mark-map",
        "shadowRules.source": "inline",
        "shadowRules.files": {"a.yaml": "mark-file"},
    },
}


@pytest.fixture(scope="module")
def situations() -> dict[str, list[Object]]:
    try:
        helm_tool.helm()
    except MissingError as missing:
        pytest.skip(str(missing))
    return {name: render(values=nested(values)) for name, values in SITUATIONS.items()}


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Values by their paths as Helm takes them."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        *folders, name = path.split(".")
        place = found
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return found


def marks(value: Any) -> Iterator[str]:
    """The numbers from 7000 on and the texts with `mark` that are somewhere in a value."""
    if isinstance(value, dict):
        for each in value.values():
            yield from marks(each)
    elif isinstance(value, list):
        for each in value:
            yield from marks(each)
    elif isinstance(value, int) or re.search(r"mark|7", value):
        yield str(value)


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_set_is_in_the_objects(name: str, situations: dict[str, list[Object]]) -> None:
    text = json.dumps(situations[name])
    lost = {
        (path, mark)
        for path, value in SITUATIONS[name].items()
        for mark in marks(value)
        if value is not True and not re.search(rf"(?<![\w.-]){re.escape(mark)}(?![\w-])", text)
    }
    assert lost == set()


def test_no_value_is_left_out() -> None:
    given = {path for values in SITUATIONS.values() for path in values}
    left = {
        path
        for path, each in leaves(schema())
        if path not in given
        and each.get("type") != "boolean"
        and "enum" not in each
        and not path.startswith(("settings.", "global"))
    }
    assert left == set()


# What the marks do not show


def test_the_network_policy_is_for_all_pods_and_both_directions(situations: dict[str, list[Object]]) -> None:
    objects = situations["images, a password, HPA, a job"]
    policy = only(objects, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    labels = [each["metadata"]["labels"] for each in of_kind(objects, "Pod")]
    makers = [*of_kind(objects, "Deployment"), *of_kind(objects, "Job")]
    labels += [each["spec"]["template"]["metadata"]["labels"] for each in makers]
    assert len(labels) >= 4
    for each in labels:
        assert policy["podSelector"]["matchLabels"].items() <= each.items()
    assert [sorted(str(port["port"]) for port in rule["ports"]) for rule in policy["ingress"]] == [["7005"], ["7006"]]
    peers = [json.dumps(rule["from"]) for rule in policy["ingress"]]
    assert [("mark-metrics" in each, "mark-leads" in each) for each in peers] == [(True, False), (False, True)]
    ways = {"mark-dns": ["53", "53"], "mark-brokers": ["7010"]}
    for rule, (peer, ports) in zip(policy["egress"], ways.items(), strict=False):
        assert peer in json.dumps(rule["to"])
        assert [str(port["port"]) for port in rule["ports"]] == ports


def test_no_token_of_kubernetes_is_handed_out(situations: dict[str, list[Object]]) -> None:
    for objects in situations.values():
        assert only(objects, "ServiceAccount")["automountServiceAccountToken"] is False


def test_workers_are_spread(situations: dict[str, list[Object]]) -> None:
    for objects in situations.values():
        labels = only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
        for each in worker_pod(objects)["topologySpreadConstraints"]:
            assert each["labelSelector"]["matchLabels"] == labels


def test_only_the_group_of_the_service_reads_its_secrets(situations: dict[str, list[Object]]) -> None:
    pod = worker_pod(situations["git, Strimzi with certificates, KEDA"])
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"] == 7009
    secrets = {each["name"]: each["secret"]["defaultMode"] for each in pod["volumes"] if "secret" in each}
    assert secrets == dict.fromkeys(
        ("kafka-ca", "kafka-client", "rules-git-secret", "api-tokens", "api-tls", "api-client-ca"), 0o440
    )


def test_keda_logs_in_as_the_service_does(situations: dict[str, list[Object]]) -> None:
    by_certificate = only(situations["git, Strimzi with certificates, KEDA"], "TriggerAuthentication")["spec"]
    assert by_certificate == {
        "secretTargetRef": [
            {"parameter": "ca", "name": "mark-ca", "key": "mark-ca-key"},
            {"parameter": "cert", "name": "mark-client", "key": "mark-cert-key"},
            {"parameter": "key", "name": "mark-client", "key": "mark-key-key"},
        ]
    }
    by_password = only(rendered("everything"), "TriggerAuthentication")["spec"]
    assert by_password["env"] == [
        {"parameter": "username", "name": "SCORER_SASL_USERNAME", "containerName": "scorer"}
    ], "from the variable of the workers"
    assert scorer_container(worker_pod(rendered("everything")))["name"] == "scorer"
    assert by_password["secretTargetRef"][0] == {"parameter": "password", "name": FULL_NAME, "key": "password"}


def test_the_job_makes_the_topics_before_the_workers_start(situations: dict[str, list[Object]]) -> None:
    job = only(situations["images, a password, HPA, a job"], "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["topics", "ensure", "--partitions=7500", "--replication-factor=77"]
