"""`scorer.library` is what other programs import: complete, documented, and free of Kafka and HTTP."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scorer import library

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text()
CLIENTS = ("aiokafka", "faststream", "starlette", "uvicorn", "prometheus_client")


def test_every_name_is_there_once_and_in_order() -> None:
    assert library.__all__ == sorted(set(library.__all__), key=lambda name: (name.lower() == name, name))
    assert all(hasattr(library, name) for name in library.__all__)


def test_nothing_is_public_that_is_not_listed() -> None:
    public = {name for name in vars(library) if not name.startswith("_")}
    assert public == set(library.__all__)


@pytest.mark.parametrize("name", library.__all__)
def test_every_name_has_a_description(name: str) -> None:
    thing = getattr(library, name)
    # A union of types, such as Effect, can have none.
    assert name == "Effect" or thing.__doc__


def test_every_name_on_the_page_is_in_the_library() -> None:
    table = PAGE.partition("| To | Use |")[2].partition("\n\n")[0]
    names = re.findall(r"`(\w+)`", table)
    assert len(names) > 15
    assert set(names) <= set(library.__all__)


def test_it_imports_no_client_of_kafka_or_http() -> None:
    code = f"import sys, scorer.library; print(*(set({CLIENTS!r}) & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.split() == []


def test_the_example_prints_what_the_page_shows() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (shown, "")
