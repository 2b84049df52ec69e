"""The alerts, recording rules, dashboards and runbooks fit each other and the metrics of the service."""

import json
import re
import subprocess
from collections import Counter, defaultdict
from functools import cache
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from prometheus_client.parser import text_string_to_metric_families

from scorer.cli import app
from scorer.domain.activity import PAYLOADS
from scorer.domain.lead import Lead
from scorer.domain.lifecycle import STATUSES, is_usual
from scorer.domain.unfitting import Reason
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.figures.figures import Figures
from scorer.figures.gauges import gauges
from scorer.rules.loader import parse_ruleset
from scorer.runtime.company_metrics import CompanyMetrics
from scorer.runtime.metrics import (
    ASSESS_BUCKETS,
    KEY_FIGURES,
    LATENCY_BUCKETS,
    MAX_CUSTOM_TYPES,
    MAX_STAGES,
    RESPONSE_BUCKETS,
    BatchFigures,
    Metrics,
)
from scorer.runtime.source_metrics import SourceFigures
from scorer.sources.cloudevents import parse_record
from tests.deploy.mixin import (
    RUNBOOKS,
    Query,
    alerts,
    dashboards,
    document,
    panel_queries,
    panels,
    recorded,
    rule_queries,
    runbook_queries,
)
from tests.deploy.monitoring import MIXIN, ROOT, copy_of_mixin, faster, program, promtool
from tests.integration.activities import NOW, START, event, structured

NAMES = sorted({alert["alert"] for alert in alerts()})
TESTS = sorted((MIXIN / "tests").glob("*.yaml"))
LINK = re.compile(r"https://lead-scorer\.example/docs/runbooks/(\w+)\.md")
OUTSIDE = ("curl", "kafka-consumer-groups.sh", "kafka-configs.sh", "kafka-topics.sh", "kafka-transactions.sh")
"""Programs that the runbooks use beside `scorer`."""


def every_metric() -> Metrics:
    """Metrics in which each family has a sample."""
    metrics = Metrics()
    metrics.committed(
        BatchFigures(
            activities=Counter({"lead.page_viewed": 1}),
            decisions=Counter({("hot", "sales"): 1}),
            transitions=Counter({("warm", "hot"): 1}),
            handovers=Counter({"queue-0": 1}),
            responses=[("queue-0", 60.0)],
            escalations=Counter({("queue-0", 1): 1}),
            statuses=Counter({("new", "won", False): 1}),
            stages=Counter({("", "Open"): 1}),
            unfitting=Counter({("other", "undeclared"): 1}),
            rule_hits=Counter({("criterion-0", "rule-0"): 1}),
            timestamps=[0],
            assess_seconds=[0.1],
            shadow=Counter({("hot", "hot", "sales", "sales"): 1}),
        ),
        now=1.0,
    )
    metrics.translated(
        SourceFigures("segment", Counter({"rejected": 1}), 1, Counter({("page", "why"): 1}), Counter({("k", "why"): 1}))
    )
    metrics.sources.partitions({"running": 1})
    CompanyMetrics(metrics.registry)
    metrics.ruleset("b2b", "1", "durable", queues=["queue-0"], stages=["Open"])
    metrics.key_figures({name: {("x",) * len(labels): 1.0} for name, (_, labels) in KEY_FIGURES.items()})
    metrics.shadow("b2b", "2")
    metrics.shadow_loaded(True)
    metrics.fences(True)
    metrics.service("lead-scorer", "lead.activity")
    metrics.health("ready")
    metrics.input_partitions(6)
    metrics.memory_limit(1 << 30)
    metrics.lag(0, 0)
    metrics.stalled(0, 0)
    metrics.log_time(0, 0.0)
    metrics.partitions({"running": 1, "restoring": 0, "rejoining": 0})
    return metrics


def series(metrics: Metrics) -> list[tuple[str, dict[str, str]]]:
    """(name, labels) of all series, as Prometheus reads them."""
    families = text_string_to_metric_families(metrics.render().decode())
    return [(sample.name, sample.labels) for family in families for sample in family.samples]


