"""The table of values in the README of the chart, from its schema and its defaults.

`python -m tests.deploy.values_table` writes it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

CHART: Final = Path(__file__).parents[2] / "deploy" / "helm" / "lead-scorer"
_BEGIN: Final = "<!-- values: python -m tests.deploy.values_table -->\n"
_END: Final = "<!-- end of values -->\n"


def leaves(schema: dict[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The values that can be set, with the schema of each."""
    for name, each in schema["properties"].items():
        path = f"{place}{name}"
        if each.get("properties"):
            yield from leaves(each, f"{path}.")
        else:
            yield path, each


def schema() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return document


def defaults() -> Any:
    return YAML(typ="safe", pure=True).load((CHART / "values.yaml").read_text())


def default_of(path: str, values: Any) -> Any:
    """The default of a value; None if it has none."""
    for name in path.split("."):
        if not isinstance(values, dict) or name not in values:
            return None
        values = values[name]
    return values


def table() -> str:
    values = defaults()
    lines = ["| Value | Default | Meaning |", "|---|---|---|"]
    for path, each in leaves(schema()):
        default = default_of(path, values)
        shown = "" if default in (None, "", {}, []) else f"`{json.dumps(default).strip(chr(34))}`"
        choices = f" One of {', '.join(f'`{choice}`' for choice in each['enum'])}." if "enum" in each else ""
        meaning = f"{each['description']}{choices}".replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| `{path}` | {shown} | {meaning} |")
    return "\n".join(lines) + "\n"


def page_with_table(page: str) -> str:
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    return f"{before}{begin}\n{table()}\n{end}{after}"


if __name__ == "__main__":
    readme = CHART / "README.md"
    readme.write_text(page_with_table(readme.read_text()))
