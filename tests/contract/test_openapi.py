"""The OpenAPI document: it is complete in itself, and says of a time no more than the service takes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from scorer.contracts.asyncapi import asyncapi
from scorer.contracts.openapi import BEARER, CERTIFICATE, OPERATIONS, openapi
from scorer.explain.story import parse_time
from scorer.runtime.settings import Settings

DOCUMENT = openapi()
OWN_TOPICS = Settings(
    _env_file=None,
    activity_topic="own.activity",
    routing_topic="own.routing",
    sources="crm.events:hubspot,web.events:segment",
)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def found(document: Any, reference: str) -> Any:
    assert reference.startswith("#/"), reference
    for name in reference[2:].split("/"):
        document = document[name]
    return document


@pytest.mark.parametrize("document", [DOCUMENT, asyncapi(OWN_TOPICS, bundled=True)], ids=["openapi", "asyncapi"])
def test_a_document_that_is_served_refers_only_to_itself(document: Any) -> None:
    seen = list(references(document))
    assert len(seen) > 10
    for reference in seen:
        assert found(document, reference) is not None
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_document_of_the_topics_has_those_of_the_service() -> None:
    channels = asyncapi(OWN_TOPICS, bundled=True)["channels"]
    known = {"own.activity", "own.routing", "lead.activity.dlq", "crm.events", "web.events"}
    assert {channel["address"] for channel in channels.values()} == known


def test_every_operation_has_the_answers_that_any_request_may_get() -> None:
    assert list(DOCUMENT["paths"]) == [operation.path for operation in OPERATIONS]
    for path in DOCUMENT["paths"].values():
        assert {"200", "400", "401", "403", "405", "421", "500", "503"} <= set(path["get"]["responses"])
        for response in path["get"]["responses"].values():
            assert list(response["content"]) == ["application/json"]


def test_what_a_service_serves_differs_only_in_the_login() -> None:
    served = openapi([[BEARER, CERTIFICATE]])
    assert served["security"] == [{BEARER: [], CERTIFICATE: []}]
    assert {**served, "security": None} == {**DOCUMENT, "security": None}
    assert set(served["components"]["securitySchemes"]) == {BEARER, CERTIFICATE}


@settings(database=None)
@given(st.data())
def test_every_time_that_the_document_allows_is_one(data: st.DataObject) -> None:
    _, at = DOCUMENT["paths"]["/leads/{id}"]["get"]["parameters"]
    pattern = re.compile(at["schema"]["pattern"].removesuffix("$") + r"\Z", re.ASCII)
    parse_time(data.draw(st.from_regex(pattern)))
    for example in at["schema"]["examples"]:
        assert pattern.match(example)