def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    copy_of_mixin(tmp_path / "mixin", {"lead-scorer": ["127.0.0.1:1"]})
    for arguments in (
        ("check", "rules", str(MIXIN / "recording-rules.yaml"), str(MIXIN / "alerts.yaml")),
        ("check", "config", str(tmp_path / "mixin" / "prometheus.yml")),
    ):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    done = promtool("check", "metrics", given=every_metric().render().decode())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_alertmanager_accepts_its_configuration(tmp_path: Path) -> None:
    command = [program("amtool"), "check-config", str(MIXIN / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["alerts.yaml", "recording-rules.yaml"])
def test_the_chart_carries_the_rules_of_the_mixin(name: str) -> None:
    ours, copy = MIXIN / name, ROOT / "deploy" / "helm" / "lead-scorer" / "files" / name
    assert copy.read_text() == ours.read_text(), f"run cp {ours.relative_to(ROOT)} {copy.relative_to(ROOT)}"


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.stem))
def test_alerts_fire_and_stay_silent(path: Path) -> None:
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_of_both() -> None:
    firing, silent = set(), set()
    for path in TESTS:
        for test in document(path)["tests"]:
            expected: dict[str, list[bool]] = defaultdict(list)
            for check in test.get("alert_rule_test", []):
                expected[check["alertname"]].append(bool(check["exp_alerts"]))
            firing |= {name for name, fires in expected.items() if any(fires)}
            silent |= {name for name, fires in expected.items() if not any(fires)}
    assert firing == silent == set(NAMES)


def test_alerts_say_what_people_need() -> None:
    for alert in alerts():
        name, notes = alert["alert"], alert["annotations"]
        assert re.fullmatch(r"LeadScorer[A-Z][A-Za-z]+", name)
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert set(notes) == {"summary", "description", "runbook_url"}, name
        assert "{{" not in notes["summary"], f"{name}: the summary is the same for all"
        link = LINK.fullmatch(notes["runbook_url"])
        assert link is not None, f"{name}: {notes['runbook_url']}"
        assert link[1] == name


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(NAMES)
    index = (RUNBOOKS / "README.md").read_text()
    for alert in alerts():
        section = index.partition(f"## {alert['labels']['severity'].capitalize()}")[2].partition("\n## ")[0]
        assert f"[{alert['alert']}]({alert['alert']}.md) | {alert['annotations']['summary']} |" in section


