"""A candidate ruleset judges live activities beside the live one, without effect.

It judges what the live rules judge because of an activity, and what they publish because of time alone. It judges the
live lead as it was before the live rules published anything about it: with the same counts, the same last decision (for
the hysteresis) and the same evidence that sales has seen. So the rules cause every difference. Errors of the candidate
are counted, and cost no decision. The candidate refuses no activity, whatever its `unfitting` and `allowed_sources`
say, because the live lead has it already.

The live leads keep the custom facts that the candidate declares (`Evaluator.keeping`). They count only the signals of
the live rules.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from scorer.domain.activity import LeadActivity
from scorer.domain.instant import to_text
from scorer.domain.lead import Lead
from scorer.engines.cache import BoundedCache
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment, Evaluation
from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.rules.ruleset import Ruleset
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.runtime.tracebacks import traceback_of
from scorer.stream.outbox import Outbox

SAMPLES_A_SECOND: Final = 10
"""The most samples of differing leads that are published per second. The metrics count all of them."""

_LOG_SECONDS: Final = 60.0

log = structlog.get_logger()


class Shadow:
    """Compares the candidate with the live rules. `monotonic` gives seconds. `limits` says which samples are too large;
    these are left out."""

    def __init__(
        self,
        settings: Settings,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        limits: TopicLimits | None = None,
    ) -> None:
        self._limits = limits or TopicLimits(settings)
        self._topic = settings.shadow_topic
        self._evaluator: Evaluator | None = None
        # The candidate's notes about leads, because a lead itself carries those of the live rules.
        self._notes = BoundedCache[str, object](settings.cache_leads)
        # The samples of a second may come at once: the current one and those that are saved up.
        self._samples = TokenBucket(monotonic, saved=1.0 - 1 / SAMPLES_A_SECOND)
        self._reports = TokenBucket(monotonic)

    @property
    def ruleset(self) -> Ruleset | None:
        """The candidate; None while there is none."""
        return None if self._evaluator is None else self._evaluator.ruleset

    def use(self, evaluator: Evaluator) -> None:
        """Use another candidate from now on."""
        self._evaluator = evaluator
        self._notes.clear()

    def forget(self, lead_id: str) -> None:
        """Forget what is remembered of a lead that was deleted."""
        self._notes.forget(lead_id)

    def compare(
        self, activity: LeadActivity | None, assessment: Assessment, outbox: Outbox, figures: BatchFigures
    ) -> None:
        """Judge what the live rules have judged, count both results, and publish a sample of the differences.
        `activity` None: only reviews have been done. Where the live rules publish nothing, there is no review."""
        if self._evaluator is None:
            return
        decision = assessment.decision
        for review in assessment.reviewed:
            self._compare(None, review, self._evaluator, None, outbox, figures)
        if assessment.evaluation is not None:
            decision_id = None if decision is None else decision.decision_id
            self._compare(activity, assessment.evaluation, self._evaluator, decision_id, outbox, figures)

    def _compare(
        self,
        activity: LeadActivity | None,
        live: Evaluation,
        evaluator: Evaluator,
        decision: str | None,
        outbox: Outbox,
        figures: BatchFigures,
    ) -> None:
        try:
            candidate = self._evaluate(live, evaluator)
            differs = list(_differences(live, candidate))
            sample = None
            if differs and differs != ["score"] and self._samples.take(1 / SAMPLES_A_SECOND):
                sample = self._sample(live.lead, activity, live, candidate, differs)
        except Exception as error:  # noqa: BLE001 (an error of the candidate must not cost a decision)
            figures.shadow_failures += 1
            self._report(error)
            return
        ratings = live.rating.value, candidate.rating.value
        figures.shadow[*ratings, live.routing.route.value, candidate.routing.route.value] += 1
        figures.divergences.update(differs)
        if sample is not None:
            size, limit = len(sample.value or b""), self._limits.current.sample
            if size <= limit.size:
                outbox.messages.append(sample)
            elif self._reports.take(_LOG_SECONDS):
                what = {"size": size, "limit": limit.size, "source": limit.source}
                log.warning("shadow_sample_too_large", lead=live.lead.id, decision=decision, topic=self._topic, **what)

    def _evaluate(self, live: Evaluation, evaluator: Evaluator) -> Evaluation:
        lead = live.lead  # without what the live rules then published about it
        known = self._notes.look_up(lead.id)
        lead = evaluator.annotated(lead.with_notes(known))
        if lead.notes is not known:
            self._notes.keep(lead.id, lead.notes)
        return evaluator.evaluate(lead, live.now)

    def _sample(
        self, lead: Lead, activity: LeadActivity | None, live: Evaluation, candidate: Evaluation, differs: list[str]
    ) -> Message:
        live_points, candidate_points = _points(live), _points(candidate)
        rules = [
            {
                "criterion": key[0],
                "rule": key[1],
                "live": live_points.get(key, 0),
                "shadow": candidate_points.get(key, 0),
            }
            for key in sorted(live_points.keys() | candidate_points.keys())
            if live_points.get(key) != candidate_points.get(key)
        ]
        caused_by = None
        if activity is not None:
            caused_by = {"source": activity.source, "id": activity.id, "type": activity.type}
        content = {
            "lead_id": lead.id,
            "at": to_text(live.now),
            "activity": caused_by,
            "differs": differs,
            "live": _shown(live),
            "shadow": _shown(candidate),
            "rules": rules,
        }
        value = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return Message(self._topic, None, lead.id.encode(), value, [("content-type", b"application/json")])

    def _report(self, error: Exception) -> None:
        if self._reports.take(_LOG_SECONDS):
            log.error("shadow_failed", error=type(error).__qualname__, exception=traceback_of(error))


def _differences(live: Evaluation, candidate: Evaluation) -> Iterator[str]:
    if live.rating is not candidate.rating:
        yield "rating"
    if live.grade != candidate.grade:
        yield "grade"
    if live.routing.route is not candidate.routing.route:
        yield "route"
    if live.routing.queue != candidate.routing.queue:
        yield "queue"
    if live.score != candidate.score:
        yield "score"


def _points(evaluation: Evaluation) -> dict[tuple[str, str], int]:
    return {(criterion, rule): points for criterion, rule, points in evaluation.points}


def _shown(evaluation: Evaluation) -> dict[str, object]:
    ruleset = evaluation.ruleset
    return {"ruleset": {"name": ruleset.name, "revision": ruleset.revision}, **evaluation.outcome}
