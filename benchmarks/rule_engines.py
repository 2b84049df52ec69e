"""The scorecard for other rule engines, each compiled in advance and in the fastest form that we found.

Each maker returns a function from a lead's facts (`prepare`d in advance) to the points of each criterion.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cel
import rule_engine
import zen
from durable import engine as durable

from benchmarks.scorecard import Criterion, Facts, Test, flat

Criteria = tuple[Criterion, ...]
Points = list[int]
Score = Callable[[Any], Points]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another engine: how it is built from the scorecard, and how it receives the facts of a lead."""

    name: str
    make: Callable[[Criteria], Score]
    prepare: Callable[[Facts], Any]


def _flat(facts: Facts) -> Facts:
    return {flat(name): value for name, value in facts.items()}


def _known(facts: Facts) -> Facts:
    return {flat(name): value for name, value in facts.items() if value is not None}


# --- zen-engine: one expression for the whole scorecard, and the decision tables of its own editor


def _zen_test(test: Test) -> str:
    name = test.flat
    if isinstance(test.operand, tuple):
        return "(" + " or ".join(f"{name} == '{value}'" for value in test.operand) + ")"
    if test.op == "eq":
        return f"{name} == {json.dumps(test.operand)}"
    return f"({name} != null and {name} {'>=' if test.op == 'gte' else '<'} {test.operand})"


def _chosen(criterion: Criterion, test: Callable[[Test], str], both: str) -> str:
    """The points of a criterion as an expression with ?: in the syntax that zen and CEL share."""
    when = [f" {both} ".join(map(test, rule.tests)) for rule in criterion.rules]
    if criterion.hit_policy == "sum":
        return " + ".join(f"(({c}) ? {r.points} : 0)" for c, r in zip(when, criterion.rules, strict=True))
    chain = "0"
    for condition, rule in reversed(list(zip(when, criterion.rules, strict=True))):
        chain = f"(({condition}) ? {rule.points} : {chain})"
    return chain


def _written(test: Test, either: str, both: str) -> str:
    """A test as CEL and rule-engine write it, but for their words."""
    name = test.flat
    if isinstance(test.operand, tuple):
        return "(" + f" {either} ".join(f"{name} == '{value}'" for value in test.operand) + ")"
    if test.op == "eq":
        return f"{name} == {json.dumps(test.operand)}"
    return f"({name} != null {both} {name} {'>=' if test.op == 'gte' else '<'} {test.operand})"


def _zen_expression(criteria: Criteria) -> Score:
    text = "[" + ", ".join(_chosen(criterion, _zen_test, "and") for criterion in criteria) + "]"
    evaluate = zen.compile_expression(text).evaluate
    return lambda facts: [int(points) for points in evaluate(facts)]


def _zen_cell(test: Test) -> str:
    if isinstance(test.operand, tuple):
        return " or ".join(f"$ == '{value}'" for value in test.operand)
    if test.op == "eq":
        return f"$ == {json.dumps(test.operand)}"
    return f"$ != null and $ {'>=' if test.op == 'gte' else '<'} {test.operand}"


def _zen_tables(criteria: Criteria) -> Score:
    nodes: list[dict[str, Any]] = [{"id": "in", "type": "inputNode", "name": "in"}]
    edges: list[dict[str, str]] = []
    for criterion in criteria:
        fields = list(dict.fromkeys(test.flat for rule in criterion.rules for test in rule.tests))
        rules = []
        for number, rule in enumerate(criterion.rules):
            cells = {f"i{i}": "" for i in range(len(fields))}
            cells |= {f"i{fields.index(test.flat)}": _zen_cell(test) for test in rule.tests}
            rules.append({"_id": str(number), **cells, "o": str(rule.points)})
        content = {
            "hitPolicy": "collect" if criterion.hit_policy == "sum" else "first",
            "inputs": [{"id": f"i{i}", "name": field, "field": field} for i, field in enumerate(fields)],
            "outputs": [{"id": "o", "name": "points", "field": "points"}],
            "rules": rules,
            "passThrough": False,
            "inputField": None,
            "outputPath": criterion.name,
            "executionMode": "single",
        }
        nodes.append({"id": criterion.name, "type": "decisionTableNode", "name": criterion.name, "content": content})
        edges.append({"id": f"a{criterion.name}", "type": "edge", "sourceId": "in", "targetId": criterion.name})
        edges.append({"id": f"b{criterion.name}", "type": "edge", "sourceId": criterion.name, "targetId": "out"})
    nodes.append({"id": "out", "type": "outputNode", "name": "out"})
    decision = zen.ZenEngine().create_decision(json.dumps({"nodes": nodes, "edges": edges}))
    evaluate = decision.evaluate

    def score(facts: Any) -> Points:
        result = evaluate(facts)["result"]
        points = []
        for criterion in criteria:
            hit = result.get(criterion.name)
            if criterion.hit_policy == "sum":
                points.append(sum(int(row["points"]) for row in hit or ()))
            else:
                points.append(int(hit["points"]) if hit else 0)
        return points

    return score


# --- CEL


def _cel_test(test: Test) -> str:
    return _written(test, "||", "&&")


def _cel(criteria: Criteria) -> Score:
    text = "[" + ", ".join(_chosen(criterion, _cel_test, "&&") for criterion in criteria) + "]"
    execute = cel.compile(text).execute
    return lambda facts: list(execute(facts))


