"""Every line of the tables in docs/company-data.md is what the conversions do."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest
from ruamel.yaml import YAML

from scorer.domain.enrichment import COMPANY_KEYS
from scorer.domain.unfitting import Reason
from scorer.sources import company
from scorer.sources.company.converter import Converter, Unfit
from scorer.sources.company.country import country
from scorer.sources.company.email_address import company_key, email, email_kind
from scorer.sources.company.employees import employees
from scorer.sources.company.job_titles import FILE, built_in_job_titles, parse_job_titles
from scorer.sources.company.language import language
from scorer.sources.company.profile import read_profile
from scorer.sources.company.revenue import revenue

PAGE = (Path(__file__).parents[2] / "docs" / "company-data.md").read_text()
ABOUT_KEYS = {"empty", "misspelt", "missing", "undeclared"}
"""Reasons that no conversion gives, because it knows only a value."""
TITLES = built_in_job_titles()
CONVERTERS: dict[str, Converter] = {
    "email": email, "email_kind": email_kind, "company_key": company_key, "employees": employees, "revenue": revenue,
    "country": country, "language": language, "job_level": TITLES.job_level, "department": TITLES.department,
}  # fmt: skip


def examples() -> Iterator[tuple[str, str, str]]:
    """Name of the conversion, what is sent, and what the page says about it."""
    for header, body in re.findall(r"^\| Sent \|(.*)\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", PAGE, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", header)
        for line in body.splitlines():
            sent, *answers = line.strip("|").split(" | ")
            for name, answer in zip(names, answers, strict=True):
                yield name, sent.strip()[1:-1], answer.strip()


EXAMPLES = list(examples())


@pytest.mark.parametrize(("name", "sent", "answer"), EXAMPLES)
def test_the_page_says_what_is_done(name: str, sent: str, answer: str) -> None:
    assert said(CONVERTERS[name], sent) == answer


def said(convert: Converter, sent: str) -> str:
    try:
        converted = convert(sent)
    except Unfit as error:
        return f"refused: `{error.reason}`"
    return "nothing" if converted is None else f"`{converted}`"


def test_the_page_has_an_example_of_each_conversion_and_explains_each_reason() -> None:
    assert {name for name, _, _ in EXAMPLES} == CONVERTERS.keys()
    explained = re.search(r"^\| Reason \|.*\n(?:\|.*\n)+", PAGE, re.MULTILINE)
    assert explained is not None
    assert set(re.findall(r"^\| `(\w+)`", explained[0], re.MULTILINE)) == {*get_args(Reason)} - ABOUT_KEYS


def test_the_table_of_the_page_does_what_the_page_says() -> None:
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    table = parse_job_titles("job_titles.yaml", block[1].encode())
    assert (table.job_level("Fuhrparkleiterin"), table.department("Fuhrparkleiterin")) == ("director", "fleet")
    assert table.job_level("Assistant to the CEO") == "employee"


def test_the_page_names_the_departments_of_the_built_in_table() -> None:
    sentence = re.search(r"The departments of the built-in table are (.*?)\.\n", PAGE, re.DOTALL)
    assert sentence is not None
    table = YAML(typ="safe").load((files(company) / FILE).read_text())
    assert re.findall(r"`(\w+)`", sentence[1]) == [group["department"] for group in table["departments"]]


def test_the_profile_of_the_page_is_one_and_the_page_names_all_keys() -> None:
    line = re.search(r"^(acme\S+)  (\{.*\})$", PAGE, re.MULTILINE)
    assert line is not None
    record = read_profile(line[1].encode(), line[2].encode(), 0)
    assert record.profile is not None
    assert json.loads(record.profile.data) == json.loads(line[2])
    assert record.dropped == ()
    keys = re.search(r"^\| (`company`.*?) \| the field", PAGE, re.MULTILINE)
    assert keys is not None
    assert re.findall(r"`(\w+)`", keys[1]) == list(COMPANY_KEYS)
