"""Why: every point with its rule and evidence, and the decision that carries them. Pure."""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import (
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
from scorer.domain.lead import Counts, Lead
from scorer.evaluation.contribution_templates import Phrases
from scorer.evaluation.scoring import Scored
from scorer.evaluation.signal_points import days_counted
from scorer.rules.ruleset import BEHAVIOUR, RoutingRule, Ruleset

Cause = Literal["activity", "time", "rules_changed"]

_NUMBERS: Final = frozenset({bool, int, float})
_encode: Final = msgspec.json.Encoder().encode


def contributions(scored: Scored, lead: Lead) -> list[Contribution]:
    """Every point and why, the strongest first. The points add up to the total score."""
    found = [
        Contribution(criterion, rule, points, text, _evidence(fields, scored))
        for criterion, rule, points, text, fields in scored.judged.reasons
    ]
    today = scored.now // DAY
    for signal, points in scored.signals:
        cap, window = signal.daily_cap, len(signal.weights)
        count, first, last = _counted(lead.counted[signal.id], cap, window, today)
        evidence: dict[str, EvidenceValue] = {
            "count": count,
            "first_day": day_to_text(first),
            "last_day": day_to_text(last),
        }
        found.append(Contribution(BEHAVIOUR, signal.id, points, signal.reason, evidence))
    found.sort(key=_strongest_first)
    return found


def _strongest_first(contribution: Contribution) -> tuple[int, str, str]:
    return -abs(contribution.points), contribution.criterion, contribution.rule


def decision(
    lead: Lead, ruleset: Ruleset, scored: Scored, routing: RoutingRule, cause: Cause, activity: LeadActivity | None
) -> RoutingDecision:
    """The decision about a lead that was scored and routed so."""
    (fit, engagement), rating, grade, _ = scored.standing
    last, within = lead.published, routing.respond_within
    return RoutingDecision(
        decision_id=_decision_id(lead.id, ruleset.revision, cause, scored.now, activity),
        lead_id=lead.id,
        decided_at=to_text(scored.now),
        cause=cause,
        reference=None if activity is None else Reference(activity.source, activity.id, activity.type),
        rating=rating,
        grade=str(grade),
        route=routing.route,
        queue=routing.queue,
        respond_by=None if within is None else to_text(scored.now + within),
        routing=Routing(routing.id, routing.reason),
        score=ScoreView(fit + engagement, fit, engagement),
        criteria={**scored.judged.by_criterion, BEHAVIOUR: engagement},
        contributions=_Explanation(scored, lead, ruleset.phrases),
        previous=None if last is None else Previous(last.rating, last.route, last.score.total),
        ruleset=RulesetReference(ruleset.name, ruleset.revision),
    )


def _decision_id(lead_id: str, revision: str, cause: Cause, now: int, activity: LeadActivity | None) -> str:
    trigger = str(now) if activity is None else activity.key
    return blake2b(_part(lead_id) + _rules_part(revision, cause) + _part(trigger), digest_size=16).hexdigest()


def _part(text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    return len(content).to_bytes(4, "big") + content


@lru_cache(64)
def _rules_part(revision: str, cause: Cause) -> bytes:
    return _part(revision) + _part(cause)


def _evidence(names: tuple[str, ...], scored: Scored) -> dict[str, EvidenceValue]:
    found: dict[str, EvidenceValue] = {}
    for name in names:
        value = scored.value(name)
        if isinstance(value, (bool, int, str)):
            found[name] = value
        elif isinstance(value, float):
            found[name] = round(value, 2) if name.startswith("days_since.") else value
        elif isinstance(value, list):
            found[name] = [str(item) for item in value]
    return found


def _counted(counts: Counts, cap: int, window: int, today: int) -> tuple[int, int, int]:
    """How many events count as of UTC day `today`, the first and the last day of them."""
    days = []
    total = 0
    for day, count in days_counted(counts):
        if 0 <= today - day < window:
            days.append(day)
            total += count if count < cap else cap
    return total, days[0], days[-1]


class _Explanation(Explained):
    """What `contributions` makes; its JSON is put together from the ruleset's phrases, which takes half of the time of
    making the contributions (measured with 11 on average)."""

    __slots__ = ("_lead", "_made", "_phrases", "_scored")

    def __init__(self, scored: Scored, lead: Lead, phrases: Phrases) -> None:
        self._scored, self._lead, self._phrases = scored, lead, phrases
        self._made: list[Contribution] | None = None

    def make(self) -> list[Contribution]:
        if self._made is None:
            self._made = contributions(self._scored, self._lead)
        return self._made

    def to_json(self) -> bytes:
        found: dict[int, str] = {}
        self._add_reasons(found)
        self._add_signals(found)
        return f"[{','.join(map(found.__getitem__, sorted(found)))}]".encode()

    def _add_reasons(self, found: dict[int, str]) -> None:
        scored, phrases = self._scored, self._phrases
        reasons, facts = phrases.reasons, scored.lead_facts
        for reason in scored.judged.reasons:
            phrase = reasons.get(reason) or phrases.add_reason(reason)
            place, text, field, opening, known = phrase
            value = None if (fact := facts.get(field)) is None else fact.value
            if type(value) is str:
                found[place] = known.get(value) or phrases.add_value(phrase, value)
            elif type(value) in _NUMBERS:
                found[place] = f"{opening}{_encode(value).decode()}}}}}"
            else:
                found[place] = f"{text}{_encode(_evidence(reason.fields, scored)).decode()}}}"

    def _add_signals(self, found: dict[int, str]) -> None:
        scored, phrases, counted = self._scored, self._phrases, self._lead.counted
        signals, days, limits = phrases.signals, phrases.days, phrases.limits
        today = scored.now // DAY
        for name, points in scored.engaged.items():
            cap, window = limits[name]
            counts: Any = counted[name]
            hashes, first, last = counts[0], counts[1], counts[-2]
            # Nearly always every event counts: then there are as many as hashes, which saves looking at each day.
            count = len(hashes) >> 3
            is_over_cap = count > cap and 2 * count >= len(counts) and max(counts[2::2]) > cap
            if is_over_cap or today - first >= window or last > today:
                count, first, last = _counted(counts, cap, window, today)
            place, opening = signals.get((name, points, count)) or phrases.add_signal(name, points, count)
            from_day = days.get(first) or phrases.add_day(first)
            to_day = days.get(last) or phrases.add_day(last)
            found[place] = f'{opening}{from_day}","last_day":"{to_day}"}}}}'
