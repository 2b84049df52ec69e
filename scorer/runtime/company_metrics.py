"""Metrics of the profiles of companies, and of what they give to leads."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as PrometheusCounter

RECORDS: Final = ("changed", "unchanged", "deleted", "rejected")
"""What came of a record of the topic."""
ENRICHMENTS: Final = ("stated", "withdrawn", "refused")
"""What came of a lead that did not have the profile of its company. `refused`: the rules do not accept the activity."""


class CompanyMetrics:
    """The metrics of a service that reads such a topic."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> PrometheusCounter:
            return PrometheusCounter(name, text, labels, registry=registry)

        self._records = counter("scorer_company_records", "Records read from the topic of companies.", "outcome")
        self._dropped = counter("scorer_company_keys_dropped", "Keys of a profile that do not fit.", "key", "reason")
        self._enrichments = counter("scorer_enrichments", "Activities about the companies of leads.", "outcome")
        self._profiles = Gauge("scorer_company_profiles", "Companies whose profile is known.", registry=registry)
        self._ready = Gauge(
            "scorer_company_topic_ready",
            "1: the topic of companies is read to its end; 0: it is not, and no lead gets a profile.",
            registry=registry,
        )
        # Prometheus cannot see the first increase of a counter that appears with it.
        for outcome in RECORDS:
            self._records.labels(outcome)
        for outcome in ENRICHMENTS:
            self._enrichments.labels(outcome)

    def read(self, outcomes: Mapping[str, int], dropped: Mapping[tuple[str, str], int]) -> None:
        """Count records by outcome, and keys that do not fit by key and reason."""
        for outcome, count in outcomes.items():
            self._records.labels(outcome).inc(count)
        for (key, reason), count in dropped.items():
            self._dropped.labels(key, reason).inc(count)

    def table(self, profiles: int, *, ready: bool) -> None:
        """Set how many companies are known, and whether all of the topic is."""
        self._profiles.set(profiles)
        self._ready.set(ready)

    def enriched(self, outcomes: Counter[str]) -> None:
        """Count leads by what came of them."""
        for outcome, count in outcomes.items():
            self._enrichments.labels(outcome).inc(count)
