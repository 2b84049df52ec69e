"""What the documentation shows is what happens."""

import json
import re
import shutil
from pathlib import Path

import pytest

from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.rules.loader import parse_ruleset
from scorer.ruletests.run import run_tests
from tests.unit.test_cli import scorer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "rule-language.md").read_text(), re.DOTALL)
TEST_PAGE = (ROOT / "docs" / "rule-tests.md").read_text()
TEST_BLOCKS = re.findall(r"```yaml\n(.*?)```", TEST_PAGE, re.DOTALL)
REST = "ruleset: x\nratings: {warm: 1, hot: 2}\n"
ROUTE = "\nrouting:\n  - {id: zz, route: nurture}\n"


def complete(block: str) -> str:
    if block.startswith("when:"):
        indented = re.sub("^", " " * 8, block, flags=re.MULTILINE)
        block = f"scoring:\n  c:\n    rules:\n      - id: a\n        points: 1\n{indented}"
    text = block if "ruleset:" in block else REST + block
    return text if "routing:" in text else text + ROUTE


@pytest.mark.parametrize("block", BLOCKS)
def test_rules_in_the_reference_load(block: str) -> None:
    parse_ruleset({"block.yaml": complete(block).encode()})


def test_rule_tests_in_the_reference_pass_on_its_first_ruleset() -> None:
    rules = Evaluator(parse_ruleset({"first.yaml": BLOCKS[0].encode()}), default_engine("compiled"))
    files = {f"block-{number}": block.encode() for number, block in enumerate(TEST_BLOCKS)}
    report = run_tests(files, rules)
    assert len(report.results) >= len(files) > 0
    assert [each.details for each in report.results if each.outcome != "pass"] == []


def brief(output: bytes) -> list[str]:
    lines = map(json.loads, output.splitlines())
    return [
        f"{d['decided_at']} {d['rating']} {d['route']} {d['score']['total']} {d['routing']['reason']}" for d in lines
    ]


def test_the_readmes_changed_rule_has_the_effect_it_shows(tmp_path: Path) -> None:
    shown = re.findall(r"^2026-.*$", README, re.MULTILINE)
    before = scorer("score", "--input", "docs/example.jsonl")
    rules = Path(shutil.copytree(ROOT / "rules" / "b2b", tmp_path / "b2b"))
    criteria = rules / "criteria.yaml"
    text = criteria.read_text()
    changed = text.replace("budget-planned, when: {bant.budget_status: planned}, points: 10", "@").replace(
        "@", "budget-planned, when: {bant.budget_status: planned}, points: 5"
    )
    assert changed != text
    criteria.write_text(changed)
    after = scorer("score", "--rules", str(rules), "--input", "docs/example.jsonl")
    assert brief(before.stdout) + brief(after.stdout) == shown
    check = scorer("check", str(rules)).stdout.decode().strip()
    assert check in README
    tests = scorer("test", str(rules)).stdout.decode().replace(str(rules), "rules/b2b")
    for line in tests.splitlines():
        if not line.startswith("PASS") and "passed" not in line:
            assert line in README
    criteria.write_text(changed.replace("{bant.budget_status: planned}", "{bant.budget_status: planed}"))
    assert scorer("check", str(rules)).stdout.decode().replace(str(rules), "rules/b2b").strip() in README


def readme_shows(command: str, printed: bytes) -> bool:
    """Whether the README shows the first lines of the output, without spaces at the ends of lines."""
    shown = README.partition(f"$ .venv/bin/scorer {command}")[2].partition("\n")[2].partition("\n```")[0].splitlines()
    lines = [line.rstrip() for line in printed.decode().splitlines()]
    return len(shown) > 2 and lines[: len(shown)] == shown


def test_the_readmes_explained_lead_is_explained_so() -> None:
    assert readme_shows("explain L-1042", scorer("explain", "L-1042", "--input", "docs/example.jsonl").stdout)


def test_the_readmes_backtest_has_the_result_it_shows(tmp_path: Path) -> None:
    rules = Path(shutil.copytree(ROOT / "rules" / "b2b", tmp_path / "new"))
    text = (rules / "b2b.yaml").read_text()
    assert text.count("hot: 70") == 1
    (rules / "b2b.yaml").write_text(text.replace("hot: 70", "hot: 90"))
    done = scorer("backtest", "--rules", str(rules), "--against", "rules/b2b", "--input", "docs/example.jsonl")
    assert readme_shows("backtest", done.stdout)


def test_what_rule_tests_show_is_what_the_page_on_them_shows(tmp_path: Path) -> None:
    rules = Path(shutil.copytree(ROOT / "rules" / "b2b", tmp_path / "b2b"))
    for name, before, after in (
        ("criteria.yaml", "budget_status: planned}, points: 10", "budget_status: planned}, points: 5"),
        (
            "criteria_test.yaml",
            "rating: cold\n      grade: D4\n      contributions",
            "rating: cool\n      contributions",
        ),
    ):
        text = (rules / name).read_text()
        assert text.count(before) == 1
        (rules / name).write_text(text.replace(before, after))
    shown = re.findall(r"```text\n(.*?)```", TEST_PAGE, re.DOTALL)[0].splitlines()[:-1]
    happened = scorer("test", str(rules)).stdout.decode().replace(str(rules), "rules/b2b").splitlines()
    assert [line for line in happened if line in shown] == shown
    assert [line for line in happened if line[:4] != "PASS"][:-1] == shown[1:]


PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(
            page
            for folder in ("docs", "rules", "examples", "benchmarks", "deploy")
            for page in (ROOT / folder).rglob("*.md")
        ),
    ]
)


def anchors(text: str) -> set[str]:
    """The headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if not target.startswith("http"):
            other = page.parent / target if target else page
            assert other.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(other.read_text()), f"{page.name} links to {target}#{anchor}"


def test_every_decision_record_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    records = {path.name for path in folder.glob("[0-9]*.md")}
    assert len(records) > 10
    assert set(re.findall(r"\(([0-9][^)]*\.md)\)", (folder / "README.md").read_text())) == records
