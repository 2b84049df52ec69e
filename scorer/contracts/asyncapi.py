"""The topics and messages as an AsyncAPI 3.0 document, built from the default settings and the JSON Schemas.

FastStream can generate a document from handlers, but our handler receives raw records, which would hide the models.
"""

from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML

from scorer.contracts.schemas import SCHEMAS, Schema
from scorer.runtime.settings import Settings
from scorer.sources.cloudevents import STRUCTURED
from scorer.sources.tick import TICK_TYPE

_PAYLOADS: Final = ("activity", "decision", "dead-letter", "company-profile")
_COMPANY_TOPIC: Final = "company.profile"
"""What the pages call the topic, which has no default."""


def asyncapi(settings: Settings | None = None, *, bundled: bool = False) -> dict[str, Any]:
    """The document, with the topics of these settings or of the default ones. Payloads refer to the JSON Schemas in the
    same directory, or to copies in the document if it is `bundled`."""
    names = ("activity_topic", "routing_topic", "dead_letter_topic")
    activity, routing, dead = (
        Settings.model_fields[name].default if settings is None else getattr(settings, name) for name in names
    )
    document = _document(activity, routing, dead)
    companies = _COMPANY_TOPIC if settings is None else settings.company_topic
    if companies is not None:
        _add_companies(document, companies)
    if settings is not None:
        _add_sources(document, settings)
    if not bundled:
        return document
    schemas = {name: _moved(SCHEMAS[name](), f"#/components/schemas/{name}") for name in _PAYLOADS}
    document["components"]["schemas"] |= schemas
    bundle: dict[str, Any] = _redirected(document)
    return bundle


def _moved(schema: Schema, place: str) -> Any:
    """A schema that is now part of a document."""
    schema = {key: value for key, value in schema.items() if key != "$schema"}
    return _replaced(schema, "#/$defs/", f"{place}/$defs/")


def _redirected(document: Any) -> Any:
    for name in _PAYLOADS:
        document = _replaced(document, f"./{name}.json", f"#/components/schemas/{name}")
    return document


def _replaced(part: Any, start: str, by: str) -> Any:
    """The part with another start of each reference that starts so."""
    if isinstance(part, list):
        return [_replaced(each, start, by) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        key: by + value.removeprefix(start)
        if key == "$ref" and isinstance(value, str) and value.startswith(start)
        else _replaced(value, start, by)
        for key, value in part.items()
    }


def _document(activity: str, routing: str, dead: str) -> dict[str, Any]:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lead scorer",
            "version": "1",
            "description": "Reads activities of leads and publishes the rating of each lead and where it goes.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "activity": _channel(
                activity,
                "Activities of leads as CloudEvents 1.0, and ticks. The key is the lead id.",
                "activity",
                "activityBatch",
                "tick",
            ),
            "routing": _channel(routing, "Routing decisions, each exactly once. The key is the lead id.", "decision"),
            "deadLetters": _channel(
                dead, "Records that are not activities, with the original key, value and headers.", "deadLetter"
            ),
        },
        "operations": {
            "receiveActivity": _operation("receive", "activity", "activity", "activityBatch", "tick"),
            "sendTick": _operation("send", "activity", "tick"),
            "sendTranslated": _operation("send", "activity", "activity"),
            "sendDecision": _operation("send", "routing"),
            "sendDeadLetter": _operation("send", "deadLetters"),
        },
        "components": {
            "messages": {
                "activity": {
                    "title": "Activity",
                    "summary": "CloudEvents in structured mode; binary mode (ce_ headers, data as value) works too. So "
                    "does the object as a JSON string in `data`, or as Base64 in `data_base64`.",
                    "contentType": "application/cloudevents+json",
                    "headers": {"$ref": "#/components/schemas/activityHeaders"},
                    "payload": {"$ref": "./activity.json"},
                    "bindings": _key("The lead id, equal to `subject`."),
                },
                "activityBatch": {
                    "title": "Batch of activities",
                    "summary": "Activities of one lead as a JSON array of CloudEvents in structured mode.",
                    "contentType": "application/cloudevents-batch+json",
                    "payload": {"type": "array", "minItems": 1, "items": {"$ref": "./activity.json"}},
                    "bindings": _key("The lead id, equal to `subject` of every event."),
                },
                "tick": {
                    "title": "Tick",
                    "summary": "Brings time into a partition without records, when time alone changes a decision: "
                    "at most one in SCORER_TICK_SECONDS, 0 for none. Other consumers ignore it. It says nothing about "
                    "the lead that it names.",
                    "contentType": STRUCTURED,
                    "payload": {
                        "type": "object",
                        "properties": {
                            "specversion": {"const": "1.0"},
                            "type": {"const": TICK_TYPE},
                            "source": {"const": "/lead-scorer"},
                            "id": {"const": "tick"},
                            "time": {"const": "0001-01-01T00:00:00Z"},
                            "subject": {"type": "string", "description": "A lead of the partition."},
                        },
                        "required": ["specversion", "type", "source", "id", "time", "subject"],
                    },
                    "bindings": _key("Equal to `subject`."),
                },
                "decision": {
                    "title": "Routing decision",
                    "summary": "CloudEvents binary mode. The payload is exactly what this release sends. Consumers "
                    "that validate use decision-tolerant.json instead, which also holds for the next releases.",
                    "contentType": "application/json",
                    "headers": {"$ref": "#/components/schemas/decisionHeaders"},
                    "payload": {"$ref": "./decision.json"},
                    "bindings": _key("The lead id."),
                },
                "deadLetter": {
                    "title": "Dead letter",
                    "contentType": "application/octet-stream",
                    "headers": {"$ref": "./dead-letter.json"},
                    "payload": {"description": "The original bytes."},
                    "bindings": _key("The original key."),
                },
            },
            "schemas": {"activityHeaders": _activity_headers(), "decisionHeaders": _decision_headers()},
        },
    }


