"""deploy/sbom.cdx.json: what the image has beside its base, as CycloneDX. `make sbom` writes it.

The list is that of cyclonedx-py for requirements-run.lock. Added are the licences (docs/licences.md), the markers of
packages that not every platform gets, and which packages the service asks for itself. Left out are the addresses and
hashes of the files: the lock has the hashes, and the address depends on the registry that is used. The same lock gives
the same bytes.
"""

import json
import subprocess
import sys
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.supply.licences import PAGE, listed
from tests.supply.locks import ROOT, RUN, direct, pins

FILE: Final = ROOT / "deploy" / "sbom.cdx.json"
MARKER: Final = "lead-scorer:marker"
"""The property with the environment marker of a package, as in the lock."""


def sbom() -> str:
    """The text of the file. Raises `CalledProcessError` if cyclonedx-py fails."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--no-validate"]
    command += ["--sv", "1.6", "--of", "JSON", "--pyproject", "pyproject.toml", RUN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    document = json.loads(done.stdout)
    licences, markers = listed(PAGE.read_text()), {pin.name: pin.marker for pin in pins(RUN)}
    components = [component(each, licences, markers) for each in document["components"]]
    root = document["metadata"]["component"]
    root["bom-ref"] = root["name"]
    root.pop("externalReferences", None)
    for tool in document["metadata"]["tools"]["components"]:
        tool.pop("externalReferences", None)
    references = {each["name"]: each["bom-ref"] for each in components}
    document["components"] = components
    # A package without an entry has unknown dependencies; an empty entry would say that it has none.
    wanted = sorted(references[name] for name in direct() & references.keys())
    document["dependencies"] = [{"ref": root["bom-ref"], "dependsOn": wanted}]
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def component(found: dict[str, Any], licences: dict[str, tuple[str, str]], markers: dict[str, str]) -> dict[str, Any]:
    """A package as the file has it, from what cyclonedx-py says of its line in the lock."""
    name, version = found["name"], found["version"]
    address = f"pkg:pypi/{name}@{version}"
    made: dict[str, Any] = {"type": "library", "name": name, "version": version, "purl": address, "bom-ref": address}
    if name in licences:
        licence, _ = licences[name]
        is_one = " " not in licence
        made["licenses"] = [{"license": {"id": licence}} if is_one else {"expression": licence}]
    if markers.get(name):
        made["properties"] = [{"name": MARKER, "value": markers[name]}]
    return made


def complaint(text: str) -> str | None:
    """Why the text is no CycloneDX 1.6 document; None if it is one."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return None if error is None else str(error)


if __name__ == "__main__":
    made = sbom()
    wrong = complaint(made)
    if wrong:
        sys.exit(f"error: not a valid SBOM: {wrong}")
    FILE.write_text(made)
    sys.stdout.write(f"{FILE.relative_to(ROOT)}\n")
