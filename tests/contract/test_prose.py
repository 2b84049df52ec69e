"""Documents, comments and docstrings are plain English: each phrase that readers stumble over has a better one."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

PRONOUN = "it|they|he|she|we|you|there|this|that|nobody|everybody|nothing|otherwise"
VERB = "is|are|was|were|has|have|had|does|do|can|cannot|could|may|must|would|will"
PHRASES = {
    r"\banew\b": "again",
    r"\bresc(ore[ds]?|oring)\b(?!\.py|\.md)": "re-score",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bby hand over\b": "by hand-over",
    r"\bto own none\b": "say what happens without any",
    r"\b(is|are|was|were|be) told (to|what|of|that|where|how|who|about|by)\b": "say who says it: 'the caller passes …'",
    r"\bwhoever\b": "name the person or part, or write 'the one that'",
    r"\bwhatever is there\b|\bwhat is there\b|\bwhat there is\b": "name it: 'the results', 'the available records'",
    r"\bput(s|ting)? in force\b|\bin force\b": "take effect, in effect",
    r"\bnor does\b(?! it keep)": "also does not",
    r"\bthe like\b": "name it",
    r"\bbesides which\b|\bwithal\b|\bthereof\b|\bwherein\b|\bthereby\b": "use a simple clause",
    r"\bso many\b(?= (take|cost|are kept|a))": "say the number or 'this number of'",
    r"\bfade[ds]?\b|\bfading\b": "decay",
    r"\bdear(er)?\b(?! \w+,)": "expensive",
    r"\bover again\b": "again",
    r"\bpassed by\b": "skipped",
    r"\bof (its|their|our|your) own right\b": "by itself",
    r"\bheed(s|ed)?\b": "notice, respect",
    r"\b(sat|sits) out\b": "survives",
    rf"[,:;] for ({PRONOUN}) ({VERB})\b": "because",
    rf"[,:;] for (the|a|an|its|their|our|no|every|each|all) (\w+ ){{1,3}}({VERB})\b": "because",
    rf"(^|[.:] )For ({PRONOUN}) ({VERB})\b": "because, joined to the sentence",
    r"(^|[.:;] )(Named|Shown|Meant|Kept) are\b": "subject first",
    r"\b(is|are) (not )?to be (done|read|given|started|seen)\b": "must be, can be",
}
"""Pattern (any letter case) -> what to write instead."""
COMPILED = [(re.compile(pattern, re.IGNORECASE | re.MULTILINE), better) for pattern, better in PHRASES.items()]


class Prose(NamedTuple):
    """A piece of prose and the line on which it starts."""

    line: int
    text: str


def of_document(text: str) -> Iterator[Prose]:
    """The paragraphs of a Markdown document, without code."""
    text = re.sub(r"^```.*?^```$", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]+`", "`…`", text)
    line = 1
    for paragraph in re.split(r"(\n\s*\n)", text):
        if paragraph.strip():
            yield Prose(line, re.sub(r"\n[ ]*(?![-|#*0-9])", " ", paragraph))
        line += paragraph.count("\n")


def of_module(source: str) -> Iterator[Prose]:
    """The comments and docstrings of a Python module, those of attributes too."""
    comment: list[str] = []
    start = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if comment and token.start[0] != start + len(comment):
                yield Prose(start, " ".join(comment))
                comment = []
            if not comment:
                start = token.start[0]
            comment.append(token.string.lstrip("#: "))
    if comment:
        yield Prose(start, " ".join(comment))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            text = re.sub(r"`[^`\n]+`", "`…`", node.value.value)
            yield Prose(node.lineno, re.sub(r"\n[ ]*(?!\n)", " ", text))


def complaints(path: Path, pieces: Iterator[Prose]) -> Iterator[str]:
    """`file:line: "phrase": better` for each phrase. The line is that on which the paragraph starts."""
    name = path.relative_to(ROOT)
    for piece in pieces:
        for pattern, better in COMPILED:
            for match in pattern.finditer(piece.text):
                yield f'{name}:{piece.line}: "{match[0].strip()}"; better: {better}'


def documents() -> list[Path]:
    """All Markdown files of the repository."""
    folders = ("docs", "rules", "examples", "benchmarks", "deploy")
    return [*ROOT.glob("*.md"), *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.md")))]


def modules() -> list[Path]:
    """All Python files of the repository. This one quotes the phrases."""
    folders = ("scorer", "tests", "benchmarks", "examples", "schemas")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if path != Path(__file__)]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_are_plain(path: Path) -> None:
    assert list(complaints(path, of_document(path.read_text()))) == []


def test_comments_and_docstrings_are_plain() -> None:
    named = [text for path in modules() for text in complaints(path, of_module(path.read_text()))]
    assert not named, "\n".join(named)


@pytest.mark.parametrize(
    "text",
    [
        "The lead is judged anew.",
        "Mend the rule.",
        "It waits, for the broker is slow.",
        "It waits, for it is slow.",
        "Whoever has the partition next goes on.",
        "The rules in force decide.",
    ],
)
def test_phrases_are_found(text: str) -> None:
    assert list(complaints(ROOT / "x.md", of_document(text)))
    assert list(complaints(ROOT / "x.py", of_module(f'"""{text}"""\n')))
    assert list(complaints(ROOT / "x.py", of_module(f"x = 1  # {text}\n")))


@pytest.mark.parametrize(
    "text",
    [
        "It waits for the broker.",
        "For each partition, a producer is started.",
        "Use it for tests, for demos and for every lead.",
        "`judged anew`",
        "```\nmend\n```",
    ],
)
def test_plain_text_is_left_alone(text: str) -> None:
    assert list(complaints(ROOT / "x.md", of_document(text))) == []


def test_a_phrase_over_two_lines_is_found() -> None:
    assert list(complaints(ROOT / "x.md", of_document("The lead is judged\nanew."))) != []
    assert list(complaints(ROOT / "x.py", of_module("# The lead is judged\n# anew.\n"))) != []
