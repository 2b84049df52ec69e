"""Records in which one key is bad, as real senders send them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from tests.senders.samples import Sample

BAD: Final[Sequence[Any]] = (
    {"name": {"deep": [1]}}, ["a", 2, None], True, -1, 2**63, 1e300, 0.5, "x" * 300, "x" * 5_000, "Atlantis",
    "not an address", "yes and no", "12 or so", "\ud800", "\u0000", "2026-13-45", "null",
)  # fmt: skip
"""Values that hardly any key accepts. Null, false and what is empty are not among them: they say that there is none."""

_ESSENTIAL: Final[Mapping[str, Sequence[str]]] = {
    "segment": (
        "messageId",
        "userId",
        "anonymousId",
        "previousId",
        "Previous ID",
        "User ID",
        "timestamp",
        "receivedAt",
        "sentAt",
        "type",
    ),
    "rudderstack": ("messageId", "userId", "anonymousId", "previousId", "timestamp", "type"),
    "hubspot": (
        "portalId",
        "subscriptionType",
        "objectId",
        "eventId",
        "occurredAt",
        "propertyName",
        "primaryObjectId",
        "mergedObjectIds",
        "newObjectId",
    ),
    "posthog": ("uuid", "distinct_id", "timestamp", "alias", "$anon_distinct_id"),
    "customerio": ("event_id", "timestamp", "id", "customer_id", "email", "recipient"),
    "mautic": ("id", "timestamp", "new_points", "new_status", "openCount"),
    "marketo": ("marketoGUID", "id", "leadId", "activityDate", "name", "requestId", "0"),
    "snowplow": (
        "3",
        "6",
        "12",
        "15",
        "17",
        "58",
        "event_id",
        "user_id",
        "domain_userid",
        "network_userid",
        "collector_tstamp",
    ),
    "sendgrid": ("sg_event_id", "email", "timestamp"),
    "brevo": ("message-id", "camp_id", "email", "event", "ts_event", "ts_epoch"),
    "sfmc": ("mid", "jobId", "batchId", "subscriberId", "eventCategoryType", "timestampUTC", "jobUrlId"),
}
"""The keys without which a record is no event: who, when, which one. By platform; columns of TSV by their number."""

Leaf = tuple[str, Callable[[Any], None]]
"""The name of a key, and what sets its value."""


def damaged(sample: Sample, random: Random) -> bytes:
    """The record with one bad value in a key that is not essential; as it is if there is no such key."""
    essential = _ESSENTIAL.get(sample.platform, ())
    match sample.path.suffix:
        case ".json":
            document = json.loads(sample.value)
            leaves = [leaf for leaf in _leaves(document) if leaf[0] not in essential]
            if leaves:
                random.choice(leaves)[1](random.choice(BAD))
            return json.dumps(document).encode()
        case ".form":
            pairs = parse_qsl(sample.value.decode(), keep_blank_values=True)
            places = [place for place, (name, _) in enumerate(pairs) if name not in essential]
            place = random.choice(places)
            pairs[place] = (pairs[place][0], _text(random))
            return urlencode(pairs).encode()
        case _:
            columns = sample.value.decode().split("\t")
            places = [place for place in range(len(columns)) if str(place) not in essential]
            columns[random.choice(places)] = _text(random)
            return "\t".join(columns).encode()


def _text(random: Random) -> str:
    return random.choice([value for value in BAD if isinstance(value, str) and value.isprintable()])


def _leaves(node: Any, name: str = "") -> Iterator[Leaf]:
    """Each value below the node that has no keys of its own. A text that is JSON is a node too. `name`: of the node."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(items):
        inner = _decoded(value)
        if isinstance(inner, dict | list) and inner:
            for inner_name, set_value in _leaves(inner, str(key) if isinstance(node, dict) else name):
                yield inner_name, _within(node, key, value, inner, set_value)
        else:
            yield str(key) if isinstance(node, dict) else name, _setting(node, key)


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _setting(node: Any, key: Any) -> Callable[[Any], None]:
    def set_value(value: Any) -> None:
        node[key] = value

    return set_value


def _within(node: Any, key: Any, value: Any, inner: Any, set_inner: Callable[[Any], None]) -> Callable[[Any], None]:
    def set_value(bad: Any) -> None:
        set_inner(bad)
        node[key] = json.dumps(inner) if isinstance(value, str) else inner

    return set_value
