"""Every point with its rule and evidence, and the decision that contains them. Pure."""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple

import msgspec

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import Counts, days_counted
from scorer.domain.decision import (
    LATEST_VERSION,
    Contribution,
    EvidenceValue,
    Explained,
    Previous,
    Reference,
    Routing,
    RoutingDecision,
    RulesetReference,
    ScoreView,
)
from scorer.domain.instant import DAY, day_to_text, to_text
from scorer.domain.lifecycle import Promise
from scorer.engines.cache import BoundedCache
from scorer.evaluation.evidence import within_bound
from scorer.evaluation.promises import answer_until
from scorer.evaluation.results import Evaluation, Reason
from scorer.rules.catalogue import is_timed
from scorer.rules.ruleset import BEHAVIOUR, CAP, Ruleset

Cause = Literal["activity", "time", "rules_changed"]

_NUMBERS: Final = frozenset({bool, int, float})
_encode: Final = msgspec.json.Encoder().encode


def contributions(evaluation: Evaluation) -> list[Contribution]:
    """Every point and its reason, the strongest first. The points add up to the total score."""
    parts = [
        Contribution(criterion, rule, points, text, _evidence(fields, evaluation))
        for criterion, rule, points, text, fields in evaluation.criteria_result.reasons
    ]
    today = evaluation.now // DAY
    for signal, points in evaluation.signals:
        cap, window = signal.daily_cap, len(signal.weights)
        count, first, last = _counted(evaluation.lead.counted[signal.id], cap, window, today)
        evidence: dict[str, EvidenceValue] = {
            "count": count,
            "first_day": day_to_text(first),
            "last_day": day_to_text(last),
        }
        parts.append(Contribution(BEHAVIOUR, signal.id, points, signal.reason, evidence))
    parts.sort(key=_strongest_first)
    return parts


def _strongest_first(contribution: Contribution) -> tuple[int, str, str]:
    return -abs(contribution.points), contribution.criterion, contribution.rule


def decision(
    evaluation: Evaluation,
    templates: "ContributionTemplates",
    cause: Cause,
    activity: LeadActivity | None,
    promise: Promise | None = None,
    status: str | None = None,
) -> RoutingDecision:
    """The decision that follows from the evaluation. `promise`: the one that is open after it. `status`: that of the
    lead after it, if the decision tells it."""
    lead, ruleset, routing, now = evaluation.lead, evaluation.ruleset, evaluation.routing, evaluation.now
    (fit, engagement), rating, grade, _ = evaluation.standing
    last, respond_by = lead.published, answer_until(routing, ruleset.calendar, promise, now)
    escalated = 0 if promise is None else promise.level
    made = RoutingDecision(
        decision_id=_decision_id(lead.id, ruleset.revision, cause, now, activity),
        lead_id=lead.id,
        decided_at=to_text(now),
        cause=cause,
        reference=None if activity is None else Reference(activity.source, activity.id, activity.type),
        rating=rating,
        grade=str(grade),
        route=routing.route,
        queue=routing.queue,
        respond_by=None if respond_by is None else to_text(respond_by),
        routing=Routing(routing.id, routing.reason),
        score=ScoreView(fit + engagement, fit, engagement),
        criteria={**evaluation.criteria_result.by_criterion, BEHAVIOUR: engagement},
        contributions=_Explanation(evaluation, templates),
        previous=None if last is None else Previous(last.rating, last.route, last.score.total),
        ruleset=RulesetReference(ruleset.name, ruleset.revision),
    )
    # Set afterwards, so that decisions without them cost nothing.
    if status is not None or escalated:
        made.status, made.escalated, made.schema_version = status, escalated, LATEST_VERSION
    return made


def _decision_id(lead_id: str, revision: str, cause: Cause, now: int, activity: LeadActivity | None) -> str:
    trigger = str(now) if activity is None else activity.key
    return blake2b(_part(lead_id) + _rules_part(revision, cause) + _part(trigger), digest_size=16).hexdigest()