def _add_companies(document: dict[str, Any], topic: str) -> None:
    """Add the topic of company profiles, and that the service writes them into the input."""
    document["channels"]["companies"] = _channel(
        topic, "Profiles of companies, compacted. Only with SCORER_COMPANY_TOPIC.", "companyProfile"
    )
    document["operations"]["receiveCompany"] = _operation("receive", "companies")
    document["operations"]["sendEnrichment"] = _operation("send", "activity", "activity")
    document["components"]["messages"]["companyProfile"] = {
        "title": "Profile of a company",
        "summary": "All that is known of it; without a value, nothing is. Each lead of the company gets it as an "
        "activity `lead.profile_updated` from `/lead-scorer/company-profile`.",
        "contentType": "application/json",
        "payload": {"$ref": "./company-profile.json"},
        "bindings": _key("The company key, such as example.com."),
    }


def _add_sources(document: dict[str, Any], settings: Settings) -> None:
    """Add the topics of other senders, of which only the sender knows the format."""
    for number, (topic, source) in enumerate(settings.source_topics.items()):
        name = f"source{number}"
        document["channels"][name] = _channel(
            topic,
            f"Events of another sender, which the source `{source}` translates into activities. They may be anything, "
            "as may their keys.",
            "foreignEvent",
        )
        document["operations"][f"receive{name.title()}"] = _operation("receive", name)
        document["components"]["messages"]["foreignEvent"] = {
            "title": "Event of another sender",
            "summary": "In the format of its platform; `scorer sources show NAME` prints what is read of it.",
            "payload": {"description": "The bytes of the sender."},
        }


def asyncapi_yaml() -> str:
    """The document as YAML."""
    stream = StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(asyncapi(), stream)
    return stream.getvalue()


def _channel(address: str, description: str, *messages: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
    }


def _operation(action: str, channel: str, *messages: str) -> dict[str, Any]:
    operation: dict[str, Any] = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}
    if messages:
        operation["messages"] = [{"$ref": f"#/channels/{channel}/messages/{message}"} for message in messages]
    return operation


def _key(description: str) -> dict[str, Any]:
    return {"kafka": {"key": {"type": "string", "description": description}}}


def _activity_headers() -> dict[str, Any]:
    texts = {
        "translated-from": "Of an activity that was made from an event of another sender (SCORER_SOURCES): "
        "<topic>/<partition>/<offset>, and #<index> of an event in an array.",
        "rekeyed-from": "Of an activity that came without a key (SCORER_NULL_KEYS=rekey), in the same form.",
        "replayed-from": "Of a dead letter that was sent back: its place.",
        "traceparent": "The trace of the activity (W3C Trace Context).",
        "tracestate": "What belongs to it.",
    }
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in texts.items()},
    }


def _decision_headers() -> dict[str, Any]:
    texts = {
        "ce_specversion": "1.0",
        "ce_id": "The decision's id.",
        "ce_source": "The service and its consumer group.",
        "ce_type": "lead.routing_decision",
        "ce_time": "The time as of which the lead was evaluated, RFC 3339.",
        "ce_subject": "The lead id.",
        "content-type": "application/json",
        "schema_version": "The version of the contract of decisions, as text: 1 if the decision has no key "
        "`schema_version`.",
        "published-at": "Wall-clock time of publication, RFC 3339. It differs in a replay.",
    }
    traced = {
        "traceparent": "The trace of the activity that caused it (W3C Trace Context), if it has one. It differs in a "
        "replay if the service makes spans.",
        "tracestate": "What belongs to it.",
    }
    properties = {name: {"type": "string", "description": text} for name, text in {**texts, **traced}.items()}
    return {"type": "object", "properties": properties, "required": list(texts)}