# --- rule-engine


def _rule_engine_test(test: Test) -> str:
    return _written(test, "or", "and")


def _rule_engine(criteria: Criteria) -> Score:
    compiled = [
        (
            criterion.hit_policy == "sum",
            [
                (rule_engine.Rule(" and ".join(map(_rule_engine_test, rule.tests))).matches, rule.points)
                for rule in criterion.rules
            ],
        )
        for criterion in criteria
    ]
    return lambda facts: _decide(compiled, facts)


def _decide(criteria: "list[tuple[bool, list[tuple[Callable[[Any], bool], int]]]]", facts: Any) -> Points:
    totals = []
    for add, rules in criteria:
        total = 0
        for matches, points in rules:
            if matches(facts):
                total += points
                if not add:
                    break
        totals.append(total)
    return totals


# --- durable_rules as its documentation shows it: a fact is asserted, rules fire, the fact is retracted


def _durable_test(test: Test) -> dict[str, Any]:
    name = test.flat
    if isinstance(test.operand, tuple):
        return {"$or": [{name: value} for value in test.operand]}
    if test.op == "eq":
        return {name: test.operand}
    return {"$gte" if test.op == "gte" else "$lt": {name: test.operand}}


class _Host(durable.Host):  # type: ignore[misc]
    def _run(self) -> None:
        """No timer threads: they only cost it time."""


def _durable(criteria: Criteria) -> Score:
    """All rules in one ruleset: one ruleset per criterion takes more than twice as long."""
    host = _Host()
    fired: set[tuple[int, int]] = set()

    def action(number: int, index: int) -> Callable[[Any], None]:
        return lambda context: fired.add((number, index))

    rules: dict[str, dict[str, Any]] = {}
    for number, criterion in enumerate(criteria):
        for index, rule in enumerate(criterion.rules):
            tests = [_durable_test(test) for test in rule.tests]
            condition = tests[0] if len(tests) == 1 else {"$and": tests}
            rules[f"c{number}r{index}"] = {"all": [{"m": condition}], "run": action(number, index), "pri": len(rules)}
    host.register_rulesets({"scorecard": rules})
    sums = [criterion.hit_policy == "sum" for criterion in criteria]
    points = [[rule.points for rule in criterion.rules] for criterion in criteria]

    def score(facts: Any) -> Points:
        fired.clear()
        try:
            host.assert_fact("scorecard", facts)
        except durable.MessageNotHandledException:
            return [0] * len(criteria)
        host.retract_fact("scorecard", facts)
        totals: list[int | None] = [None] * len(criteria)
        for number, index in sorted(fired):
            known = totals[number]
            if known is None:
                totals[number] = points[number][index]
            elif sums[number]:
                totals[number] = known + points[number][index]
        return [total or 0 for total in totals]

    return score


# --- Python itself


def _closure(test: Test) -> Callable[[Facts], bool]:
    name, operand = test.flat, test.operand
    if test.op == "eq":
        return lambda facts: facts[name] == operand
    if isinstance(operand, tuple):
        return lambda facts: facts[name] in operand
    if test.op == "gte":
        return lambda facts: (value := facts[name]) is not None and value >= operand  # type: ignore[operator]
    return lambda facts: (value := facts[name]) is not None and value < operand  # type: ignore[operator]


def _every(tests: list[Callable[[Facts], bool]]) -> Callable[[Facts], bool]:
    if len(tests) == 1:
        return tests[0]

    def holds(facts: Facts) -> bool:
        for test in tests:  # noqa: SIM110 (a generator costs more than the tests)
            if not test(facts):
                return False
        return True

    return holds


def _closures(criteria: Criteria) -> Score:
    compiled = [
        (
            criterion.hit_policy == "sum",
            [(_every([_closure(test) for test in rule.tests]), rule.points) for rule in criterion.rules],
        )
        for criterion in criteria
    ]
    return lambda facts: _decide(compiled, facts)


def _python_test(test: Test) -> str:
    value = f"f[{test.flat!r}]"
    if test.op == "eq":
        return f"{value} == {test.operand!r}"
    if isinstance(test.operand, tuple):
        return f"{value} in {test.operand!r}"
    return f"(v := {value}) is not None and v {'>=' if test.op == 'gte' else '<'} {test.operand}"


def _generated(criteria: Criteria) -> Score:
    lines = ["def score(f):"]
    for number, criterion in enumerate(criteria):
        lines.append(f"    p{number} = 0")
        for index, rule in enumerate(criterion.rules):
            word = "elif" if index and criterion.hit_policy == "first" else "if"
            lines.append(f"    {word} {' and '.join(f'({_python_test(test)})' for test in rule.tests)}:")
            lines.append(f"        p{number} += {rule.points}")
    lines.append(f"    return [{', '.join(f'p{number}' for number in range(len(criteria)))}]")
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)  # noqa: S102 (the text comes from the scorecard above only)
    made: Score = scope["score"]
    return made


PEERS = (
    Peer("zen-engine, one expression", _zen_expression, _flat),
    Peer("zen-engine, decision tables", _zen_tables, _flat),
    Peer("CEL (common-expression-language)", _cel, _flat),
    Peer("rule-engine", _rule_engine, _flat),
    Peer("durable_rules, plain", _durable, _known),
    Peer("Python closures", _closures, _flat),
    Peer("Python, generated code", _generated, _flat),
)
