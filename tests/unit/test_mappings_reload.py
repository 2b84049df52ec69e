"""Changed mapping files and job titles take effect in a service together, or it goes on with those that it has."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from typer.testing import CliRunner

from scorer.cli import app
from scorer.offline.source_files import read_used_files
from scorer.runtime.audit import Audit
from scorer.runtime.settings import load_settings
from scorer.service import vetting
from scorer.service.mappings_reload import MappingsAudit, MappingsReloader, mappings_fingerprint
from scorer.service.reload import Reload
from scorer.service.vetting import examine_mappings
from scorer.sources.source import Source
from tests.factory import SHOP_MAPPING, ruleset_folder

NOW = 1_772_500_000_000_000
SHOP = f"""{SHOP_MAPPING}  - name: joined
    when: {{event: joined}}
    type: lead.profile_updated
    data: {{job_level: {{path: title, as: job_level}}}}
"""
TITLES = "levels: [{level: executive, titles: [Wizard]}]\n"
WRONG = SHOP.replace("url: page", "urll: page")
SECONDS = 30.0


class Shop:
    """A ruleset with the mapping of a shop, and a reloader of it."""

    def __init__(self, folder: Path) -> None:
        self.rules = ruleset_folder(folder / "rules")
        self.mapping = self.rules / "sources" / "shop.yaml"
        self.mapping.parent.mkdir()
        self.mapping.write_text(SHOP)
        self.audit = folder / "audit.log"
        self.sources: Mapping[str, Source] = {}
        self.adopted = asyncio.Event()
        self.reports: list[Reload] = []
        self.reloader = self.reloading("segment", "shop")

    def reloading(self, *names: str) -> MappingsReloader:
        settings = load_settings(None, rules=self.rules, audit_file=self.audit)
        return MappingsReloader(
            self.rules,
            names,
            read_used_files(names, self.rules),
            self.adopt,
            self.reports.append,
            mappings_fingerprint(self.rules),
            MappingsAudit(Audit(settings), self.rules, None),
        )

    def adopt(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self.adopted.set()

    def reload(self) -> Reload:
        return asyncio.run(self.reloader.reload())

    def translated(self, event: str, **more: str) -> dict[str, object]:
        """The data of the activity that an event becomes."""
        value = json.dumps({"user": "u", "id": "1", "at": 1_772_000_000, "event": event, **more}).encode()
        (outcome,) = self.sources["shop"].outcomes(value, (), NOW, 100_000)
        data: dict[str, object] = json.loads(outcome.activities[0].value)["data"]
        return data

    def audited(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read twice without a pause, because nothing changes meanwhile."""
    monkeypatch.setattr(vetting, "_PAUSE", 0)


def test_a_changed_mapping_and_new_job_titles_take_effect_together_and_are_recorded(shop: Shop) -> None:
    shop.mapping.write_text(SHOP.replace("url: page", "url: address"))
    (shop.rules / "job_titles.yaml").write_text(TITLES)
    with capture_logs() as lines:
        assert shop.reload().outcome == "loaded"
    assert shop.translated("viewed", address="/a") == {"url": "/a"}
    assert shop.translated("joined", title="Wizard") == {"job_level": "executive"}
    (line,) = lines
    changes = {str(shop.rules / "job_titles.yaml"): "added", str(shop.mapping): "changed"}
    assert (line["event"], line["files"], line["sources"]) == ("mappings_reloaded", changes, ["segment", "shop"])
    (recorded,) = shop.audited()
    assert recorded["event"] == "mappings_in_effect"
    assert recorded["files"].keys() == changes.keys()  # type: ignore[attr-defined]
    assert [report.outcome for report in shop.reports] == ["loaded"]
    assert shop.reload().outcome == "unchanged"


