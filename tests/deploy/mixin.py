"""What the files of `deploy/mixin` and `deploy/grafana` contain."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML

from tests.deploy.monitoring import MIXIN, ROOT

DASHBOARDS: Final = ROOT / "deploy" / "grafana" / "dashboards"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
CONTAINER_ONLY: Final = {"scorer_memory_limit_bytes"}
"""Series that a worker shows only where its memory is limited."""

_SERIES: Final = re.compile(r"\b(?:process_|python_|scorer_|job:|job_[a-z]+:)[a-z0-9_:]+|\bup\b(?=[{\s=])")
_CHOSEN: Final = {"$job": ".*", "$group": ".*", "$instance": ".*"}


class Query(NamedTuple):
    """An expression and the place that it is from."""

    place: str
    expression: str
    is_range: bool = True

    @property
    def series(self) -> set[str]:
        """The names of the series that it reads."""
        without_texts = re.sub(r'"[^"]*"', '""', self.expression)
        without_labels = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", without_texts)
        return set(_SERIES.findall(re.sub(r"\{[^}]*\}", "{}", without_labels)))


def document(path: Path) -> Any:
    """A YAML file as plain data."""
    return YAML(typ="safe").load(path.read_text())


def alerts() -> list[dict[str, Any]]:
    """The rules that are alerts."""
    return [rule for group in document(MIXIN / "alerts.yaml")["groups"] for rule in group["rules"]]


def recorded() -> list[dict[str, Any]]:
    """The rules that record figures."""
    return [rule for group in document(MIXIN / "recording-rules.yaml")["groups"] for rule in group["rules"]]


def rule_queries() -> list[Query]:
    """The expressions of all rules."""
    return [Query(rule.get("alert") or rule["record"], rule["expr"]) for rule in (*recorded(), *alerts())]


def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards by file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Its panels, without the rows."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def substituted(expression: str, interval: str, span: str) -> str:
    """The expression as Grafana sends it, with all jobs and workers chosen."""
    for variable, value in {"$__rate_interval": interval, "$__range": span, **_CHOSEN}.items():
        expression = expression.replace(variable, value)
    return expression


def panel_queries(interval: str = "1m", span: str = "2m") -> list[Query]:
    """The expressions of all panels, as Grafana would send them with all jobs and workers chosen."""
    found = []
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                expression = substituted(target["expr"], interval, span)
                found.append(Query(f"{name}: {panel['title']}", expression, not target.get("instant", False)))
    return found


def runbook_queries() -> list[Query]:
    """The expressions in the runbooks."""
    return [
        Query(page.name, expression.strip())
        for page in sorted(RUNBOOKS.glob("*.md"))
        for expression in re.findall(r"^```promql\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
