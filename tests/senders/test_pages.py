"""The page of a platform tells what its mapping does."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

import scorer.sources
from tests.senders.samples import platforms

PAGES: Final = Path(__file__).parents[2] / "docs" / "senders"
MAPPINGS: Final = Path(scorer.sources.__file__).parent / "platforms"
OVERVIEW: Final = (PAGES / "README.md").read_text()


def types_in(node: Any) -> set[str]:
    """The activity types of a mapping; of those that events name themselves, the prefix."""
    match node:
        case {"prefix": str(prefix), "path": _} if prefix.startswith("lead."):
            return {prefix}
        case dict():
            found = {node["type"]} if str(node.get("type")).startswith("lead.") else set()
            return found.union(*map(types_in, node.values()))
        case list():
            return set().union(*map(types_in, node))
    return set()


@pytest.mark.parametrize("platform", platforms())
def test_the_page_names_every_activity_of_the_mapping(platform: str) -> None:
    page = (PAGES / f"{platform}.md").read_text()
    named = set(re.findall(r"`(lead\.[a-z0-9_.]+)`", page))
    assert types_in(YAML(typ="safe").load(MAPPINGS / f"{platform}.yaml")) <= named


@pytest.mark.parametrize("platform", platforms())
def test_the_overview_names_the_source_and_links_its_page(platform: str) -> None:
    assert f"| `{platform}` |" in OVERVIEW
    assert f"({platform}.md)" in OVERVIEW
