"""The steps of deploy/Dockerfile, run as they are there, and the service in a container that has only their result."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psutil
import pytest

from scorer.demo.broker import EmbeddedBroker
from scorer.runtime.settings import load_settings
from tests.brokers.apache import ApacheKafka
from tests.brokers.authority import Authority, Issuer
from tests.brokers.jars import MissingError
from tests.brokers.secured import SASL_TLS, Acl, Secured, grant
from tests.deploy import container
from tests.deploy.container import USER, Mount
from tests.deploy.dockerfile import DOCKERFILE, ROOT, environment, only, stages
from tests.deploy.sizes import FULL
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service
from tests.integration.test_access import TICKS, documented

PREFIX: Final = Path(sys.base_prefix)
PYTHON: Final = str(Path(sys.executable).resolve())
EVENT: Final = (ROOT / "docs" / "example.jsonl").read_bytes().splitlines()[0]
REPORTED: Final = ("rules_unchanged", "rules_reloaded", "rules_refused")
needs_root = pytest.mark.skipif(container.missing() is not None, reason=str(container.missing()))


def folder(path: Path) -> Path:
    """A new folder that the user of the container may write to."""
    path.mkdir()
    os.chown(path, USER, USER)
    return path


def system() -> list[Mount]:
    """What the base image has of Python, without any program beside it if Python is not among them."""
    libraries = [Path("/usr")] if Path("/usr") == PREFIX else [PREFIX, Path("/usr/lib"), Path("/usr/lib64")]
    return [Mount(path, str(path)) for path in (*libraries, Path("/etc"), Path("/dev")) if path.is_dir()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image has as /opt: the RUN instructions make it from what is copied and nothing else."""
    base = tmp_path_factory.mktemp("image")
    source, opt, tmp = (folder(base / name) for name in ("src", "opt", "tmp"))
    root = folder(base / "root")
    mounts = [*(Mount(Path(path), path) for path in ("/usr", "/etc", "/dev")), Mount(PREFIX, str(PREFIX))]
    mounts += [Mount(source, "/src", True), Mount(opt, "/opt", True), Mount(tmp, "/tmp", True)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("SCORER_", "PYTHON"))}
    variables |= {"PYTHON": PYTHON, "HOME": "/tmp", "TMPDIR": "/tmp", "PIP_NO_CACHE_DIR": "1"}
    for instruction in stages()[0]:
        if instruction.name == "COPY":
            copy(source, instruction.words)
        elif instruction.name == "RUN":
            command = container.command(root, mounts, *instruction.words)
            done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=500, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return opt


def copy(source: Path, words: list[str]) -> None:
    """COPY, and hand everything to the user."""
    *names, target = words
    for name in names:
        goal = source / (Path(target) / Path(name).name if target.endswith("/") else target)
        goal.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, goal, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, goal)
    for path in source.rglob("*"):
        os.chown(path, USER, USER)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "rules" / "b2b", tmp_path / "rules"))


@pytest.fixture
def running(image: Path, rules: Path, tmp_path: Path) -> Iterator[tuple[Service, Kafka, Names, dict[str, str]]]:
    """The service as ENTRYPOINT and CMD start it, the broker, its topics, and the variables of the container."""
    names = Names("image")
    with EmbeddedBroker(tmp_path / "broker") as broker:
        variables = environment() | names.environment
        variables |= {"SCORER_BOOTSTRAP_SERVERS": broker.bootstrap, "SCORER_CREATE_TOPICS": "true"}
        variables |= {"SCORER_RULES": "/rules", "SCORER_HTTP_PORT": "0", "SCORER_TOPIC_PARTITIONS": "2"}
        arguments = [*only(stages()[-1], "ENTRYPOINT").words, *only(stages()[-1], "CMD").words]
        log = tmp_path / "service.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                contained(image, rules, tmp_path / "root", *arguments), env=variables, stdout=file, stderr=file
            )
        try:
            yield Service(process, log), Kafka(broker.bootstrap), names, variables
        finally:
            process.kill()
            process.wait()


def contained(image: Path, rules: Path, root: Path, *arguments: str, more: Sequence[Mount] = ()) -> list[str]:
    root.mkdir()
    mounts = [*system(), Mount(image / "scorer", "/opt/scorer"), Mount(rules, "/rules"), *more]
    return container.command(root, mounts, *arguments)


def first_process(service: Service) -> psutil.Process:
    """The first process of the container, which gets the signals."""
    (first,) = psutil.Process(service.process.pid).children()
    return first


