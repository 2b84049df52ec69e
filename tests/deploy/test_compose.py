"""deploy/compose.yaml: valid, complete, and its processes work together with its own configuration files."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from scorer.runtime.settings import Settings, load_settings
from tests.brokers.jars import VERSION, MissingError, jars
from tests.deploy.compose import DEPLOY, document, mounted, service_of
from tests.deploy.dockerfile import ROOT, only, stages
from tests.deploy.monitoring import program

SERVICES = list(document()["services"])
OURS = ("topics", "worker-1", "worker-2")


def yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def lacking() -> str | None:
    if os.geteuid() != 0:
        return "a network of its own needs root"
    absent = [tool for tool in ("unshare", "ip", "mount") if shutil.which(tool) is None]
    return f"this machine lacks {', '.join(absent)}" if absent else None


def test_it_fits_the_schema_of_compose_files() -> None:
    schema = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document())


@pytest.mark.parametrize("name", SERVICES)
def test_what_it_mounts_exists_and_cannot_be_written(name: str) -> None:
    assert [str(path) for path in mounted(name).values() if not path.exists()] == []
    for volume in service_of(name).get("volumes", []):
        source, *rest = volume.split(":")
        assert rest[-1] == "ro" if source.startswith(".") else source in document()["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_its_ports_are_not_open_to_the_network(name: str) -> None:
    assert [port for port in service_of(name).get("ports", []) if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", OURS)
def test_our_variables_are_settings(name: str) -> None:
    known = {f"SCORER_{field.upper()}" for field in Settings.model_fields}
    assert set(service_of(name)["environment"]) <= known


LOGIN = DEPLOY / "compose.login.yaml"


def test_the_login_fits_the_schema_of_compose_files() -> None:
    schema = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document(LOGIN))


@pytest.mark.parametrize("name", OURS)
def test_the_login_has_its_secrets_in_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = document(LOGIN)["services"][name]
    (volume,) = added["volumes"]
    _, target, mode = volume.rpartition("}")[2].split(":")
    assert mode == "ro"
    (tmp_path / "password").write_text("s3cret")
    (tmp_path / "ca.pem").touch()
    given = {**service_of(name)["environment"], **added["environment"]}
    given = {key: value.replace(target, str(tmp_path)) for key, value in given.items() if key != "SCORER_RULES"}
    given |= {"SCORER_BOOTSTRAP_SERVERS": "kafka:9093", "SCORER_SASL_USERNAME": "scorer"}
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    settings = load_settings(None, rules=ROOT / "rules" / "b2b")
    assert (settings.sasl_password, settings.sasl_password_file) == (None, tmp_path / "password")


def test_workers_have_names_of_their_own_that_last() -> None:
    workers = [name for name in SERVICES if name.startswith("worker-")]
    assert [service_of(name)["environment"]["SCORER_INSTANCE"] for name in workers] == workers


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_nothing_that_they_need_not(name: str) -> None:
    service = service_of(name)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service, "the image says which"


def test_a_stopping_worker_has_the_time_that_it_may_take() -> None:
    drain = Settings.model_fields["shutdown_timeout_s"].default
    for name in OURS[1:]:
        assert float(service_of(name)["stop_grace_period"].removesuffix("s")) > 2 * drain


def test_its_health_check_is_that_of_the_image_for_readiness() -> None:
    of_image = json.loads(only(stages()[-1], "HEALTHCHECK").text.partition("CMD ")[2])
    for name in OURS[1:]:
        assert service_of(name)["healthcheck"]["test"] == ["CMD", *of_image[:-1], "ready"]


def test_prometheus_scrapes_all_workers() -> None:
    targets = json.loads((DEPLOY / "prometheus" / "targets" / "lead-scorer.json").read_text())
    workers = [name for name in SERVICES if name.startswith("worker-")]
    assert targets[0]["targets"] == [f"{name}:8080" for name in workers]


def test_workers_start_after_the_topics_and_the_topics_after_kafka() -> None:
    for name in OURS[1:]:
        assert service_of(name)["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
    assert service_of("topics")["depends_on"] == {"kafka": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", OURS[1:])
def test_workers_have_the_limits_that_the_page_names(name: str) -> None:
    worker = service_of(name)
    page = (ROOT / "docs" / "deploy.md").read_text()
    nofile = re.findall(r"^\| `nofile` \| (\d+) \|", page, re.MULTILINE)
    assert [str(worker["ulimits"]["nofile"][each]) for each in ("soft", "hard")] == nofile * 2
    assert f"gives a worker {worker['mem_limit'].removesuffix('g')} GB" in page
    assert worker["init"] is True, "a SIGTERM in the first second is lost without it"
    assert worker["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", OURS[1:])
def test_workers_see_the_folder_of_the_rules(name: str) -> None:
    """A file that is replaced would stay the old one in its mount."""
    rules = mounted(name)[service_of(name)["environment"]["SCORER_RULES"]]
    assert rules == ROOT / "rules" / "b2b"


def test_kafka_reads_the_file_that_the_tests_start_it_with() -> None:
    # The image of Apache Kafka takes its configuration from there.
    assert mounted("kafka") == {"/mnt/shared/config": DEPLOY / "kafka"}
    assert (DEPLOY / "kafka" / "server.properties").is_file()


def test_prometheus_reads_the_files_of_the_mixin_and_all_that_they_name() -> None:
    files, mixin = mounted("prometheus"), DEPLOY / "mixin"
    folder = Path("/etc/prometheus")
    assert files[str(folder / "prometheus.yml")] == mixin / "prometheus.yml"
    assert f"--config.file={folder}/prometheus.yml" in service_of("prometheus")["command"]
    config = yaml(mixin / "prometheus.yml")
    assert {files[str(folder / name)] for name in config["rule_files"]} == {
        mixin / name for name in ("recording-rules.yaml", "alerts.yaml")
    }
    discovered = [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
    for path in (Path(name) for each in discovered for sd in each["file_sd_configs"] for name in sd["files"]):
        assert (files[str(folder / path.parent)] / path.name).is_file()
    manager = mounted("alertmanager")["/etc/alertmanager/alertmanager.yml"]
    assert manager == mixin / "alertmanager.yml"
    assert "--config.file=/etc/alertmanager/alertmanager.yml" in service_of("alertmanager")["command"]


def test_grafana_finds_its_data_and_its_dashboards() -> None:
    files = mounted("grafana")
    provisioning = files["/etc/grafana/provisioning"]
    (provider,) = yaml(provisioning / "dashboards" / "lead-scorer.yaml")["providers"]
    assert list(files[provider["options"]["path"]].glob("*.json"))
    (source,) = yaml(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_what_watches_has_the_versions_that_the_page_says_are_tested() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for name in ("prometheus", "alertmanager"):
        version = service_of(name)["image"].removeprefix(f"prom/{name}:v").removesuffix(".0")
        assert re.search(rf"tests start Debian's .*{name.capitalize()} {re.escape(version)}\b", page)


def test_kafka_is_the_version_that_the_tests_run() -> None:
    assert service_of("kafka")["image"] == f"apache/kafka:{VERSION}"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happens when everything is started in the order of the file, with Prometheus if it is on this machine."""
    folder = tmp_path_factory.mktemp("machine")
    try:
        jars()
    except MissingError as missing:
        pytest.skip(str(missing))
    monitored = shutil.which("prometheus") is not None
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", sys.executable]
    command += ["-m", "tests.deploy.compose_machine", str(folder), *(["monitored"] if monitored else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=350, check=False)
    logs = "\n".join(f"{path.name}:\n{path.read_text('utf-8', 'replace')[-3000:]}" for path in folder.glob("*.log"))
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{logs}"
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.apache
@pytest.mark.timeout(400)
@pytest.mark.skipif(lacking() is not None, reason=str(lacking()))
def test_kafka_topics_and_workers_work_together_with_the_files_as_they_are(seen: dict[str, Any]) -> None:
    assert seen["created"].count("created ") >= 4
    assert "partitions=4" in next(line for line in seen["created"].splitlines() if "lead.activity " in line)
    assert seen["decision"] == json.loads((ROOT / "docs" / "example.jsonl").read_text().splitlines()[0])["subject"]
    assert seen["ends"] == [0, 0]


@pytest.mark.apache
@pytest.mark.timeout(400)
@pytest.mark.skipif(lacking() is not None, reason=str(lacking()))
def test_prometheus_reaches_the_workers_with_the_files_as_they_are(seen: dict[str, Any]) -> None:
    program("prometheus")
    assert seen["scraped"] == ["worker-1:8080", "worker-2:8080"]
