"""The Helm chart: rendered objects, and whether Kubernetes and the operators would accept them."""

import copy
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
from ruamel.yaml import YAML

from tests.deploy.helm import helm

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "lead-scorer"
VALUE_FILES: Final = tuple(sorted((CHART / "ci").glob("*.yaml")))
NEWEST: Final = "1.37"
"""The newest version of Kubernetes whose schemas are there."""

_CRDS: Final = Path(__file__).with_name("crds")
_CUSTOM: Final = ("kafka.strimzi.io/", "keda.sh/", "monitoring.coreos.com/")

Object = dict[str, Any]


class HelmError(Exception):
    """Helm refused; the message is what it wrote."""


def run_helm(*arguments: str | Path) -> str:
    """The output of a command. It reads and writes nothing of the user's own Helm. Raises `HelmError`."""
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HELM_")}
        environment |= {f"HELM_{name}_HOME": home for name in ("CACHE", "CONFIG", "DATA")}
        command = [str(helm()), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    if done.returncode != 0:
        raise HelmError(done.stderr)
    return done.stdout


def load(text: str) -> list[Object]:
    """The objects of a YAML stream."""
    return [each for each in YAML(typ="safe", pure=True).load_all(text) if each is not None]


def value_file(name: str) -> Path:
    """One of the value files in `ci/`."""
    return CHART / "ci" / f"{name}.yaml"


def render(
    file: str | Path = "minimal", *options: str, values: Mapping[str, Any] | None = None, chart: Path = CHART
) -> list[Object]:
    """The objects for a value file, options such as `--set`, and more values. Raises `HelmError`."""
    path = value_file(file) if isinstance(file, str) else file
    with tempfile.NamedTemporaryFile("w", suffix=".json") as more:
        json.dump(values or {}, more)
        more.flush()
        fixed = ("--namespace", "sales", "--kube-version", NEWEST)
        return load(run_helm("template", "demo", chart, "-f", path, "-f", more.name, *fixed, *options))


@functools.cache
def rendered(name: str) -> list[Object]:
    """The objects for a value file alone. Do not change them."""
    return render(name)


def of_kind(objects: Sequence[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def only(objects: Sequence[Object], kind: str) -> Object:
    """The one object of this kind."""
    (found,) = of_kind(objects, kind)
    return found


def pod_specs(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """The specification of each pod, with the kind and name of the object that makes it."""
    for each in objects:
        name = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] == "Pod":
            yield name, each["spec"]
        elif "template" in each.get("spec", {}):
            yield name, each["spec"]["template"]["spec"]


def worker(objects: Sequence[Object]) -> Object:
    """The StatefulSet or the Deployment."""
    (found,) = [each for each in objects if each["kind"] in ("StatefulSet", "Deployment")]
    return found


def worker_pod(objects: Sequence[Object]) -> Object:
    spec: Object = worker(objects)["spec"]["template"]["spec"]
    return spec


def scorer_container(pod: Object) -> Object:
    """The first container, which is the service."""
    container: Object = pod["containers"][0]
    return container


def environment(container: Object) -> dict[str, str]:
    """The variables of a container. One that comes from elsewhere has the name of the field or of the key as value."""
    return {each["name"]: each.get("value") or _source(each["valueFrom"]) for each in container.get("env", [])}


def _source(reference: Object) -> str:
    ((_, each),) = reference.items()
    return str(each.get("fieldPath") or each["key"])


def check(each: Object, kubernetes: str = NEWEST) -> None:
    """Raises `jsonschema.ValidationError` or `kubernetes_validate.ValidationError` for an object that is not accepted,
    also for an unknown name in it."""
    if each["apiVersion"].startswith(_CUSTOM):
        jsonschema.Draft202012Validator(_custom_schema(each["kind"].lower(), each["apiVersion"])).validate(each)
    else:
        kubernetes_validate.validate(copy.deepcopy(each), kubernetes, strict=True)


@functools.cache
def _custom_schema(kind: str, version: str) -> Object:
    written = _CRDS / f"{kind}.schema.json"
    if written.exists():
        schema: Object = json.loads(written.read_text())
        return schema
    (definition,) = load((_CRDS / f"{kind}.yaml").read_text())
    group = definition["spec"]["group"]
    (served,) = [each for each in definition["spec"]["versions"] if f"{group}/{each['name']}" == version]
    strict: Object = _strict(served["schema"]["openAPIV3Schema"])
    return strict


def _strict(schema: Any) -> Any:
    """The schema, which then refuses unknown names as the API server does."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def copied(folder: Path) -> Path:
    """A copy of the chart that a test may change."""
    return Path(shutil.copytree(CHART, folder / "lead-scorer"))
