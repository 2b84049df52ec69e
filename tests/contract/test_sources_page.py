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


@pytest.mark.parametrize(
    ("number", "name", "file", "language"), [(0, "shop", "events.jsonl", "json"), (1, "crm", "export.csv", "csv")]
)
def test_a_whole_mapping_does_what_is_shown(number: int, name: str, file: str, language: str, tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", SMALL_RULES)
    (rules / "sources").mkdir()
    (rules / "sources" / f"{name}.yaml").write_text(MAPPINGS[number])
    (tmp_path / file).write_text(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0])
    done = scorer("sources", "test", file, "--source", name, "--rules", str(rules), cwd=tmp_path)
    shown = re.findall(r"```text\n\$ [^\n]*\n(.*?)```", PAGE, re.DOTALL)[number]
    assert done.stdout.decode() == shown
