"""With any content of a ruleset directory, `check` ends, names a file and a position, and shows no traceback."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from scorer.cli import app
from scorer.offline.ruleset_files import rule_files
from tests.factory import SMALL_RULES

B2B = {path.name: path.read_bytes() for path in rule_files(Path(__file__).parents[2] / "rules" / "b2b")}
PLACE = re.compile(r".+:\d+:\d+: (error|warning|info)\[[a-z0-9-]+\]: .+")
# Characters with a meaning in YAML or in conditions, and bytes that are not text.
PIECES = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b": ",
        b"- ",
        b"#",
        b"'",
        b'"',
        b"\n",
        b"\n  ",
        b"\t",
        b"&a ",
        b"*a",
        b"!!x ",
        b"|",
    ),
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\xe2\x80\xa8", b"~", b"1e999", b".nan", b"0x1f", b"-0", b"? "),
    *(b"---\n", b"\\ud800", b'"\\ud800"', b"<<: ", b"any", b"not", b"all", b"1_000", b"9" * 400),
]


def check(directory: Path, *options: str) -> tuple[int, list[str]]:
    """Exit status and lines. It runs in this process, so that a failure shows the place."""
    result = CliRunner().invoke(app, ["check", str(directory), "--engine", "compiled", "--level", "info", *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout.splitlines()


def refused(directory: Path) -> list[str]:
    """The findings of a directory that must be refused."""
    status, lines = check(directory)
    assert status == 1
    findings = [line for line in lines if not line.startswith("    ")]
    assert findings
    assert all(PLACE.fullmatch(line) for line in findings), findings
    return findings


@st.composite
def mutations(draw: st.DrawFn) -> dict[str, bytes]:
    files = dict(B2B)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(files)))
        content = files[name]
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 0, 1, 2, 30, len(content)])))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=4) | st.just(content[end : end + 60]))
        files[name] = content[:start] + piece + content[end:]
    return files


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutations())
def test_changed_bytes_are_reported_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    directory = tmp_path_factory.mktemp("rules")
    for name, content in files.items():
        (directory / name).write_bytes(content)
    status, lines = check(directory)
    findings = [line for line in lines if not line.startswith(("    ", "ok: "))]
    assert all(PLACE.fullmatch(line) for line in findings), findings
    assert status == int(any(": error[" in line for line in findings))
    assert any(line.startswith("ok: ") for line in lines) is (status == 0)


def small(directory: Path) -> Path:
    (directory / "small.yaml").write_text(SMALL_RULES)
    return directory


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


MAKERS: list[Callable[[Path], object]] = [loop, dangling, device, os.mkfifo, Path.mkdir]


@pytest.mark.parametrize("make", MAKERS, ids=["loop", "dangling", "device", "pipe", "directory"])
def test_what_is_not_a_file_is_reported_without_waiting(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(small(tmp_path) / "odd.yaml")
    (line,) = refused(tmp_path)
    assert line.startswith(f"{tmp_path}/odd.yaml:1:1: error[unreadable]: cannot be read: ")
    # The same as the ruleset itself. A directory is a ruleset without rule files.
    (line,) = refused(tmp_path / "odd.yaml")
    assert f"{tmp_path}/odd.yaml:1:1: error[" in line


def test_all_unreadable_files_are_reported_at_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (small(tmp_path) / f"{name}.yaml").symlink_to("nowhere")
    assert len(refused(tmp_path)) == 2


BOMB = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 118))
ODD = {
    "empty": (b"", None),
    "zeros": (b"\x00\x01\x02" * 100, "not-yaml"),
    "binary": (bytes(range(256)) * 40, "not-utf8"),
    "10 MB": (b"#" * 10_000_000, "too-large"),
    "escapes": (b"\x1b[31mred: \x1b]0;title\x07\n", "not-yaml"),
    "surrogate": (b'fields: {a: {description: "\\ud800", type: x}}\n', "bad-value"),
    "bomb": (BOMB, "too-large"),
    "cycle": (b"description: &a {b: *a}\n", "too-deep"),
    "deep": (b"description: " + b"[" * 1_000, "too-deep"),
    "dashes": (b"- " * 60_000, "too-deep"),
    "section": (b"ruleset: again\n", "duplicate-key"),
    "id": (b"scoring:\n  d: {rules: [{id: ready, points: 1}]}\n", "duplicate-id"),
    "cut": (SMALL_RULES.encode()[:-60], "not-yaml"),
}


@pytest.mark.parametrize(("content", "code"), ODD.values(), ids=ODD.keys())
def test_odd_content_is_accepted_or_reported(content: bytes, code: str | None, tmp_path: Path) -> None:
    (small(tmp_path) / "odd.yaml").write_bytes(content)
    if code is None:
        assert check(tmp_path)[0] == 0
    else:
        findings = refused(tmp_path)
        assert any(f": error[{code}]: " in line for line in findings)
        assert all(line.isprintable() for line in findings)


def test_a_file_name_that_is_not_text_is_escaped(tmp_path: Path) -> None:
    odd = os.fsencode(small(tmp_path)) + b"/od\xffd\n\x1b[31m.yaml"
    Path(os.fsdecode(odd)).write_text("colour: red\n")
    (line,) = refused(tmp_path)
    assert line.startswith(f"{tmp_path}/od\\udcffd\\n\\x1b[31m.yaml:1:1: error[unknown-key]: unknown key `colour`")
    assert check(tmp_path, "--format", "github")[1][0].startswith("::error file=")
    assert check(tmp_path, "--format", "json")[0] == 1


def test_an_impossible_path_is_reported(tmp_path: Path) -> None:
    assert "error[unreadable]" in refused(tmp_path / ("x" * 300))[0]
    assert "error[no-files]" in refused(tmp_path / "none")[0]


def test_too_many_files_and_too_many_bytes_are_refused(tmp_path: Path) -> None:
    for n in range(300):
        (tmp_path / f"{n}.yaml").write_text("")
    assert "error[too-large]: more than the 256 rule files" in refused(tmp_path)[0]
    for n in range(300):
        (tmp_path / f"{n}.yaml").unlink()
    for n in range(3):
        (tmp_path / f"{n}.yaml").write_bytes(b"#" * 200_000)
    (line,) = refused(tmp_path)
    assert line.startswith(f"{tmp_path}/2.yaml:1:1: error[too-large]: with this file the ruleset is larger than")


def test_a_table_that_would_take_all_memory_is_refused(tmp_path: Path) -> None:
    rules = "".join(f"      - {{id: a{n}, points: 1, when: {{installed_base: {{gt: {n}}}}}}}\n" for n in range(1001))
    (small(tmp_path) / "more.yaml").write_text(f"scoring:\n  wide:\n    rules:\n{rules}")
    (line,) = refused(tmp_path)
    assert ":2:3: error[too-large]: `wide` has 1,001 comparisons of `installed_base`" in line


def test_check_ends_on_the_hardest_table_within_the_limits(tmp_path: Path) -> None:
    """The analysis stops after a fixed number of steps, so this holds on any machine."""
    rules = []
    for n in range(12):
        parts = []
        for k in range(25):
            one, two, three = (f"f{(n * a + b * k) % 60}" for a, b in ((7, 1), (11, 3), (1, 5)))
            parts.append(f"{{any: [{{{one}: true}}, {{{two}: false}}, {{{three}: true}}]}}")
        rules.append(f"      - {{id: a{n}, points: 1, when: {{all: [{', '.join(parts)}]}}}}\n")
    fields = "fields:\n  installed_base: {type: integer}\n" + "".join(f"  f{n}: {{type: boolean}}\n" for n in range(60))
    text = SMALL_RULES.replace("fields: {installed_base: {type: integer}}\n", fields)
    (tmp_path / "hard.yaml").write_text(text.replace("scoring:\n", f"scoring:\n  hard:\n    rules:\n{''.join(rules)}"))
    assert check(tmp_path)[0] == 0
