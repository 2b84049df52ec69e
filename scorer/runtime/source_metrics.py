"""Metrics of the sources, which translate the records of other senders into activities."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as PrometheusCounter

OUTCOMES: Final = ("translated", "held", "ignored", "rejected")
"""What came of an event. `held`: only activities that are not passed on yet."""
RELOADS: Final = ("loaded", "unchanged", "refused")
"""How a reload of rules or of mapping files ends."""


@dataclass(slots=True)
class SourceFigures:
    """Figures of one batch of a source; counted only after its commit. All names are those of its mapping."""

    source: str
    events: Counter[str] = field(default_factory=Counter)
    """By outcome."""
    activities: int = 0
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind and reason."""
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Keys that were left out, with the reason."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By reason."""


class SourceMetrics:
    """The metrics of all sources of a service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> PrometheusCounter:
            return PrometheusCounter(name, text, ("source", *labels), registry=registry)

        self._events = counter("scorer_source_events", "Events of other senders that were read.", "outcome")
        self._activities = counter("scorer_source_activities", "Activities written into the input.")
        self._ignored = counter("scorer_source_ignored", "Events of other senders left out.", "kind", "reason")
        self._dropped = counter("scorer_source_keys_dropped", "Keys of an event that were left out.", "key", "reason")
        self._reloads = PrometheusCounter(
            "scorer_mappings_reloads", "Reloads of the mapping files by outcome.", ("outcome",), registry=registry
        )
        self._reload_successful = Gauge(
            "scorer_mappings_last_reload_successful",
            "1: the mapping files on disk are in effect; 0: they were refused. Absent without topics of other senders.",
            registry=None,
        )
        self._registry = registry
        self._partitions = Gauge(
            "scorer_source_partitions", "Assigned partitions of other senders by state.", ("state",), registry=registry
        )

    def known(self, sources: Collection[str]) -> None:
        """The mappings of these sources are in effect. Their counters start at 0, because Prometheus cannot see the
        first increase of a counter that appears with it."""
        for source in sources:
            self._activities.labels(source)
            for outcome in OUTCOMES:
                self._events.labels(source, outcome)
        if sources:
            self._reload_successful.set(1)
            self._registry.register(self._reload_successful)
            for outcome in RELOADS:
                self._reloads.labels(outcome)

    def reloaded(self, outcome: str) -> None:
        """Count a reload of the mapping files: `loaded`, `unchanged`, `refused`."""
        self._reloads.labels(outcome).inc()
        self._reload_successful.set(outcome != "refused")

    def committed(self, figures: SourceFigures) -> None:
        """Count a committed batch."""
        source = figures.source
        for outcome, count in figures.events.items():
            self._events.labels(source, outcome).inc(count)
        self._activities.labels(source).inc(figures.activities)
        for (kind, reason), count in figures.ignored.items():
            self._ignored.labels(source, kind, reason).inc(count)
        for (key, reason), count in figures.dropped.items():
            self._dropped.labels(source, key, reason).inc(count)

    def partitions(self, by_state: Mapping[str, int]) -> None:
        """Set the number of assigned partitions of other senders by state."""
        for state, count in by_state.items():
            self._partitions.labels(state).set(count)
