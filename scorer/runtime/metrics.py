"""Prometheus metrics of the service, on their own registry. Summed up per batch because observing must be cheap."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Histogram as PrometheusHistogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from scorer.domain.activity import PAYLOADS
from scorer.runtime.source_metrics import RELOADS, SourceFigures, SourceMetrics

MAX_CUSTOM_TYPES: Final = 100
"""Activity types that no rule names and that get their own label; the rest is `other`."""

MAX_SOURCES: Final = 100
"""Sources with a clock ahead that get their own label; the rest is `other`."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

ASSESS_BUCKETS: Final = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 0.1, 1.0)
OUTCOMES: Final = {
    "transactions": ("committed", "aborted", "fenced", "doubtful"),
    "reloads": RELOADS,
    "rescore": ("published", "unchanged", "skipped", "failed", "too_large"),
    "reviews": ("published", "unchanged", "deleted", "failed", "too_large"),
    "deleted": ("inactive", "erased"),
    "differences": ("rating", "grade", "route", "queue", "score"),
}
"""Label values that are known beforehand. Their counters start at 0, because Prometheus cannot see the first increase
of a counter that appears with it."""
ALARMING: Final = ("internal_error", "state_too_large", "decision_too_large")
"""Reasons of dead letters of which a single one deserves an alarm; they start at 0 too."""
WORTH_A_LOOK: Final = (*ALARMING, "source_not_allowed")
"""And those of which somebody may want to see the first: a sender tried what it may not do."""
STATUSES: Final = (
    *("ready", "waiting for an assignment", "restoring", "stalled", "rejoining", "clock off", "access denied"),
    *("stopping", "dead"),
)
"""What `/health/ready` says in `status`, and `dead` for a service that only a restart helps."""

RESPONSE_BUCKETS: Final = tuple(
    float(seconds) for seconds in (300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 172_800, 432_000, 864_000)
)
"""From five minutes to ten days."""

MAX_STAGES: Final = 24
"""Stages of the rules that get their own label; the rest is `other`."""

KEY_FIGURES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "scorer_figures_partitions": ("Partitions of this worker whose leads are in the key figures.", ()),
    "scorer_period_elapsed_ratio": ("The share of the period of the targets that has passed.", ()),
    "scorer_opportunities_needed": ("Opportunities that the targets need in the period.", ()),
    "scorer_opportunities_handed_over": ("Hand-overs to sales in the period.", ()),
    "scorer_opportunities_accepted": ("Hand-overs of the period that sales has accepted so far.", ()),
    "scorer_opportunities_returned": ("Hand-overs of the period that sales has returned so far.", ()),
    "scorer_opportunities_won": ("Hand-overs of the period that are won so far.", ()),
    "scorer_opportunities_lost": ("Hand-overs of the period that are lost so far.", ()),
    "scorer_opportunities_forecast": ("Hand-overs of the whole period if it goes on as so far.", ()),
    "scorer_phase_reached": ("Leads that reached the phase in the period.", ("phase",)),
    "scorer_phase_went_on": ("Of these, the leads that have gone on to a later phase so far.", ("phase",)),
    "scorer_leads": ("Leads by status.", ("status",)),
    "scorer_leads_by_category": ("Leads by category of the base.", ("category",)),
    "scorer_leads_by_rating": ("Leads by published rating.", ("rating",)),
    "scorer_sales_actions": ("Actions that lead to a sale, of this day in UTC.", ("action",)),
    "scorer_promises_open": ("Leads that wait for an answer within the promised time.", ("queue",)),
    "scorer_promises_overdue": ("Leads that wait for an answer although the promise is broken.", ("queue",)),
    "scorer_hot_leads_untouched": ("Hot leads that wait for an answer.", ()),
    "scorer_hot_leads_overdue": ("Hot leads that wait for an answer although the promise is broken.", ()),
}
"""What the states of this worker's leads say, with the text and the labels. Absent until all of them are read."""

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


# The client adds a series to each counter that says when it began. Prometheus has no use for it.
_disable: Callable[[], None] = disable_created_metrics
_disable()


class Histogram(Collector):
    """A histogram without labels that takes many values at once. It needs no lock because all observations come from
    one thread. It is hand-made for speed, see benchmarks/README.md."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: Iterable[float]) -> None:
        """Count values, in the unit of the buckets."""
        ascending = sorted(values)
        below = 0
        for number, bound in enumerate(self._bounds):
            up_to = bisect_right(ascending, bound, below)
            self._counts[number] += up_to - below
            below = up_to
        self._counts[-1] += len(ascending) - below
        self._sum += sum(ascending)

    def collect(self) -> Iterator[Metric]:
        """The metric family for Prometheus."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


