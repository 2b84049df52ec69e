"""Compares what a rule test expects with the evaluation of its lead. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scorer.domain.decision import Contribution
from scorer.domain.lead import Lead
from scorer.domain.lifecycle import STAGE_NAME, STATUSES
from scorer.domain.score import Rating, Route
from scorer.evaluation.contributions import contributions
from scorer.evaluation.results import Evaluation
from scorer.evaluation.routing import ERASED, MERGED
from scorer.rules.catalogue import Catalogue, Field, suggestion
from scorer.rules.condition import FieldType, predicate
from scorer.rules.parse_condition import parse_condition
from scorer.rules.ruleset import BEHAVIOUR, RoutingRule, Ruleset
from scorer.rules.yaml_source import Path
from scorer.ruletests.model import Expectation

RESPOND_BY = "respond_by"

Report = Callable[[Path, str, str], None]
"""Takes the path of a mistake in the test, a finding code and a sentence."""

_GRADES = tuple(f"{letter}{figure}" for letter in "ABCD" for figure in range(1, 5))
_TEXTS = ("rating", "grade", "route", "queue", "routing", "status", "stage", "category", RESPOND_BY)
_POINTS = ("score", "fit", "engagement")
_NONE = ("queue", "stage", "category", RESPOND_BY)
"""What a lead or its decision can be without."""


@dataclass(frozen=True, slots=True)
class TestedLead:
    """The lead of a test and its evaluation. `lead`: after what was decided until then. `published`: whether its last
    activity published a decision. `respond_by`: that of the last published decision."""

    lead: Lead
    evaluation: Evaluation
    published: bool
    respond_by: str | None

    @property
    def contributions(self) -> Sequence[Contribution]:
        """Every contribution to the score, strongest first."""
        return contributions(self.evaluation)


class Comparison:
    """Compares expectations with tested leads, by the ids, queues and criteria of the ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._rules = rule_ids(ruleset)
        self._catalogue = _catalogue(ruleset, self._rules)

    def differences(
        self, expected: Expectation, path: Path, tested: TestedLead, report: Report
    ) -> list[tuple[Path, str]]:
        """(path, sentence) for each difference. Mistakes in the expectation go to `report`."""
        values = _values(tested)
        return list(self._differences(expected, path, values, report))

    def _differences(
        self, expected: Expectation, path: Path, values: Mapping[str, object], report: Report
    ) -> Iterator[tuple[Path, str]]:
        for name in (*_TEXTS, *_POINTS, "escalated"):
            if name not in expected.model_fields_set:
                continue
            if name == "category" and not self._catalogue[name].choices:
                report((*path, name), "bad-value", "the ruleset has no `lifecycle.categories`")
            else:
                yield from self._compare((*path, name), name, getattr(expected, name), values, report)
        if expected.published is not None and expected.published is not values["published"]:
            wanted, was = _plain(expected.published), _plain(values["published"])
            yield (*path, "published"), f"`published` expected {wanted}, found {was}"
        for section in ("criteria", "contributions"):
            for key, wanted in getattr(expected, section).items():
                at, name = (*path, section, key), f"{section}.{key}"
                if self._known(name, at, report):
                    yield from self._compare(at, name, wanted, values, report)
        for section in ("present", "absent"):
            for index, key in enumerate(getattr(expected, section)):
                at, name = (*path, section, index), f"contributions.{key}"
                if not self._known(name, at, report):
                    continue
                if section == "present" and name not in values:
                    yield at, f"`{key}` expected to contribute, did not"
                if section == "absent" and name in values:
                    yield at, f"`{key}` expected not to contribute, contributed {values[name]}"

    def _known(self, name: str, path: Path, report: Report) -> bool:
        if name in self._catalogue:
            return True
        section, _, key = name.partition(".")
        candidates = tuple(entry.partition(".")[2] for entry in self._catalogue if entry.startswith(f"{section}."))
        if section == "criteria":
            report(path, "unknown-criterion", f"no criterion `{key}` in the ruleset{suggestion(key, candidates)}")
        else:
            report(path, "unknown-rule", f"no rule or signal `{key}` in the ruleset{suggestion(key, candidates)}")
        return False

    def _compare(
        self, path: Path, name: str, wanted: object, values: Mapping[str, object], report: Report
    ) -> Iterator[tuple[Path, str]]:
        value = values.get(name)
        shown = "nothing" if value is None else value
        if wanted is None:
            if name not in _NONE:
                report(path, "wrong-type", f"`{name}` is compared with nothing; write what is expected")
            elif value is not None:
                yield path, f"`{name}` expected nothing, found {value}"
            return
        mistaken = False

        def slip(where: Path, code: str, message: str) -> None:
            nonlocal mistaken
            mistaken = True
            report((*path, *where[1:]), code, message)

        condition = parse_condition({name: wanted}, (), self._catalogue, slip)
        if not mistaken and not predicate(condition)(values):
            yield path, f"`{name}` expected {_shown(wanted)}, found {shown}"