@pytest.mark.parametrize(
    ("file", "text", "finding"),
    [
        ("sources/shop.yaml", WRONG, ":9:12: error: "),
        ("sources/shop.yaml", SHOP[:-20] + '"', "not valid YAML"),
        ("sources/other.yaml", WRONG, "other.yaml:9:12: error: "),
        ("sources/shop.yml", SHOP, "this file is not read"),
        ("job_titles.yaml", "levels: [{level: wizard, titles: [Wizard]}]\n", "job_titles.yaml:1:18: error: "),
    ],
)
def test_a_wrong_file_changes_nothing_and_is_told_as_scorer_check_tells_it(
    shop: Shop, file: str, text: str, finding: str
) -> None:
    shop.mapping.write_text(SHOP.replace("url: page", "url: address"))
    (shop.rules / file).write_text(text)
    with capture_logs() as lines:
        done = shop.reload()
    assert (done.outcome, shop.adopted.is_set()) == ("refused", False)
    assert finding in (done.error or "")
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("mappings_refused", "error")
    (recorded,) = shop.audited()
    assert (recorded["event"], recorded["findings"]) == ("mappings_change_refused", line["findings"])
    checked = CliRunner().invoke(app, ["check", str(shop.rules), "--format", "json"])
    told = [
        "{file}:{line}:{column}: {level}: {message}".format_map(each) for each in json.loads(checked.stdout)["findings"]
    ]
    assert line["findings"] == told


def test_a_source_whose_file_is_gone_is_refused_unless_one_is_delivered(shop: Shop) -> None:
    own = shop.rules / "sources" / "segment.yaml"
    own.write_text(SHOP)
    reloader = shop.reloading("segment")
    own.unlink()
    assert asyncio.run(reloader.reload()).outcome == "loaded"
    assert shop.sources["segment"].name == "segment"
    shop.mapping.unlink()
    done = shop.reload()
    assert done.outcome == "refused"
    assert "there is no source `shop`" in (done.error or "")


def test_a_mapping_that_the_service_does_not_use_changes_nothing(shop: Shop) -> None:
    (shop.rules / "sources" / "other.yaml").write_text(SHOP)
    assert (shop.reload().outcome, shop.adopted.is_set()) == ("unchanged", False)


def test_what_cannot_be_recorded_does_not_take_effect(shop: Shop) -> None:
    shop.audit.rename(shop.audit.with_suffix(".old"))
    shop.audit.mkdir()
    shop.mapping.write_text(SHOP.replace("url: page", "url: address"))
    done = shop.reload()
    assert (done.outcome, shop.adopted.is_set()) == ("refused", False)
    assert "cannot be written" in (done.error or "")


def in_place(shop: Shop) -> None:
    shop.mapping.write_text(SHOP.replace("url: page", "url: address"))


def renamed_over(shop: Shop) -> None:
    beside = shop.mapping.with_name(".new")
    beside.write_text(SHOP.replace("url: page", "url: address"))
    beside.rename(shop.mapping)


def folder_replaced(shop: Shop) -> None:
    """As a ConfigMap or git-sync does it: a link leads to another folder."""
    other = shop.rules.with_name("other")
    other.mkdir()
    (other / "shop.yaml").write_text(SHOP.replace("url: page", "url: address"))
    shop.mapping.parent.rename(shop.rules.with_name("former"))
    (shop.rules / "sources").symlink_to(other)


def titles_added(shop: Shop) -> None:
    (shop.rules / "job_titles.yaml").write_text(TITLES)


@pytest.mark.parametrize("change", [in_place, renamed_over, folder_replaced, titles_added])
def test_a_change_on_disk_is_noticed(shop: Shop, change: Callable[[Shop], None]) -> None:
    async def watching() -> None:
        task = asyncio.create_task(shop.reloader.run())
        await asyncio.sleep(0)
        change(shop)
        async with asyncio.timeout(SECONDS):
            await shop.adopted.wait()
        task.cancel()

    asyncio.run(watching())
    assert shop.reports[-1].outcome == "loaded"


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_give_a_report(shop: Shop, data: st.DataObject) -> None:
    text = bytearray(SHOP.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 30))
        text[start:end] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"&a ", b"*a", b"{", b"]", b"\t", b": ", b"\n"])
        )
    shop.mapping.write_bytes(text)
    report = examine_mappings(shop.rules)
    assert report.named_files() == {str(shop.mapping): text}
    for finding in report.findings:
        assert finding.startswith(str(shop.rules))