class KeyFigureGauges(Collector):
    """The gauges of `KEY_FIGURES`, all at once or none. `values`: by name and values of the labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.values: Mapping[str, Mapping[tuple[str, ...], float]] = {}
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The metric families that have a value."""
        for name, (text, labels) in KEY_FIGURES.items():
            values = self.values.get(name)
            if values:
                family = GaugeMetricFamily(name, text, labels=labels)
                for of, value in values.items():
                    family.add_metric(of, value)
                yield family


@dataclass(slots=True)
class BatchFigures:
    """Figures of one batch; counted only after its commit."""

    activities: Counter[str] = field(default_factory=Counter)
    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    handovers: Counter[str] = field(default_factory=Counter)
    """Leads that go to sales, by queue."""
    responses: list[tuple[str, float]] = field(default_factory=list)
    """Promises that were kept: the queue, and seconds since the hand-over."""
    escalations: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Broken promises, by the queue and level to which the lead went."""
    statuses: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    """Changes of the status, each with whether it is usual."""
    stages: Counter[tuple[str, str]] = field(default_factory=Counter)
    rule_hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    ahead: Counter[str] = field(default_factory=Counter)
    """Activities with a time well after their arrival, by source."""
    unfitting: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Activities with a key that does not fit, by its field and the reason."""
    rekeyed: int = 0
    """Records without a key that went back into the input with one."""
    timestamps: list[int] = field(default_factory=list)
    """Timestamps of the records that led to a decision, in milliseconds since the epoch."""
    assess_seconds: list[float] = field(default_factory=list)
    """Time to assess each activity."""
    rescored: Counter[str] = field(default_factory=Counter)
    """Re-scored leads by outcome."""
    reviews: Counter[str] = field(default_factory=Counter)
    """Leads judged because time alone may have changed them, by outcome."""
    deleted: Counter[str] = field(default_factory=Counter)
    """Leads whose retention has ended, by reason."""
    ticks: int = 0
    """Ticks that were read."""
    shadow: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """Decisions of live and shadow rules: (live rating, shadow rating, live route, shadow route)."""
    divergences: Counter[str] = field(default_factory=Counter)
    shadow_failures: int = 0


