"""The rules of the fuzzed service: those of the example, and lists of who may send what."""

import shutil
from pathlib import Path

from tests.integration.service import RULES

# The generator sends from `/web`, `/crm`, `urn:x:1` and others.
LISTS = """
allowed_sources:
  erased: [/crm, "urn:*"]
  merged: [/crm, /web]
  profile.is_competitor: [/crm, "/é*"]
  bant.need: [/web, /crm, "urn:x:1", "%"]
"""


def rules_in(folder: Path) -> Path:
    """The rules, in this folder from now on."""
    rules = folder / "rules"
    if not rules.exists():
        shutil.copytree(RULES, rules)
        (rules / "senders.yaml").write_text(LISTS)
    return rules
