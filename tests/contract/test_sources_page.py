"""The mapping files that docs/sources.md shows are read, and do what it says."""

import re
from pathlib import Path

import pytest

from scorer.offline.source_files import parsed_source
from tests.factory import SMALL_RULES, ruleset_folder
from tests.unit.test_cli import ROOT, scorer

PAGE = (ROOT / "docs" / "sources.md").read_text()
MAPPINGS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
REST = {"description": "d", "lead": "l", "id": "i", "time": "t", "kinds": "[{name: k, ignore: x}]"}


@pytest.mark.parametrize("block", MAPPINGS)
def test_each_part_of_a_mapping_is_read(block: str) -> None:
    missing = {} if "extends:" in block else {key: text for key, text in REST.items() if f"{key}:" not in block}
    content = block + "".join(f"{key}: {text}\n" for key, text in missing.items())
    parsed_source(Path("block.yaml"), content.encode(), None)


def test_the_first_mapping_does_what_is_shown(tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", SMALL_RULES)
    (rules / "sources").mkdir()
    (rules / "sources" / "shop.yaml").write_text(MAPPINGS[0])
    records = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "events.jsonl").write_text(records)
    done = scorer("sources", "test", "events.jsonl", "--source", "shop", "--rules", str(rules), cwd=tmp_path)
    shown = re.findall(r"```text\n\$ [^\n]*\n(.*?)```", PAGE, re.DOTALL)[0]
    assert done.stdout.decode() == shown