@pytest.mark.parametrize("name", NAMES)
def test_runbooks_have_the_usual_sections(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    headings = re.findall(r"^#+ .*$", text, re.MULTILINE)
    assert headings == [f"# {name}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
    assert all(part.strip() for part in re.split(r"^#+ .*$", text, flags=re.MULTILINE)[2:])


def commands() -> list[tuple[str, str]]:
    """(page, command) for all commands in the runbooks."""
    return [
        (page.name, line)
        for page in sorted(RUNBOOKS.glob("*.md"))
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
        if not language
        for line in block.splitlines()
    ]


@pytest.mark.parametrize(("page", "line"), commands())
def test_the_commands_of_runbooks_exist(page: str, line: str) -> None:
    first, *arguments = line.split()
    if first != "scorer":
        assert first in OUTSIDE, f"{page}: {line}"
        if first == "curl":
            assert arguments[-1].removeprefix("http://$WORKER") in ("/health/ready", "/health/live", "/metrics")
        return
    command = typer.main.get_command(app)
    context = command.make_context("scorer", list(arguments))
    while isinstance(command, typer.core.TyperGroup):
        rest = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
    assert not context.args


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_dashboards_can_be_imported(name: str) -> None:
    dashboard = dashboards()[name]
    assert dashboard["uid"] == name.removesuffix(".json")
    variables = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert variables == ["datasource", "job", "group", "instance"]
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, f"{panel['title']} covers another panel"
        taken |= cells
    for panel in panels(dashboard):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for source in (panel, *panel["targets"]):
            assert source["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            # What is recorded is by job, as is what says how many workers a job has.
            assert '=~"$job"' in target["expr"], panel["title"]
            if not re.search(r"\bjob(_[a-z]+)?:", target["expr"]) and "max(count by" not in target["expr"]:
                assert '=~"$instance"' in target["expr"], panel["title"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def test_units_agree_with_names() -> None:
    wanted = {"_seconds": "s", "_bytes": "bytes"}
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                plain = re.fullmatch(r"(\w+?)\{[^}]*\}", target["expr"])
                for ending, unit in wanted.items():
                    if plain is not None and plain[1].endswith(ending):
                        assert panel["fieldConfig"]["defaults"]["unit"] == unit, f"{name}: {panel['title']}"


def test_all_queries_can_be_parsed(tmp_path: Path) -> None:
    # A rule file is the one way in which promtool parses an expression without a server.
    queries = [*panel_queries(), *runbook_queries()]
    assert len(queries) > 60
    lines = ["groups:", "  - name: queries", "    rules:"]
    for number, query in enumerate(queries):
        lines += [f"      - record: q:{number}", "        expr: |"]
        lines += [f"          {line}" for line in query.expression.splitlines()]
    (tmp_path / "queries.yaml").write_text("\n".join(lines) + "\n")
    done = promtool("check", "rules", str(tmp_path / "queries.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "query", [*rule_queries(), *panel_queries(), *runbook_queries()], ids=lambda query: query.place
)
def test_queries_name_series_that_exist(query: Query) -> None:
    metrics = every_metric()
    metrics.sources.known(["segment"])
    known = {name for name, _ in series(metrics)} | {rule["record"] for rule in recorded()} | {"up"}
    assert query.series, query.expression
    assert query.series <= known


def test_the_metrics_in_the_operations_page_are_those_of_the_service() -> None:
    text = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(scorer_[a-z_]+)", text))
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in series(every_metric())}
    assert {name for name in shown if name.startswith("scorer_")} <= named


def test_without_prometheus_the_tests_are_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match="apt-get install prometheus"):
        program("prometheus")


def test_durations_become_shorter_by_a_factor() -> None:
    assert faster("for: 5m", 30) == "for: 10000ms"
    assert faster("rate(x_total[5m]) > 60", 10) == "rate(x_total[30000ms]) > 60"
    assert faster("job:scorer_assess_seconds:mean5m + p95_5m", 10) == "job:scorer_assess_seconds:mean5m + p95_5m"


LARGE_RULES = 1000
CATEGORIES = [*({"id": f"active-{number}", "when": {"rating": "hot"}} for number in range(6)), {"id": "base"}]
ACTIONS = {f"action-{number}": {"activity": "meeting_held"} for number in range(5)}
LIFECYCLE_RULES = {
    "ruleset": "large",
    "ratings": {"warm": 30, "hot": 70},
    "targets": {"revenue": 100_000, "average_deal": 4_000, "closing_rate": "1/3"},
    "routing": [
        *({"id": f"to-{n}", "when": {"rating": "hot"}, "route": "sales", "queue": f"queue-{n}"} for n in range(10)),
        {"id": "rest", "route": "nurture"},
    ],
}
RULES_PER_CRITERION = 20


@cache
def generated(rules: int) -> Counter[tuple[str, str]]:
    """The hits of a lead that matches all rules of a generated ruleset with this number of rules."""
    lines = ["ruleset: large", "ratings: {warm: 30, hot: 70}", "scoring:"]
    for number in range(rules):
        if number % RULES_PER_CRITERION == 0:
            lines += [f"  criterion-{number // RULES_PER_CRITERION}:", "    hit_policy: sum", "    rules:"]
        lines.append(f"      - {{id: rule-{number}, when: {{profile.employees: {{gte: {number + 1}}}}}, points: 1}}")
    lines += ["routing:", "  - {id: rest, route: nurture}", ""]
    evaluator = Evaluator(parse_ruleset({"large.yaml": "\n".join(lines).encode()}), default_engine("compiled"))
    record = structured(event("L-1", 1, "lead.profile_updated", {"employees": 100_000}, START))
    activity = parse_record(record.value, record.key, record.headers, NOW)
    evaluation = evaluator.assess(Lead("L-1"), activity).evaluation
    assert evaluation is not None
    return Counter(evaluation.criteria_result.hits)


CONTRACT_FIELDS = [f"field.{number}" for number in range(80)]
"""As many as the built-in types have keys."""


def large(rules: int, queues: int = 10) -> Metrics:
    """The exposition of a worker after a million leads under this number of rules, each of which has given points."""
    metrics = every_metric()
    hits = generated(rules)
    named = [f"queue-{number}" for number in range(queues)]
    stages = [f"stage {number}" for number in range(8)]
    metrics.ruleset("large", "1", "durable", queues=named, stages=stages)
    lifecycle = {"phases": {"offer": stages[:4], "close": stages[4:]}, "categories": CATEGORIES, "actions": ACTIONS}
    ruleset = parse_ruleset({"large.yaml": json.dumps({**LIFECYCLE_RULES, "lifecycle": lifecycle}).encode()})
    leads = Figures(ruleset)
    leads.add(None, {})
    metrics.key_figures(gauges([leads], NOW))
    ratings, routes = ("hot", "warm", "cold"), ("sales", "nurture", "discard")
    pairs = [(rating, route) for rating in ratings for route in routes]
    for part in range(10):
        metrics.committed(
            BatchFigures(
                activities=Counter({f"lead.type_{number}": 1000 for number in range(200)} | dict.fromkeys(PAYLOADS, 1)),
                decisions=Counter(dict.fromkeys(pairs, 10_000)),
                transitions=Counter(
                    {(before, after): 10 for before in ratings for after in ratings if before != after}
                ),
                handovers=Counter(dict.fromkeys(named, 10_000)),
                responses=[(queue, seconds) for queue in [*named, "invented", ""] for seconds in (1.0, 1e9)],
                escalations=Counter({(queue, level): 1 for queue in named for level in range(1, 7)}),
                statuses=Counter(
                    {(before, after, is_usual(before, after)): 1 for before in STATUSES for after in STATUSES}
                ),
                stages=Counter(
                    {(before, f"{after}"): 1 for before in ["", *stages] for after in [*stages, *range(999)]}
                ),
                unfitting=Counter(dict.fromkeys(product(CONTRACT_FIELDS, get_args(Reason)), 1)),
                rule_hits=Counter(dict.fromkeys(hits, 100)),
                shadow=Counter({(live[0], other[0], live[1], other[1]): 10 for live in pairs for other in pairs}),
                timestamps=[part * 1000] * 1000,
            ),
            now=part + 1.0,
        )
    for partition in range(12):
        metrics.lag(partition, 0)
        metrics.stalled(partition, 0)
        metrics.log_time(partition, 0.0)
    return metrics


def test_the_number_of_series_depends_on_rules_and_not_on_leads() -> None:
    shown = series(large(LARGE_RULES))
    names = Counter(name for name, _ in shown)
    assert names["scorer_rule_hits_total"] == LARGE_RULES
    assert names["scorer_activities_total"] == MAX_CUSTOM_TYPES + len(PAYLOADS) + 1
    assert names["scorer_assess_seconds_bucket"] == len(ASSESS_BUCKETS) + 1
    assert names["scorer_event_to_decision_seconds_bucket"] == len(LATENCY_BUCKETS) + 1
    # Ten queues, those that are not in the rules, and none.
    assert names["scorer_first_response_seconds_bucket"] == 12 * (len(RESPONSE_BUCKETS) + 1)
    assert names["scorer_stage_transitions_total"] <= (MAX_STAGES + 2) ** 2
    assert len(set(map(str, shown))) == len(shown)
    # All leads are among the values, and none is among the labels.
    assert not [labels for _, labels in shown if any("L-" in value for value in labels.values())]
    fewer = series(large(100))
    assert len(shown) - len(fewer) == LARGE_RULES - 100


def test_the_operations_page_says_how_many_series_there_are() -> None:
    text = (ROOT / "docs" / "operations.md").read_text().partition("### How many series")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `?([^|`]+?)`?(?:\{[^|]*)? \| ([\d,]+) \|", text, re.MULTILINE))
    names = Counter(name for name, _ in series(large(LARGE_RULES)))
    scorer_series = sum(count for name, count in names.items() if name.startswith("scorer_"))
    assert int(rows["all of the service"].replace(",", "")) == scorer_series
    for name in ("scorer_rule_hits_total", "scorer_shadow_decisions_total", "scorer_activities_total"):
        assert int(rows[name].replace(",", "")) == names[name]
