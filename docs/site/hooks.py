"""Hooks of MkDocs: the site also has the pages of the repository outside of docs, and links work as on GitHub."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
_FENCE: Final = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
_ITEM: Final = re.compile(r"( *)(?:[-*]|\d+\.) ")


def outside() -> list[Path]:
    """The pages of the site that are not in docs."""
    folders = ("benchmarks", "deploy", "examples", "rules")
    return [*sorted(ROOT.glob("*.md")), *(page for each in folders for page in sorted((ROOT / each).rglob("*.md")))]


def uri(path: Path) -> str:
    """Where a file of the repository is in the site."""
    if path == ROOT / "README.md":
        return "index.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    # In a folder of their own, because docs/deploy.md and deploy/README.md would be one address.
    return f"repository/{path.relative_to(ROOT).as_posix()}"


def on_config(config: Any) -> Any:
    """Anchors as on GitHub; in `nav`, the pages of a folder for its name. A folder that does not exist is left out."""
    config.mdx_configs["toc"] = {"slugify": slugify, "permalink": False}
    config.nav = list(_expand(config.nav))
    return config


def _expand(entries: list[Any]) -> Iterator[Any]:
    for entry in entries:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            yield {title: list(_expand(target))}
        elif not target.endswith("/"):
            yield entry
        elif pages := _pages_of(target):
            yield {title: pages}


def _pages_of(folder: str) -> list[str]:
    pages = [uri(page) for page in [*DOCS.rglob("*.md"), *outside()]]
    return sorted((page for page in pages if page.startswith(folder)), key=lambda page: ("README" not in page, page))


def slugify(heading: str, separator: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside of docs, and the files that pages link to."""
    pages = outside()
    linked = {target for page in [*pages, *DOCS.rglob("*.md")] for target in _linked_files(page)}
    for path in sorted({*pages, *linked}):
        if not path.is_relative_to(DOCS):
            files.append(File.generated(config, uri(path), abs_src_path=str(path)))
    return files


def _linked_files(page: Path) -> Iterator[Path]:
    for part in _FENCE.split(page.read_text())[::2]:
        for _, target, _ in _LINK.findall(part):
            path = Path(os.path.normpath(page.parent / target))
            if target and not target.startswith("http") and path.is_file() and path.suffix != ".md":
                yield path


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as the site needs them, and lists as GitHub reads them."""
    source = Path(page.file.abs_src_path)
    parts = _FENCE.split(markdown)
    parts[::2] = [_lists(_LINK.sub(lambda match: _link(match, source), part)) for part in parts[::2]]
    return "".join(parts)


def _link(match: re.Match[str], source: Path) -> str:
    text, target, anchor = match[1], match[2], match[3] or ""
    if not target or "://" in target:
        return match[0]
    path = Path(os.path.normpath(source.parent / target))
    if path.is_dir():
        path /= "README.md"
        if not path.is_file():
            # A folder of the repository, which the site does not have.
            return text
    if not path.is_file():
        return match[0]
    return f"[{text}]({os.path.relpath(uri(path), Path(uri(source)).parent)}{anchor})"


def _lists(markdown: str) -> str:
    """Markdown for Python needs an empty line before a list, and four spaces for the levels below."""
    lines: list[str] = []
    levels: list[int] = []
    for line in markdown.split("\n"):
        item = _ITEM.match(line)
        indent = len(line) - len(line.lstrip())
        if item:
            while levels and indent < levels[-1]:
                levels.pop()
            if not levels or indent > levels[-1]:
                if not levels and lines and lines[-1].strip():
                    lines.append("")
                levels.append(indent)
            line = "    " * (len(levels) - 1) + line.lstrip()
        elif line.strip() and levels:
            if indent == 0 and lines and not lines[-1].strip():
                levels = []
            elif indent:
                line = "    " * len(levels) + line.lstrip()
        lines.append(line)
    return "\n".join(lines)