def rule_ids(ruleset: Ruleset) -> frozenset[str]:
    """Ids of every scoring rule and signal."""
    rules = {rule.id for criterion in ruleset.criteria for rule in criterion.rules}
    return frozenset(rules | set(ruleset.signals))


def points_found(tested: TestedLead) -> str:
    """The points of every rule and signal that contributed, on one line."""
    return ", ".join(f"{contribution.rule} {contribution.points:+}" for contribution in tested.contributions) or "none"


def _catalogue(ruleset: Ruleset, rules: frozenset[str]) -> Catalogue:
    queues = tuple(dict.fromkeys(queue for rule in ruleset.routing for queue in _queues(rule)))
    texts = {
        "rating": tuple(Rating),
        "grade": _GRADES,
        "route": tuple(Route),
        "queue": queues,
        "routing": (*(rule.id for rule in ruleset.routing), ERASED.id, MERGED.id),
        "status": STATUSES,
        "stage": (),
        "category": tuple(category.id for category in ruleset.lifecycle.categories),
        RESPOND_BY: (),
    }
    points = [
        *_POINTS,
        "escalated",
        *(f"criteria.{name}" for name in (*(criterion.name for criterion in ruleset.criteria), BEHAVIOUR)),
        # Points that limits take or add are a contribution of their own.
        *(f"contributions.{name}" for name in (*sorted(rules), "cap")),
    ]
    return {
        **{name: Field(name, FieldType.STRING, choices=choices) for name, choices in texts.items()},
        **{name: Field(name, FieldType.INTEGER) for name in points},
    }


def _queues(rule: RoutingRule) -> Iterator[str]:
    """The queues to which the rule and the escalation of its promise send leads."""
    yield from (queue for queue in (rule.queue, *(to for _, to in rule.escalate or ())) if queue is not None)


def _values(tested: TestedLead) -> dict[str, object]:
    lead, evaluation = tested.lead, tested.evaluation
    values: dict[str, object] = {
        **evaluation.outcome,
        "fit": evaluation.score.fit,
        "engagement": evaluation.score.engagement,
        "published": tested.published,
        "status": lead.status,
        "stage": lead.value(STAGE_NAME),
        "category": lead.known_lifecycle().category,
        "escalated": 0 if lead.promise is None else lead.promise.level,
        RESPOND_BY: tested.respond_by,
        f"criteria.{BEHAVIOUR}": evaluation.score.engagement,
    }
    values |= {f"criteria.{rated.criterion.name}": rated.points for rated in evaluation.criteria}
    for contribution in tested.contributions:
        name = f"contributions.{contribution.rule}"
        # Only `cap` can occur more than once: once for each criterion that has limits.
        before = values.get(name, 0)
        values[name] = contribution.points + (before if isinstance(before, int) else 0)
    return values


def _shown(wanted: object) -> str:
    if isinstance(wanted, Mapping):
        return " and ".join(f"{operator} {_plain(value)}" for operator, value in wanted.items())
    return _plain(wanted)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