class Metrics:
    """All metrics of one service, on its own registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, text: str, *labels: str, known: Iterable[str] = ()) -> PrometheusCounter:
            made = PrometheusCounter(name, text, labels, registry=registry)
            for each in known:
                made.labels(each)
            return made

        self._activities = counter("scorer_activities", "Activities assessed, by type.", "type")
        self._ahead = counter(
            "scorer_activities_ahead", "Activities whose time is over a minute after their arrival.", "source"
        )
        self._decisions = counter("scorer_decisions", "Decisions published.", "rating", "route")
        self._transitions = counter("scorer_transitions", "Changes of rating since the last decision.", "from", "to")
        self._handovers = counter("scorer_handovers", "Leads handed over to sales, by queue.", "queue")
        self._responses = PrometheusHistogram(
            "scorer_first_response_seconds",
            "Time from the hand-over of a lead to the first answer of sales, by queue.",
            ("queue",),
            buckets=RESPONSE_BUCKETS,
            registry=registry,
        )
        self._escalations = counter(
            "scorer_escalations", "Broken promises, by the queue and level to which the lead went.", "queue", "level"
        )
        self._statuses = counter("scorer_status_transitions", "Changes of the status of a lead.", "from", "to")
        self._unusual = counter(
            "scorer_unusual_transitions", "Changes of the status that do not usually follow each other.", "from", "to"
        )
        self._stages = counter("scorer_stage_transitions", "Changes of the stage of an opportunity.", "from", "to")
        self._key_figures = KeyFigureGauges(registry)
        self._queues: set[str] = {""}
        self._stage_names: set[str] = set()
        self._rule_hits = counter("scorer_rule_hits", "Rules that gave points.", "criterion", "rule")
        self._dead_letters = counter(
            "scorer_dead_letters", "Records sent to the dead letter topic.", "reason", known=WORTH_A_LOOK
        )
        self._unfitting = counter(
            "scorer_unfitting_activities", "Activities with a key that does not fit.", "field", "reason"
        )
        self._rekeyed = counter("scorer_records_rekeyed", "Records without a key written back with one.")
        self._restored = counter("scorer_restore_records", "Changelog records read to restore state.")
        self._transactions = counter(
            "scorer_transactions", "Transactions by outcome.", "outcome", known=OUTCOMES["transactions"]
        )
        self._ruleset = Gauge(
            "scorer_ruleset_info",
            "The ruleset in use; always 1.",
            ("ruleset", "revision", "engine"),
            registry=registry,
        )
        self._reload_successful = Gauge(
            "scorer_rules_last_reload_successful", "1: the last reload succeeded; 0: it was refused.", registry=registry
        )
        self._reload_timestamp = Gauge(
            "scorer_rules_last_reload_success_timestamp_seconds",
            "When the rules were last loaded, or found unchanged.",
            registry=registry,
        )
        self._reloads = counter(
            "scorer_rules_reloads", "Reloads of the rules by outcome.", "outcome", known=OUTCOMES["reloads"]
        )
        self._rescored = counter(
            "scorer_rescore_leads", "Leads re-scored after a change of rules.", "outcome", known=OUTCOMES["rescore"]
        )
        self._reviews = counter(
            "scorer_reviews",
            "Looks at leads of which time alone may have changed something.",
            "outcome",
            known=OUTCOMES["reviews"],
        )
        self._deleted = counter(
            "scorer_leads_deleted", "Leads whose retention has ended.", "reason", known=OUTCOMES["deleted"]
        )
        self.refresh: Callable[[], None] = lambda: None
        """Called before the metrics are shown, to set those that change between two commits."""
        self._ticks = counter("scorer_ticks", "Ticks read from the input.")
        self._remaining = {
            "rescore": Gauge(
                "scorer_rescore_remaining", "Leads that this worker still has to re-score.", registry=registry
            ),
            "review": Gauge(
                "scorer_review_remaining",
                "Leads of this worker that are due by the time of the log, at most.",
                registry=registry,
            ),
            "enrichment": Gauge(
                "scorer_enrichment_remaining",
                "Leads of this worker that do not have the present profile of their company, as far as is known.",
                registry=registry,
            ),
            "tick": Gauge(
                "scorer_partitions_awaiting_time",
                "Partitions of this worker in which a lead is due by the clock and not by the time of the log.",
                registry=registry,
            ),
        }
        self._log_time = Gauge(
            "scorer_log_time_timestamp_seconds",
            "The time of the log: the latest arrival of a record or tick. Absent until it is known.",
            ("partition",),
            registry=registry,
        )
        self._shadow = counter(
            "scorer_shadow_decisions",
            "Ratings and routes by live and shadow rules for the same lead.",
            *("live_rating", "shadow_rating", "live_route", "shadow_route"),
        )
        self._divergences = counter(
            "scorer_shadow_divergences",
            "Decisions in which live and shadow rules differ.",
            "what",
            known=OUTCOMES["differences"],
        )
        self._shadow_failures = counter("scorer_shadow_failures", "Leads on which the shadow rules failed.")
        self._shadow_ruleset = Gauge(
            "scorer_shadow_info", "The shadow rules in use; always 1.", ("ruleset", "revision"), registry=registry
        )
        self._shadow_successful = Gauge(
            "scorer_shadow_last_reload_successful",
            "1: the shadow rules were loaded; 0: they were refused. Absent without shadow rules.",
            registry=None,
        )
        self._audit_failures = counter("scorer_audit_failures", "Lines of the audit log that could not be written.")
        self._lag = Gauge(
            "scorer_consumer_lag_records", "Activities not yet committed.", ("partition",), registry=registry
        )
        self._stalled = Gauge(
            "scorer_partition_stalled_seconds",
            "How long a partition has had something to do without progress.",
            ("partition",),
            registry=registry,
        )
        self._clock_offset = Gauge(
            "scorer_clock_offset_seconds",
            "How far other clocks are ahead of this machine's; 0 if nothing is known.",
            registry=registry,
        )
        self._fences = Gauge(
            "scorer_broker_fences",
            "1: the broker refuses former members of the group; 0: only one worker may run. Absent until it is known.",
            registry=None,
        )
        self._input_partitions = Gauge(
            "scorer_input_partitions",
            "Partitions of the input topic; together, the workers of a group must have as many.",
            registry=None,
        )
        self._memory_limit = Gauge(
            "scorer_memory_limit_bytes", "Memory that the process may use. Absent without a limit.", registry=None
        )
        self._late: set[Gauge] = set()
        self._health = Gauge(
            "scorer_health_status",
            "1 for the status in /health/ready, 0 for the others.",
            ("status",),
            registry=registry,
        )
        self._service = Gauge(
            "scorer_service_info",
            "The group and input of this worker; always 1.",
            ("group", "input"),
            registry=registry,
        )
        self._partitions = Gauge("scorer_partitions", "Assigned partitions by state.", ("state",), registry=registry)
        self.assess_seconds = Histogram(
            "scorer_assess_seconds", "Time to assess one activity.", ASSESS_BUCKETS, registry
        )
        self._latency = Histogram(
            "scorer_event_to_decision_seconds",
            "Time from the timestamp of the activity's record to the commit of its decision.",
            LATENCY_BUCKETS,
            registry,
        )
        self.sources = SourceMetrics(registry)
        self._named_types: set[str] = set(PAYLOADS)
        self._custom_types: set[str] = set()
        self._sources: set[str] = set()

    def committed(self, figures: BatchFigures, now: float) -> None:
        """Count a committed batch. `now` in seconds since the epoch."""
        for kind, count in figures.activities.items():
            self._activities.labels(self._type_label(kind)).inc(count)
        for (rating, route), count in figures.decisions.items():
            self._decisions.labels(rating, route).inc(count)
        for (before, after), count in figures.transitions.items():
            self._transitions.labels(before, after).inc(count)
        for queue, count in figures.handovers.items():
            self._handovers.labels(queue).inc(count)
        for queue, seconds in figures.responses:
            self._responses.labels(self._queue_label(queue)).observe(seconds)
        for (queue, level), count in figures.escalations.items():
            self._escalations.labels(self._queue_label(queue), level).inc(count)
        for (before, after, usual), count in figures.statuses.items():
            self._statuses.labels(before, after).inc(count)
            if not usual:
                self._unusual.labels(before, after).inc(count)
        for (before, after), count in figures.stages.items():
            self._stages.labels(self._stage_label(before), self._stage_label(after)).inc(count)
        for (criterion, rule), count in figures.rule_hits.items():
            self._rule_hits.labels(criterion, rule).inc(count)
        for reason, count in figures.dead_letters.items():
            self._dead_letters.labels(reason).inc(count)
        for source, count in figures.ahead.items():
            self._ahead.labels(self._source_label(source)).inc(count)
        for (name, reason), count in figures.unfitting.items():
            self._unfitting.labels(name, reason).inc(count)
        self._rekeyed.inc(figures.rekeyed)
        for outcome, count in figures.rescored.items():
            self._rescored.labels(outcome).inc(count)
        for outcome, count in figures.reviews.items():
            self._reviews.labels(outcome).inc(count)
        for reason, count in figures.deleted.items():
            self._deleted.labels(reason).inc(count)
        self._ticks.inc(figures.ticks)
        for decisions, count in figures.shadow.items():
            self._shadow.labels(*decisions).inc(count)
        for difference, count in figures.divergences.items():
            self._divergences.labels(difference).inc(count)
        self._shadow_failures.inc(figures.shadow_failures)
        self.assess_seconds.observe(figures.assess_seconds)
        self._latency.observe([max(0.0, now - timestamp / 1000) for timestamp in figures.timestamps])

    def translated(self, figures: SourceFigures) -> None:
        """Count a committed batch of a source."""
        self.sources.committed(figures)
        for reason, count in figures.dead_letters.items():
            self._dead_letters.labels(reason).inc(count)

    def transaction(self, outcome: str) -> None:
        """Count a transaction: `committed`, `aborted`, `fenced`, `doubtful`."""
        self._transactions.labels(outcome).inc()

    def fences(self, fences: bool) -> None:
        """Set whether the broker refuses former members of the group."""
        self._set(self._fences, fences)

    def service(self, group: str, topic: str) -> None:
        """Set the consumer group and the input topic."""
        self._service.labels(group, topic).set(1)

    def health(self, status: str) -> None:
        """Set the status of the service, one of `STATUSES`."""
        for each in STATUSES:
            self._health.labels(each).set(each == status)

    def input_partitions(self, count: int) -> None:
        """Set the number of partitions of the input topic."""
        self._set(self._input_partitions, count)

    def memory_limit(self, limit: int | None) -> None:
        """Set how much memory the process may use, in bytes; None: as much as there is."""
        if limit is not None:
            self._set(self._memory_limit, limit)

    def restored(self, records: int) -> None:
        """Count changelog records that were read to restore state."""
        self._restored.inc(records)

    def ruleset(
        self,
        name: str,
        revision: str,
        engine: str,
        types: Iterable[str] = (),
        queues: Iterable[str] = (),
        stages: Iterable[str] = (),
    ) -> None:
        """Set the ruleset and engine that are in use from now on. `types`: the activity types that the rules name,
        which always get their own label. Those of earlier rulesets keep theirs. `queues` and `stages`: those that the
        rules name; others, also of earlier rules, are `other`."""
        self._queues = {"", *queues}
        self._stage_names = set(islice(stages, MAX_STAGES))
        self._named_types.update(types)
        self._custom_types.difference_update(self._named_types)
        self._ruleset.clear()
        self._ruleset.labels(name, revision, engine).set(1)

    def reloaded(self, outcome: str, now: float) -> None:
        """Count a reload: `loaded`, `unchanged`, `refused`. `now` in seconds since the epoch."""
        self._reloads.labels(outcome).inc()
        self.rules_loaded(outcome != "refused", now)

    def rules_loaded(self, successful: bool, now: float) -> None:
        """Record whether the rules on disk were valid at the last check. `now` in seconds since the epoch."""
        self._reload_successful.set(successful)
        if successful:
            self._reload_timestamp.set(now)

    def remaining(self, by_job: Mapping[str, int]) -> None:
        """Set how much the background jobs have still to do, by the name of the job."""
        for job, gauge in self._remaining.items():
            gauge.set(by_job.get(job, 0))

    def key_figures(self, values: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
        """Set what the states of the leads say, by the names of `KEY_FIGURES` and the values of their labels. Empty: it
        is not known."""
        self._key_figures.values = values

    def shadow(self, name: str, revision: str) -> None:
        """Set the shadow rules that are in use from now on."""
        self._shadow_ruleset.clear()
        self._shadow_ruleset.labels(name, revision).set(1)

    def shadow_loaded(self, successful: bool) -> None:
        """Record whether the shadow rules on disk were valid at the last check."""
        self._set(self._shadow_successful, successful)

    def audit_failed(self) -> None:
        """Count a line of the audit log that could not be written."""
        self._audit_failures.inc()

    def lag(self, partition: int | str, records: int | None) -> None:
        """Set the lag of a partition; None if the partition is no longer assigned to this worker."""
        if records is None:
            with suppress(KeyError):
                self._lag.remove(str(partition))
        else:
            self._lag.labels(str(partition)).set(records)

    def log_time(self, partition: int, seconds: float | None) -> None:
        """Set the time of the log of a partition, in seconds since the epoch; None if it is not known, or if the
        partition is no longer assigned to this worker."""
        if seconds is None:
            with suppress(KeyError):
                self._log_time.remove(str(partition))
        else:
            self._log_time.labels(str(partition)).set(seconds)

    def stalled(self, partition: int | str, seconds: float | None) -> None:
        """Set how long a partition has not advanced; None if it is no longer assigned to this worker."""
        if seconds is None:
            with suppress(KeyError):
                self._stalled.remove(str(partition))
        else:
            self._stalled.labels(str(partition)).set(seconds)

    def clock_offset(self, seconds: float) -> None:
        """Set how far other clocks are ahead of ours; 0 if nothing is known."""
        self._clock_offset.set(seconds)

    def partitions(self, by_state: Mapping[str, int]) -> None:
        """Set the number of assigned partitions by state."""
        for state, count in by_state.items():
            self._partitions.labels(state).set(count)

    def render(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        self.refresh()
        return generate_latest(self.registry)

    def _set(self, gauge: Gauge, value: float) -> None:
        # A gauge that showed 0 before anything is known would raise alarms.
        if gauge not in self._late:
            self._late.add(gauge)
            self.registry.register(gauge)
        gauge.set(value)

    def _queue_label(self, queue: str) -> str:
        return queue if queue in self._queues else "other"

    def _stage_label(self, stage: str) -> str:
        return stage if stage in self._stage_names else "other" if stage else "none"

    def _source_label(self, source: str) -> str:
        if source not in self._sources and len(self._sources) < MAX_SOURCES:
            self._sources.add(source)
        return source if source in self._sources else "other"

    def _type_label(self, kind: str) -> str:
        if kind in self._named_types or kind in self._custom_types:
            return kind
        if len(self._custom_types) < MAX_CUSTOM_TYPES:
            self._custom_types.add(kind)
            return kind
        return "other"