@needs_root
@pytest.mark.timeout(900)
def test_the_service_runs_as_a_user_without_rights_and_writes_no_file(
    running: tuple[Service, Kafka, Names, dict[str, str]], image: Path, rules: Path, tmp_path: Path
) -> None:
    service, kafka, names, variables = running
    service.wait(service.ready)
    process = first_process(service)
    assert process.uids().real == process.gids().real == USER
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert re.findall(r"^(?:CapPrm|CapEff|CapAmb):\t(\w+)$", status, re.MULTILINE) == ["0" * 16] * 3
    kafka.write(names.activity, [Record(json.loads(EVENT)["subject"].encode(), EVENT)])
    assert json.loads(kafka.read(names.routing, 1)[0].value or b"")["ruleset"]["name"] == "b2b"
    # The health check of the image, by an own process as the engine starts it.
    check = only(stages()[-1], "HEALTHCHECK").text.partition("CMD ")[2]
    command = contained(image, rules, tmp_path / "check", *json.loads(check))
    variables["SCORER_HTTP_PORT"] = service.address.rpartition(":")[2]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Changed rules are vetted by a process of its own, which also has to do without a writable folder.
    criteria = rules / "criteria.yaml"
    criteria.write_text(criteria.read_text() + "\n# changed\n")
    service.wait(lambda: next((line for line in service.log() if line["event"] in REPORTED), None))
    assert "rules_refused" not in service.text()
    process.terminate()
    assert service.process.wait(60) == 0, service.text()


LOGINS: Final = {"scorer": "password-of-the-service", "operator": "password-of-the-operator"}
DELAYS: Final = [
    "0",
    pytest.param("3000", marks=pytest.mark.skipif(not FULL, reason="only with SCORER_TEST_DEPLOY=full")),
]
"""`group.initial.rebalance.delay.ms` of deploy/kafka/server.properties, and the default of Kafka."""


