"""What a platform sends twice counts once, however it is wrapped the second time."""

import json
from typing import Any

from tests.senders.samples import FOLDER, outcomes, readable


def sample(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def activities(platform: str, record: Any) -> list[Any]:
    told = [readable(outcome) for outcome in outcomes(platform, json.dumps(record).encode())]
    return [activity for event in told for activity in event["activities"]]


def test_a_page_hit_that_mautic_queues_twice_is_one_activity() -> None:
    first, second = sample("mautic/page_hit.json"), sample("mautic/page_hit.json")
    second["mautic.page_on_hit"][0]["timestamp"] = "2026-01-20T10:40:00+00:00"
    assert activities("mautic", first) == activities("mautic", second)


def test_a_second_open_of_an_email_in_mautic_is_an_activity_of_its_own() -> None:
    first, second = sample("mautic/email_open.json"), sample("mautic/email_open.json")
    second["mautic.email_on_open"][0]["stat"] |= {"openCount": 3, "lastOpened": "2026-01-20T08:00:00+00:00"}
    (before,), (after,) = activities("mautic", first), activities("mautic", second)
    assert before["id"] != after["id"]
    assert before["time"] < after["time"]


def test_marketo_says_the_same_in_the_stream_in_a_push_and_in_the_rest_api() -> None:
    event = sample("marketo/stream_click_email.json")
    of_stream = event["data"]
    activity = {
        "id": 77,
        "marketoGUID": event["id"],
        "leadId": int(of_stream["leadId"]),
        **{key: of_stream[key] for key in ("activityDate", "activityTypeId", "primaryAttributeValue")},
        "attributes": [{"name": each["name"], "value": each["value"]} for each in of_stream["attributes"]],
    }
    expected = activities("marketo", event)
    assert len(expected) == 1
    for record in ([event], activity, {"requestId": "1", "result": [activity]}, {"activities": [activity]}):
        assert activities("marketo", record) == expected


def test_brevo_sends_an_event_alone_or_in_a_list() -> None:
    event = sample("brevo/marketing_click.json")
    assert activities("brevo", event) == activities("brevo", [event])