def _part(text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    return len(content).to_bytes(4, "big") + content


@lru_cache(64)
def _rules_part(revision: str, cause: Cause) -> bytes:
    return _part(revision) + _part(cause)


def _evidence(names: tuple[str, ...], evaluation: Evaluation) -> dict[str, EvidenceValue]:
    values: dict[str, EvidenceValue] = {}
    for name in names:
        value = evaluation.value(name)
        if isinstance(value, (bool, int)):
            values[name] = value
        elif isinstance(value, float):
            values[name] = round(value, 2) if is_timed(name) else value
        elif isinstance(value, str):
            values[name] = within_bound(value)
        elif isinstance(value, list):
            values[name] = within_bound([str(item) for item in value])
    return values


def _counted(counts: Counts, cap: int, window: int, today: int) -> tuple[int, int, int]:
    """How many events count as of UTC day `today`, and their first and last day."""
    days = []
    total = 0
    for day, count in days_counted(counts):
        if 0 <= today - day < window:
            days.append(day)
            total += count if count < cap else cap
    return total, days[0], days[-1]


class ReasonTemplate(NamedTuple):
    """The JSON of a contribution of a criterion's rule or limit, up to its evidence.

    Contributions are in the order of `place`. `text` ends before the evidence. If the evidence is one field, `field` is
    its name (else empty), `opening` ends before its value, and `known` contains complete contributions by text value.
    """

    place: int
    text: str
    field: str
    opening: str
    known: BoundedCache[str, str]


class ContributionTemplates:
    """The parts of decisions that repeat under a ruleset, written once and remembered, within a bound."""

    def __init__(self, ruleset: Ruleset) -> None:
        names = [(BEHAVIOUR, signal) for signal in ruleset.signals]
        for criterion in ruleset.criteria:
            names += [(criterion.name, rule) for rule in (*(rule.id for rule in criterion.rules), CAP)]
        self._places = {name: place for place, name in enumerate(sorted(names))}
        self._reasons_of_signals = {name: signal.reason for name, signal in ruleset.signals.items()}
        self.reasons = BoundedCache[Reason, ReasonTemplate]()
        self.signals = BoundedCache[tuple[str, int, int], tuple[int, str]]()
        """By signal, points and number of events: the place and the text up to the first day."""
        self.limits = {name: (signal.daily_cap, len(signal.weights)) for name, signal in ruleset.signals.items()}
        """By signal: its daily cap and its window in days."""
        self.days = BoundedCache[int, str]()
        """ISO dates by UTC day number."""

    def add_reason(self, reason: Reason) -> ReasonTemplate:
        """Create the template of a rule or limit and remember it in `reasons`."""
        known = self.reasons.recall(reason)
        if known is not None:
            return known
        criterion, rule, points, text, fields = reason
        place, opening = self._opening(criterion, rule, points, text)
        if len(fields) == 1:
            template = ReasonTemplate(place, opening, fields[0], f"{opening}{{{_json(fields[0])}:", BoundedCache())
        else:
            template = ReasonTemplate(place, opening, "", opening, BoundedCache())
        return self.reasons.keep(reason, template)

    def add_value(self, template: ReasonTemplate, value: str) -> str:
        """Write the complete contribution with that value as its evidence and remember it in `template.known`."""
        known = template.known.recall(value)
        return known or template.known.keep(value, f"{template.opening}{_json(within_bound(value))}}}}}")

    def add_signal(self, signal: str, points: int, count: int) -> tuple[int, str]:
        """Create the template of a signal that gives these points for `count` events and remember it in `signals`."""
        known = self.signals.recall((signal, points, count))
        if known is not None:
            return known
        place, opening = self._opening(BEHAVIOUR, signal, points, self._reasons_of_signals[signal])
        return self.signals.keep((signal, points, count), (place, f'{opening}{{"count":{count},"first_day":"'))

    def add_day(self, day: int) -> str:
        """Write the ISO date of a day and remember it in `days`."""
        return self.days.keep(day, day_to_text(day))

    def _opening(self, criterion: str, rule: str, points: int, text: str) -> tuple[int, str]:
        # The strongest first; equally strong ones by name.
        place = self._places[criterion, rule] - abs(points) * len(self._places)
        return place, _json(Contribution(criterion, rule, points, text, {})).removesuffix("{}}")


class _Explanation(Explained):
    """The result of `contributions`. Its JSON is assembled from templates for speed: see benchmarks/README.md."""

    __slots__ = ("_evaluation", "_made", "_templates")

    def __init__(self, evaluation: Evaluation, templates: ContributionTemplates) -> None:
        self._evaluation, self._templates = evaluation, templates
        self._made: list[Contribution] | None = None

    def make(self) -> list[Contribution]:
        if self._made is None:
            self._made = contributions(self._evaluation)
        return self._made

    def to_json(self) -> bytes:
        parts: dict[int, str] = {}
        self._add_reasons(parts)
        self._add_signals(parts)
        return f"[{','.join(map(parts.__getitem__, sorted(parts)))}]".encode()

    def _add_reasons(self, parts: dict[int, str]) -> None:
        evaluation, templates = self._evaluation, self._templates
        reasons, facts = templates.reasons, evaluation.known_facts
        for reason in evaluation.criteria_result.reasons:
            template = reasons.get(reason) or templates.add_reason(reason)
            place, text, field, opening, known = template
            value = None if (fact := facts.get(field)) is None else fact.value
            if type(value) is str:
                parts[place] = known.get(value) or templates.add_value(template, value)
            elif type(value) in _NUMBERS:
                parts[place] = f"{opening}{_encode(value).decode()}}}}}"
            else:
                parts[place] = f"{text}{_encode(_evidence(reason.fields, evaluation)).decode()}}}"

    def _add_signals(self, parts: dict[int, str]) -> None:
        evaluation, templates, counted = self._evaluation, self._templates, self._evaluation.lead.counted
        signals, days, limits = templates.signals, templates.days, templates.limits
        today = evaluation.now // DAY
        for name, points in evaluation.signal_points.items():
            cap, window = limits[name]
            counts: Any = counted[name]
            hashes, first, last = counts[0], counts[1], counts[-2]
            # Usually every event counts. Then the number of events is that of the hashes, without a loop over the days.
            count = len(hashes) >> 3
            is_over_cap = count > cap and 2 * count >= len(counts) and max(counts[2::2]) > cap
            if is_over_cap or today - first >= window or last > today:
                count, first, last = _counted(counts, cap, window, today)
            place, opening = signals.get((name, points, count)) or templates.add_signal(name, points, count)
            from_day = days.get(first) or templates.add_day(first)
            to_day = days.get(last) or templates.add_day(last)
            parts[place] = f'{opening}{from_day}","last_day":"{to_day}"}}}}'


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
