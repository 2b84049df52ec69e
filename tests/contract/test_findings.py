"""Every finding is explained in docs/findings.md, and nothing is explained that is never found."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "findings.md").read_text()
REPORTING = {"Finding", "report", "_report", "_refused"}
CODE = re.compile(r"[a-z0-9]{2,}(-[a-z0-9]+)*")


def codes(source: str) -> Iterator[str]:
    """The constants among the first arguments, after the place, of whatever makes a finding."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and len(node.args) > 1:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in REPORTING:
                yield from (
                    each.value
                    for each in (*ast.walk(node.args[1]), *node.args[2:3])
                    if isinstance(each, ast.Constant) and isinstance(each.value, str) and CODE.fullmatch(each.value)
                )


def test_every_code_has_its_paragraph_and_every_paragraph_its_code() -> None:
    rooms = ("rules", "lint", "ruletests", "offline", "service")
    files = [path for room in rooms for path in (ROOT / "scorer" / room).rglob("*.py")]
    found = {code for path in files for code in codes(path.read_text())}
    headings = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)
    assert len(found) > 35, "the search itself finds too little"
    assert sorted(headings) == sorted(found)


def test_every_paragraph_says_what_to_do() -> None:
    for part in PAGE.split("\n### ")[1:]:
        title, _, text = part.partition("\n")
        assert len(text.partition("\n## ")[0].strip()) > 60, title
