"""The SBOM names what the image gets, and is the same whenever it is made."""

import json
from typing import Any

import pytest

from tests.supply.licences import PAGE, listed
from tests.supply.locks import DEVELOPMENT, RUN, direct, pins
from tests.supply.sbom import FILE, MARKER, complaint, sbom


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(FILE.read_text())


def test_it_names_exactly_the_packages_of_the_lock(document: Any) -> None:
    named = [
        (
            each["name"],
            each["version"],
            {one["name"]: one["value"] for one in each.get("properties", ())}.get(MARKER, ""),
        )
        for each in document["components"]
    ]
    assert sorted(named) == sorted(pins(RUN))
    assert len(named) > 30
    assert [each["purl"] for each in document["components"]] == [
        f"pkg:pypi/{name}@{version}" for name, version, _ in named
    ]


def test_it_names_the_licences_and_what_the_service_asks_for(document: Any) -> None:
    known = listed(PAGE.read_text())
    for each in document["components"]:
        (choice,) = each["licenses"]
        assert choice.get("expression", choice.get("license", {}).get("id")) == known[each["name"]][0]
    (root,) = document["dependencies"]
    assert root["ref"] == document["metadata"]["component"]["bom-ref"] == "lead-scorer"
    assert {reference.removeprefix("pkg:pypi/").partition("@")[0] for reference in root["dependsOn"]} == direct()


def test_it_is_made_from_the_lock_with_the_same_bytes() -> None:
    """Otherwise: `make sbom`."""
    made = sbom()
    assert made == FILE.read_text()
    assert not {"serialNumber", "timestamp"} & {*json.loads(made), *json.loads(made)["metadata"]}


def test_it_is_valid_cyclonedx(document: Any) -> None:
    assert complaint(json.dumps(document)) is None
    assert complaint(json.dumps(document | {"components": [{"name": "no type"}]})) is not None


def test_every_line_of_a_lock_that_is_no_hash_is_a_pin() -> None:
    for lock in (RUN, DEVELOPMENT):
        lines = [line for line in (FILE.parents[1] / lock).read_text().splitlines() if not line.startswith(" ")]
        assert len(pins(lock)) == len(lines) > 30
