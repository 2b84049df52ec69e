"""Why: every point with its rule and evidence, and the decision that carries them. Pure."""

from hashlib import blake2b
from operator import itemgetter
from typing import Any, Literal, cast

import msgspec
from pydantic import TypeAdapter

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import Contribution, EvidenceValue, RoutingDecision
from scorer.domain.instant import day_of, day_to_text, to_text
from scorer.domain.lead import Counts, Lead
from scorer.domain.score import Rating
from scorer.rules.plan import DAYS_SINCE
from scorer.rules.ruleset import BEHAVIOUR, RoutingRule, Ruleset, Signal
from scorer.rules.signal_points import days_counted
from scorer.scoring import Scored

Cause = Literal["activity", "time", "rules_changed"]

_CONTRIBUTIONS = TypeAdapter(list[Contribution])
_encode = msgspec.json.Encoder().encode


class Said:
    """A decision as plain values, in the order of the contract. Not validated: a model costs several times as much as
    its bytes, which are all that the stream wants (a property test holds that both say the same)."""

    __slots__ = ("content",)

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    @property
    def rating(self) -> Rating:
        """The rating."""
        rating: Rating = self.content["rating"]
        return rating

    @property
    def previous_rating(self) -> Rating | None:
        """The rating of the decision before; None for the first."""
        previous = self.content["previous"]
        return None if previous is None else previous["rating"]

    def model(self) -> RoutingDecision:
        """The decision, validated."""
        return RoutingDecision.model_validate_json(self.to_json())

    def to_json(self) -> bytes:
        """The same bytes as `model_dump_json` of the model."""
        return _encode(self.content)


def contributions(scored: Scored, lead: Lead) -> list[Contribution]:
    """Every point and why, the strongest first. The points add up to the total score."""
    return _CONTRIBUTIONS.validate_json(_contributions(scored, lead))


def _contributions(scored: Scored, lead: Lead) -> bytes:
    # JSON put together from prepared parts: 5 µs for nine contributions, where dictionaries take 20.
    facts = scored.lead_facts
    found: list[tuple[tuple[int, str, str], bytes]] = []
    for order, head, fields, finished in scored.judged.reasons:
        if len(fields) == 1 and (fact := facts.get(fields[0])) is not None and type(fact.value) is str:
            text = finished.get(fact.value)
            if text is None:
                text = head + _encode({fields[0]: fact.value}) + b"}"
                if len(finished) < _FINISHED:
                    finished[fact.value] = text
        else:
            text = head + _encode(_evidence(fields, scored)) + b"}"
        found.append((order, text))
    today = day_of(scored.now)
    known = scored.signal_points
    for signal, points in scored.signals:
        part = known[signal.id]
        evidence = _signal_evidence(signal, lead.counted[signal.id], today)
        found.append(((-abs(points), *part.label), f"{part.head}{points}{part.tail}{evidence}}}".encode()))
    found.sort(key=_order)
    return b"[" + b",".join([text for _, text in found]) + b"]"


_FINISHED = 64
_order = itemgetter(0)


def decision(
    lead: Lead, ruleset: Ruleset, scored: Scored, routing: RoutingRule, cause: Cause, activity: LeadActivity | None
) -> Said:
    """The decision about a lead that was scored and routed so."""
    score, last, within = scored.score, lead.published, routing.respond_within
    return Said(
        {
            "decision_id": _decision_id(lead.id, ruleset.revision, cause, scored.now, activity),
            "lead_id": lead.id,
            "decided_at": to_text(scored.now),
            "cause": cause,
            "reference": None
            if activity is None
            else {"source": activity.source, "id": activity.id, "type": activity.type},
            "rating": scored.rating,
            "grade": str(scored.grade),
            "route": routing.route,
            "queue": routing.queue,
            "respond_by": None if within is None else to_text(scored.now + within),
            "routing": {"rule": routing.id, "reason": routing.reason},
            "score": {"total": score.total, "fit": score.fit, "engagement": score.engagement},
            "criteria": {**scored.judged.points, BEHAVIOUR: score.engagement},
            "contributions": msgspec.Raw(_contributions(scored, lead)),
            "previous": None
            if last is None
            else {"rating": last.rating, "route": last.route, "score": last.score.total},
            "ruleset": {"name": ruleset.name, "revision": ruleset.revision},
        }
    )


def _decision_id(lead_id: str, revision: str, cause: Cause, now: int, activity: LeadActivity | None) -> str:
    trigger = str(now) if activity is None else activity.key
    digest = blake2b(digest_size=16)
    for part in (lead_id, revision, cause, trigger):
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(4, "big") + content)
    return digest.hexdigest()


def _evidence(names: tuple[str, ...], scored: Scored) -> dict[str, EvidenceValue]:
    found: dict[str, EvidenceValue] = {}
    facts = scored.lead_facts
    for name in names:
        if name.startswith(DAYS_SINCE):
            value = scored.facts.get(name)
        else:
            fact = facts.get(name)
            value = None if fact is None else fact.value
        if isinstance(value, (bool, int, str)):
            found[name] = value
        elif isinstance(value, float):
            found[name] = round(value, 2) if name.startswith(DAYS_SINCE) else value
        elif isinstance(value, list):
            found[name] = [str(item) for item in value]
    return found


def _signal_evidence(signal: Signal, counts: Counts, today: int) -> str:
    cap, window = signal.daily_cap, len(signal.weights)
    if len(counts) == 3:
        _, day, count = cast("tuple[bytes, int, int]", counts)
        text = day_to_text(day)
        return f'{{"count":{min(count, cap)},"first_day":"{text}","last_day":"{text}"}}'
    days = [each for each in days_counted(counts) if 0 <= today - each[0] < window]
    total = 0
    for _, count in days:
        total += count if count < cap else cap
    first, last = day_to_text(days[0][0]), day_to_text(days[-1][0])
    return f'{{"count":{total},"first_day":"{first}","last_day":"{last}"}}'
