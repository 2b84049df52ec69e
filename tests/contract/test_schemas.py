"""The files in schemas/ match the models, accept what the service emits and refuse what it rejects."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from schemas.generate import contents
from scorer.domain.lead import Lead
from tests.factory import SMALL_RULES, activity, evaluator

ROOT = Path(__file__).parents[2]
CONTENTS = contents()


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / "schemas" / name).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_a_schema_file_matches_the_models(name: str) -> None:
    stored = ROOT / "schemas" / name
    assert stored.exists(), f"schemas/{name} is missing: run `make schemas`"
    assert stored.read_text() == CONTENTS[name], f"schemas/{name} has drifted from the models: run `make schemas`"


def test_a_decision_matches_its_schema() -> None:
    decision = evaluator().assess(Lead("lead-1"), activity("trial_started")).decision
    assert decision is not None
    validator("decision.json").validate(json.loads(decision.to_json()))


EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "web",
    "type": "lead.page_viewed",
    "time": "2026-01-05T09:30:00Z",
    "subject": "lead-1",
    "data": {"url": "/pricing"},
}


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"type": "lead.my_own", "data": {"anything": [1]}}, True),
        ({"data": {}}, False),
        ({"data": {"url": 5}}, False),
        ({"type": "contact.created"}, False),
        ({"subject": ""}, False),
        ({"specversion": "0.3"}, False),
        ({"type": "lead.profile_updated", "data": {"employees": "many"}}, False),
        ({"type": "lead.profile_updated", "data": {"custom": {"installed_base": 5}}}, True),
    ],
)
def test_the_activity_schema_accepts_good_and_refuses_bad_events(change: dict[str, Any], fits: bool) -> None:
    assert validator("activity.json").is_valid(EVENT | change) is fits


def rule_data(text: str) -> Any:
    # JSON has only text keys, as in an editor's YAML support. There, as in YAML 1.2, a date is text.
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=lambda moment: moment.isoformat()))


def test_the_ruleset_schema_accepts_rule_files_and_refuses_mistakes() -> None:
    schema = validator("ruleset.json")
    schema.validate(rule_data(SMALL_RULES))
    for mistake in (
        SMALL_RULES.replace("points: 15", "pionts: 15"),
        SMALL_RULES.replace("route: discard", "route: trash"),
        SMALL_RULES.replace("bant.budget_status: approved", "bant.budget_status: aproved"),
        SMALL_RULES.replace("{gte: 250}", "{gte: many}"),
        SMALL_RULES.replace("half_life: 10d", "half_life: ten days"),
    ):
        assert mistake != SMALL_RULES
        assert not schema.is_valid(rule_data(mistake))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "rules").glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_the_shipped_rule_files_match_the_schemas(path: Path) -> None:
    names = {"job_titles": "job-titles.json"}
    name = "rule-tests.json" if path.stem.endswith("_test") else names.get(path.stem, "ruleset.json")
    validator(name).validate(rule_data(path.read_text()))
