"""The website of the documentation: complete, without a warning, and nothing in it comes from another server."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not installed")
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"'](?:https?:)?//|<link\b[^>]*\bhref=[\"'](?:https?:)?//"
    r"|url\([\"']?(?:https?:)?//|@import\s+[\"'](?:https?:)?//"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_every_page_is_in_it(site: Path) -> None:
    folders = ("benchmarks", "deploy", "examples", "rules")
    pages = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(page for each in folders for page in (ROOT / each).rglob("*.md")),
    ]
    # 404.html is no page of ours.
    assert len(list(site.rglob("*.html"))) == len(pages) + 1


def test_nothing_is_fetched_from_another_server(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert files
    assert {str(path): match[0] for path in files if (match := FETCHED.search(path.read_text()))} == {}


def test_lists_and_code_are_not_taken_for_text(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = re.sub(r"<pre>.*?</pre>", "", page.read_text(), flags=re.DOTALL)
        assert not re.search(r"^\s*(?:- |\d\. |```)", text, re.MULTILINE), page


def test_links_lead_to_files_of_the_site(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for target in re.findall(r"<a\b[^>]*\bhref=\"([^\"#?]+)", page.read_text()):
            if "://" not in target and not target.startswith(("/", "mailto:")):
                assert (page.parent / target).exists(), f"{page} links to {target}"
