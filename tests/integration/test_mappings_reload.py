"""Changed mapping files take effect in a running service, or it goes on with those that it has."""

import json
from pathlib import Path

from tests.factory import SHOP_MAPPING, ruleset_folder
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service, service
from tests.integration.test_reload import logged


def viewed(lead: str, number: int) -> Record:
    event = {"event": "viewed", "user": lead, "id": number, "at": 1_772_000_000 + number}
    return Record(None, json.dumps({**event, "page": "/page", "address": "/address"}).encode())


def replace(mapping: Path, text: str) -> None:
    """Like editors: write a file beside it, then rename."""
    beside = mapping.with_name(".new")
    beside.write_text(text)
    beside.rename(mapping)


def wait_for(running: Service, event: str) -> dict[str, object]:
    running.wait(lambda: logged(running, event))
    (line,) = logged(running, event)
    return line


def test_a_changed_mapping_translates_the_next_records_and_a_wrong_one_changes_nothing(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    rules = ruleset_folder(tmp_path / "rules")
    mapping = rules / "sources" / "shop.yaml"
    mapping.parent.mkdir()
    mapping.write_text(SHOP_MAPPING)
    topic = f"{names.prefix}.shop"
    kafka.create({topic: 1})

    def urls(count: int) -> list[str]:
        """What the first records of the input say, by the order of the events."""
        events = [json.loads(record.value or b"") for record in kafka.read(names.activity, at_least=count)]
        return [event["data"]["url"] for event in sorted(events, key=lambda event: int(event["id"]))]

    with service(kafka, names, tmp_path, sources=f"{topic}:shop", rules=str(rules)) as running:
        assert (running.ready() or {})["mappings"] == {"last_reload": None}
        assert running.metric("scorer_mappings_last_reload_successful") == 1
        revision = (running.ready() or {})["rules"]["revision"]
        kafka.write(topic, [viewed("a", 1), viewed("b", 2)])
        assert urls(2) == ["/page"] * 2

        replace(mapping, SHOP_MAPPING.replace("url: page", "url: address"))
        line = wait_for(running, "mappings_reloaded")
        assert (line["files"], line["why"]) == ({str(mapping): "changed"}, "files")
        kafka.write(topic, [viewed("a", 3)])
        assert urls(3) == ["/page", "/page", "/address"]
        assert running.metric('scorer_mappings_reloads_total{outcome="loaded"}') == 1

        replace(mapping, SHOP_MAPPING.replace("url: page", "urll: page"))
        line = wait_for(running, "mappings_refused")
        finding = f"{mapping}:9:12: error: `lead.page_viewed` has no `urll`"
        assert any(finding in str(text) for text in line["findings"])  # type: ignore[attr-defined]
        assert running.metric("scorer_mappings_last_reload_successful") == 0
        ready = running.ready() or {}
        assert finding in ready["mappings"]["last_reload"]["error"]
        kafka.write(topic, [viewed("a", 4)])
        assert urls(4) == ["/page", "/page", "/address", "/address"]

        # Mappings are not a part of the rules.
        assert ready["rules"]["revision"] == revision
        events = {line["event"] for line in running.log()}
        assert not events & {"rules_reloaded", "rules_unchanged", "rules_refused"}
        assert running.metric('scorer_rescore_leads_total{outcome="unchanged"}') == 0
        audited = [line["event"] for line in running.audit() if "mappings" in line["event"]]
        assert audited == ["mappings_in_effect", "mappings_in_effect", "mappings_change_refused"]
        assert running.terminate() == 0
