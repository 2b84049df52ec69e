"""The topics and messages as an AsyncAPI 3.0 document, built from the defaults of the settings and the JSON Schemas.

FastStream could generate one from its handlers, but our handler takes raw records and would hide the models.
"""

from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from scorer.runtime.settings import Settings


def asyncapi() -> dict[str, Any]:
    """The document. Payloads refer to the JSON Schemas in the same directory."""
    fields = Settings.model_fields
    activity, routing, dead = (
        fields[name].default for name in ("activity_topic", "routing_topic", "dead_letter_topic")
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lead scorer",
            "version": "1",
            "description": "Reads activities of leads, publishes how each lead is rated and where it goes.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "activity": _channel(activity, "Activities of leads. CloudEvents 1.0; the key is the lead id.", "activity"),
            "routing": _channel(routing, "Routing decisions, each exactly once; the key is the lead id.", "decision"),
            "deadLetters": _channel(
                dead, "Records that are no activity: the original key, value, headers.", "deadLetter"
            ),
        },
        "operations": {
            "receiveActivity": _operation("receive", "activity"),
            "sendDecision": _operation("send", "routing"),
            "sendDeadLetter": _operation("send", "deadLetters"),
        },
        "components": {
            "messages": {
                "activity": {
                    "title": "Activity",
                    "summary": "CloudEvents structured mode; binary mode (ce_ headers, data as value) is read too.",
                    "contentType": "application/cloudevents+json",
                    "payload": {"$ref": "./activity.json"},
                    "bindings": _key("The lead id, equal to `subject`."),
                },
                "decision": {
                    "title": "Routing decision",
                    "summary": "CloudEvents binary mode.",
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
            "schemas": {"decisionHeaders": _decision_headers()},
        },
    }


def asyncapi_yaml() -> str:
    """The document as YAML."""
    stream = StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(asyncapi(), stream)
    return stream.getvalue()


def _channel(address: str, description: str, message: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _key(description: str) -> dict[str, Any]:
    return {"kafka": {"key": {"type": "string", "description": description}}}


def _decision_headers() -> dict[str, Any]:
    texts = {
        "ce_specversion": "1.0",
        "ce_id": "The decision's id.",
        "ce_source": "The service and its consumer group.",
        "ce_type": "lead.routing_decision",
        "ce_time": "The time as of which the lead was judged, RFC 3339.",
        "ce_subject": "The lead id.",
        "content-type": "application/json",
        "published-at": "Wall-clock time of publication, RFC 3339; the only part that differs on a replay.",
    }
    properties = {name: {"type": "string", "description": text} for name, text in texts.items()}
    return {"type": "object", "properties": properties, "required": list(texts)}
