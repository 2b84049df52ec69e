"""The addresses for lead data as an OpenAPI 3.1 document. The service makes its routes from the same definition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from io import StringIO
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema
from ruamel.yaml import YAML

from scorer.explain.story_model import Story

BEARER: Final = "bearer"
CERTIFICATE: Final = "certificate"
_YEAR: Final = "(19[7-9][0-9]|[2-8][0-9]{3}|9000)"
_DAY: Final = "((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
_MOMENT: Final = f"^{_YEAR}-{_DAY}(T{_TIME}:[0-5][0-9](\\.[0-9]{{1,6}})?(Z|[+-]{_TIME}))?$"
_SCHEMAS: Final = "#/components/schemas"


class Answer(BaseModel):
    """Base of all answers: without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Answer):
    """Why there is no other answer."""

    error: str = Field(description="What is wrong, in a sentence.")


class NotHere(Problem):
    """The lead is not here. Another worker may hold it."""

    partition: int | None = Field(description="The partition where Kafka's own clients put the lead; null if unknown.")
    partitions: dict[str, str] = Field(description="The partitions of this worker, and what each is doing.")


class LastReload(Answer):
    """How the last look at changed rules ended."""

    ok: bool
    at: str = Field(description="RFC 3339, UTC.")
    error: str | None = Field(description="The first findings, a line each; null if `ok`.")


class RulesInEffect(Answer):
    """The rules that decide."""

    name: str
    revision: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the canonical ruleset. Equal rules have equal revisions, whatever their files."
    )
    engine: str
    loaded_at: str = Field(description="Since when they are in effect on this worker. RFC 3339, UTC.")
    last_reload: LastReload | None = Field(description="Null if nothing has changed since the start.")


class ShadowRules(Answer):
    """The candidate that judges beside them, without effect."""

    name: str
    revision: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    last_reload: LastReload | None


class Rulesets(Answer):
    """The rules of a worker."""

    rules: RulesInEffect
    shadow: ShadowRules | None = Field(description="Null without a candidate, also if it was refused.")


class Document(BaseModel):
    """A document about the service itself."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be read at a path. `answers`: the models of the content by status, besides those of every operation.
    `leads`: whether it shows what is known of a lead."""

    id: str
    path: str
    summary: str
    answers: Mapping[int, tuple[str, Sequence[type[BaseModel]]]]
    parameters: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    leads: bool = False


OPERATIONS: Final = (
    Operation(
        "lead",
        "/leads/{id}",
        "The story of a lead that this worker holds: score, rating, route, and why.",
        {
            200: ("The story, as of the latest activity of the lead or as of `at`.", [Story]),
            404: ("Nothing is known of the lead here.", [NotHere, Problem]),
            410: ("All data about the lead was erased.", [Problem]),
            503: ("The lead is not restored yet, or too many ask at once.", [NotHere, Problem]),
        },
        (
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "The id of the lead, UTF-8, percent-encoded; a slash is `%2F`.",
                "schema": {"type": "string", "minLength": 1},
            },
            {
                "name": "at",
                "in": "query",
                "description": "Look ahead: judge as of this time, if nothing happens until then. Not before the "
                "latest activity. RFC 3339, or a date for 00:00 UTC.",
                "schema": {"type": "string", "pattern": _MOMENT, "examples": ["2100-01-31T09:30:00Z", "2100-01-31"]},
            },
        ),
        leads=True,
    ),
    Operation("ruleset", "/ruleset", "The rules in effect on this worker.", {200: ("The rules.", [Rulesets])}),
    Operation(
        "asyncapi",
        "/asyncapi",
        "The topics and messages of this worker as an AsyncAPI document.",
        {200: ("The document.", [Document])},
    ),
    Operation("openapi", "/openapi.json", "This document.", {200: ("The document.", [Document])}),
)

_OF_EVERY: Final[Mapping[int, tuple[str, Sequence[type[BaseModel]]]]] = {
    400: ("The request is wrong.", [Problem]),
    401: ("No valid token.", [Problem]),
    403: ("The token may not read this, or another web page asks.", [Problem]),
    405: ("Only GET and HEAD are allowed.", [Problem]),
    421: ("The Host is not one of this service.", [Problem]),
    500: ("A fault of the service. Its log says more.", [Problem]),
    503: ("Too many ask at once.", [Problem]),
}
_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": "How to log in."},
    405: {"Allow": "The methods that are allowed."},
    503: {"Retry-After": "Seconds after which to ask again."},
}


def openapi(security: Sequence[Sequence[str]] | None = None) -> dict[str, Any]:
    """The document. `security`: alternatives, each the names of the schemes that it takes together; an empty one takes
    none. Without it, everything that a service may ask for."""
    if security is None:
        security = [[BEARER], [CERTIFICATE], [BEARER, CERTIFICATE], []]
    models = {model for operation in OPERATIONS for _, each in _answers(operation).values() for model in each}
    _, schemas = models_json_schema(
        [(model, "serialization") for model in sorted(models, key=lambda each: each.__name__)],
        ref_template=f"{_SCHEMAS}/{{model}}",
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lead scorer",
            "version": "1",
            "description": "What a worker knows of its leads, and by which rules it decides. Read only. Keys are added "
            "within a version, never renamed or removed.",
        },
        "servers": [{"url": "/"}],
        "security": [{name: [] for name in each} for each in security],
        "paths": {operation.path: {"get": _operation(operation)} for operation in OPERATIONS},
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                BEARER: {"type": "http", "scheme": "bearer", "description": "A token of SCORER_API_TOKEN_FILE."},
                CERTIFICATE: {
                    "type": "mutualTLS",
                    "description": "A certificate of a CA in SCORER_API_CLIENT_CA_FILE.",
                },
            },
        },
    }


def openapi_yaml() -> str:
    """The document as YAML."""
    stream = StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(openapi(), stream)
    return stream.getvalue()


def _answers(operation: Operation) -> Mapping[int, tuple[str, Sequence[type[BaseModel]]]]:
    return dict(sorted({**_OF_EVERY, **operation.answers}.items()))


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": operation.id, "summary": operation.summary}
    if operation.parameters:
        described["parameters"] = [dict(each) for each in operation.parameters]
    described["responses"] = {
        str(status): _response(status, description, models)
        for status, (description, models) in _answers(operation).items()
    }
    return described


def _response(status: int, description: str, models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    assert HTTPStatus(status)
    references = [{"$ref": f"{_SCHEMAS}/{model.__name__}"} for model in models]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    headers = {"Cache-Control": "Always `no-store`."} | dict(_HEADERS.get(status, {}))
    described = {
        name: {"description": text, "required": True, "schema": {"type": "string"}} for name, text in headers.items()
    }
    content = {"application/json": {"schema": schema}}
    return {"description": description, "headers": described, "content": content}