@needs_root
@pytest.mark.apache
@pytest.mark.timeout(900)
@pytest.mark.parametrize("delay_ms", DELAYS)
def test_the_first_start_on_kafka_with_tls_logins_and_acls(
    image: Path, rules: Path, tmp_path: Path, delay_ms: str
) -> None:
    """Users as docs/operations.md describes them: one makes the topics, the other one is the service. What the chart
    grants is the same, see test_helm.py. The time until the service was ready is printed."""
    secured = Secured(LOGINS, Authority(tmp_path / "tls"), Issuer(tmp_path / "issuer"))
    try:
        kafka = ApacheKafka(tmp_path / "kafka", extra={"group.initial.rebalance.delay.ms": delay_ms}, secured=secured)
    except MissingError as missing:
        pytest.skip(str(missing))
    names = Names("first")
    with kafka:
        authority = folder(tmp_path / "authority")
        shutil.copy(secured.certificate, authority / "ca.crt")
        settings = load_settings(
            None, rules=rules, **{name[7:].lower(): value for name, value in names.environment.items()}
        )
        for user, rows in (("operator", ["`scorer topics ensure`"]), ("scorer", ["`scorer run`", TICKS])):
            acls = [acl for row in rows for acl in documented(settings, row)]
            topics = {acl.name for acl in acls if acl.resource == "topic"}
            grant(kafka.bootstrap, user, [*acls, *(Acl("topic", topic, "DescribeConfigs") for topic in topics)])

        def environment_of(user: str) -> dict[str, str]:
            return {
                **environment(),
                **names.environment,
                "SCORER_BOOTSTRAP_SERVERS": kafka.bootstrap_of(SASL_TLS),
                "SCORER_SECURITY_PROTOCOL": "SASL_SSL",
                "SCORER_SASL_MECHANISM": "SCRAM-SHA-512",
                "SCORER_SASL_USERNAME": user,
                "SCORER_SASL_PASSWORD": LOGINS[user],
                "SCORER_TLS_CA_FILE": "/authority/ca.crt",
                "SCORER_RULES": "/rules",
                "SCORER_HTTP_PORT": "0",
            }

        def command(name: str, *arguments: str) -> list[str]:
            words = [*only(stages()[-1], "ENTRYPOINT").words, *arguments]
            return contained(image, rules, tmp_path / name, *words, more=[Mount(authority, "/authority")])

        made = subprocess.run(
            command("ensure", "topics", "ensure", "--partitions", "6"),
            env=environment_of("operator"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        with (tmp_path / "service.log").open("wb") as file:
            began = time.monotonic()
            process = subprocess.Popen(command("run", "run"), env=environment_of("scorer"), stdout=file, stderr=file)
        try:
            service = Service(process, tmp_path / "service.log")
            details = service.wait(service.ready)
            print(f"ready after {time.monotonic() - began:.1f} s, delay {delay_ms} ms")  # noqa: T201
            assert details["partitions"] == {str(number): "running" for number in range(6)}
            outside = Kafka(kafka.bootstrap)
            outside.write(names.activity, [Record(json.loads(EVENT)["subject"].encode(), EVENT)])
            assert outside.read(names.routing, 1)
            first_process(service).terminate()
            assert process.wait(60) == 0, service.text()
        finally:
            process.kill()
            process.wait()
    assert not {"kafka_denies_access", "access_incomplete"} & {line["event"] for line in service.log()}


@needs_root
def test_the_image_has_the_pinned_packages_and_no_tools(image: Path) -> None:
    installed = {
        re.sub(r"[-_.]+", "-", path.name.partition("-")[0]).lower()
        for path in (image / "scorer").glob("lib/python*/site-packages/*.dist-info")
    }
    locked = pinned("requirements-run.lock")
    assert installed - {"lead-scorer"} <= locked.keys()
    assert not installed & {"pip", "setuptools", "wheel", "noida-db", "pytest"}
    assert list((image / "scorer").rglob("*.pyc")), "without compiled modules each start compiles them again"


def test_the_sbom_in_the_image_names_what_is_installed(image: Path) -> None:
    document = json.loads((image / "scorer" / "share" / "lead-scorer" / "sbom.cdx.json").read_text())
    assert document == json.loads((ROOT / "deploy" / "sbom.cdx.json").read_text())
    named = {(each["name"], each["version"]): "properties" in each for each in document["components"]}
    found = {
        (re.sub(r"[-_.]+", "-", name).lower(), version)
        for path in (image / "scorer").glob("lib/python*/site-packages/*.dist-info")
        for name, version in [path.name.removesuffix(".dist-info").rsplit("-", 1)]
    }
    root = document["metadata"]["component"]
    assert found - {(root["name"], root["version"])} <= named.keys()
    assert {package for package, is_for_some in named.items() if not is_for_some} <= found


def pinned(name: str) -> dict[str, str]:
    """Package -> what the lock says of it: version, markers and hashes."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    return {line.partition("==")[0]: " ".join(line.split()) for line in text.splitlines()}


def test_the_image_gets_the_versions_that_the_tests_use() -> None:
    everything, ours = pinned("requirements.lock"), pinned("requirements-run.lock")
    assert ours.keys() > {"aiokafka", "msgspec", "pydantic"}
    assert {name: line for name, line in ours.items() if everything.get(name) != line} == {}


def test_the_dockerfile_is_as_its_users_expect() -> None:
    build, final = stages()
    for stage, argument in ((build, "BUILD_DIGEST"), (final, "BASE_DIGEST")):
        assert f"@${{{argument}}}" in only(stage, "FROM").text
        declared = re.findall(rf"^ARG {argument}\b(.*)$", DOCKERFILE.read_text(), re.MULTILINE)
        assert declared
        assert set(declared) == {""}, "a digest has no default"
    assert not [instruction for instruction in final if instruction.name == "RUN"]
    assert only(final, "USER").text == f"{USER}:{USER}"
    assert only(final, "STOPSIGNAL").text == "SIGTERM"
    # A worker that restores its partitions is not ready, and it is well.
    assert json.loads(only(final, "HEALTHCHECK").text.partition("CMD ")[2])[-1] == "live"
    assert environment()["SCORER_HTTP_HOST"] == "0.0.0.0", "the loopback address of a container reaches nobody"
    for name in ("ENTRYPOINT", "CMD"):
        assert only(final, name).text.startswith("["), "the shell form needs a shell"
    labels = set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", only(final, "LABEL").text))
    assert labels == {"title", "description", "version", "revision", "created", "base.name", "base.digest"}


def test_nothing_is_fetched_without_a_hash() -> None:
    commands = re.findall(
        r'^ +"\$tools/bin/pip" .*$', (ROOT / "deploy/container/build-steps.sh").read_text(), re.MULTILINE
    )
    fetching = [each for each in commands if " install " in each or " wheel " in each]
    assert len(fetching) >= 4
    assert [each for each in fetching if "--require-hashes" not in each and "--no-index" not in each] == []


def test_the_engine_gets_what_is_copied_and_nothing_else() -> None:
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {name for each in stages()[0] if each.name == "COPY" for name in each.words[:-1]}
    assert sent == copied
    assert any(fnmatch.fnmatch("scorer/x/__pycache__", line) for line in lines)
