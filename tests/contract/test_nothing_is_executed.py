"""Nothing that arrives is executed: no code from text, no objects from bytes, no shell, no page without escapes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALLS = {"eval", "exec", "compile", "__import__"}
MODULES = {"pickle", "marshal", "shelve", "dill", "code", "runpy"}
ATTRIBUTES = {
    "os.system",
    "os.popen",
    "asyncio.create_subprocess_shell",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
}


def executing(source: str) -> Iterator[str]:
    """`line: what` for each place of a module that could execute what it was given."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = [module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            yield from (f"{node.lineno}: imports {name}" for name in names if name in MODULES)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (name := f"{node.value.id}.{node.attr}") in ATTRIBUTES:
                yield f"{node.lineno}: {name}"
        elif isinstance(node, ast.Call):
            yield from calling(node)


def calling(node: ast.Call) -> Iterator[str]:
    """The same for one call."""
    called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    # An argument that is no constant is taken for the dangerous value.
    given = {each.arg: getattr(each.value, "value", None) for each in node.keywords}
    if isinstance(node.func, ast.Name) and called in CALLS:
        yield f"{node.lineno}: {called}"
    if given.get("shell", False) is not False:
        yield f"{node.lineno}: {called} with a shell"
    if called == "Environment" and given.get("autoescape") is not True:
        yield f"{node.lineno}: {called} without autoescape"
    if called == "YAML" and given.get("typ", "rt") not in ("safe", "rt"):
        yield f"{node.lineno}: YAML that may make objects"


def test_nothing_of_the_service_executes_what_it_is_given() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "scorer").rglob("*.py")
        if (lines := list(executing(path.read_text())))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "exec(text)",
        "import pickle",
        "from marshal import loads",
        "import os\nos.system(text)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=wanted)",
        "asyncio.create_subprocess_shell(text)",
        "jinja2.Environment(loader=loader)",
        "YAML(typ='unsafe')",
    ],
)
def test_such_a_place_is_found(source: str) -> None:
    assert len(list(executing(source))) == 1


@pytest.mark.parametrize(
    "source", ["re.compile(text)", "subprocess.run([text])", "table.compile()", "YAML(typ='safe', pure=True)", "YAML()"]
)
def test_a_harmless_one_is_not(source: str) -> None:
    assert list(executing(source)) == []
