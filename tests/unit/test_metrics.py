"""Metrics: what a batch adds, as Prometheus reads it."""

from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scorer.runtime.memory_limit import memory_limit
from scorer.runtime.metrics import MAX_CUSTOM_TYPES, STATUSES, BatchFigures, Metrics
from scorer.runtime.settings import load_settings
from scorer.service import compose
from tests.factory import ruleset_folder


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Everything, as a Prometheus server reads it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """One sample; `from_` stands for `from`."""
    return samples(metrics)[name, frozenset((key.rstrip("_"), text) for key, text in labels.items())]


def test_a_committed_batch_is_counted() -> None:
    metrics = Metrics()
    figures = BatchFigures(
        activities=Counter({"lead.page_viewed": 3}),
        decisions=Counter({("hot", "sales"): 1}),
        transitions=Counter({("warm", "hot"): 1}),
        handovers=Counter({"field-sales": 1}),
        rule_hits=Counter({("budget", "approved"): 2}),
        dead_letters=Counter({"not_json": 4}),
        timestamps=[1_000_000, 999_000],
    )
    metrics.committed(figures, now=1000.02)
    # Several batches may be in one transaction, which is counted by itself.
    metrics.transaction("committed")
    assert value(metrics, "scorer_activities_total", type="lead.page_viewed") == 3
    assert value(metrics, "scorer_decisions_total", rating="hot", route="sales") == 1
    assert value(metrics, "scorer_transitions_total", from_="warm", to="hot") == 1
    assert value(metrics, "scorer_handovers_total", queue="field-sales") == 1
    assert value(metrics, "scorer_rule_hits_total", criterion="budget", rule="approved") == 2
    assert value(metrics, "scorer_dead_letters_total", reason="not_json") == 4
    assert value(metrics, "scorer_event_to_decision_seconds_count") == 2
    assert value(metrics, "scorer_event_to_decision_seconds_bucket", le="0.025") == 1
    assert value(metrics, "scorer_event_to_decision_seconds_bucket", le="+Inf") == 2


def test_the_number_of_labels_for_custom_types_is_limited() -> None:
    metrics = Metrics()
    for number in range(MAX_CUSTOM_TYPES + 50):
        metrics.committed(BatchFigures(activities=Counter({f"lead.custom_{number}": 1, "lead.erased": 1})), now=0.0)
    types = [dict(labels)["type"] for name, labels in samples(metrics) if name == "scorer_activities_total"]
    assert len(types) == MAX_CUSTOM_TYPES + 2
    assert value(metrics, "scorer_activities_total", type="other") == 50
    assert value(metrics, "scorer_activities_total", type="lead.custom_0") == 1


def test_a_type_that_the_rules_name_always_has_its_own_label() -> None:
    metrics = Metrics()
    metrics.ruleset("b2b", "1", "durable", {"lead.named"})
    made_up = BatchFigures(activities=Counter({f"lead.made_up_{number}": 1 for number in range(150)}))
    metrics.committed(made_up, now=0.0)
    metrics.committed(BatchFigures(activities=Counter({"lead.named": 2, "lead.named_later": 3})), now=0.0)
    assert value(metrics, "scorer_activities_total", type="lead.named") == 2
    assert value(metrics, "scorer_activities_total", type="other") == 53
    metrics.ruleset("b2b", "2", "durable", {"lead.named_later"})
    metrics.committed(BatchFigures(activities=Counter({"lead.named": 2, "lead.named_later": 3})), now=0.0)
    assert value(metrics, "scorer_activities_total", type="lead.named") == 4
    assert value(metrics, "scorer_activities_total", type="lead.named_later") == 3


def test_a_type_that_the_rules_name_later_leaves_its_place_to_another() -> None:
    metrics = Metrics()
    made_up = [f"lead.made_up_{number}" for number in range(MAX_CUSTOM_TYPES)]
    metrics.committed(BatchFigures(activities=Counter(made_up)), now=0.0)
    metrics.ruleset("b2b", "1", "durable", {made_up[0]})
    metrics.committed(BatchFigures(activities=Counter([made_up[0], "lead.late", "lead.later"])), now=0.0)
    assert value(metrics, "scorer_activities_total", type=made_up[0]) == 2
    assert value(metrics, "scorer_activities_total", type="lead.late") == 1
    assert value(metrics, "scorer_activities_total", type="other") == 1


def test_a_value_equal_to_a_bound_counts_in_its_bucket() -> None:
    metrics = Metrics()
    metrics.assess_seconds.observe([1.1e-5, 1e-5])
    metrics.assess_seconds.observe([5.0])
    assert value(metrics, "scorer_assess_seconds_bucket", le="1e-05") == 1
    assert value(metrics, "scorer_assess_seconds_bucket", le="2.5e-05") == 2
    assert value(metrics, "scorer_assess_seconds_bucket", le="1.0") == 2
    assert value(metrics, "scorer_assess_seconds_bucket", le="+Inf") == 3
    assert value(metrics, "scorer_assess_seconds_sum") == 1e-5 + 1.1e-5 + 5.0


def test_only_the_ruleset_in_use_is_shown() -> None:
    metrics = Metrics()
    metrics.ruleset("b2b", "1", "durable")
    metrics.ruleset("b2b", "2", "durable")
    shown = [dict(labels)["revision"] for name, labels in samples(metrics) if name == "scorer_ruleset_info"]
    assert shown == ["2"]


def test_the_lag_of_a_revoked_partition_is_removed() -> None:
    metrics = Metrics()
    metrics.lag(0, 5)
    metrics.lag(1, 7)
    metrics.lag(0, None)
    metrics.lag(0, None)
    assert [labels for name, labels in samples(metrics) if name == "scorer_consumer_lag_records"] == [
        frozenset({("partition", "1")})
    ]


def test_two_services_in_one_process_do_not_share_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.restored(5)
    assert value(other, "scorer_restore_records_total") == 0


def test_the_process_is_measured() -> None:
    assert value(Metrics(), "process_resident_memory_bytes") > 0


def test_nothing_is_said_before_it_is_known() -> None:
    metrics = Metrics()
    late = {
        "scorer_broker_fences",
        "scorer_shadow_last_reload_successful",
        "scorer_input_partitions",
        "scorer_memory_limit_bytes",
    }
    assert not late & {name for name, _ in samples(metrics)}
    metrics.memory_limit(None)
    assert "scorer_memory_limit_bytes" not in {name for name, _ in samples(metrics)}
    for _ in range(2):
        metrics.fences(False)
        metrics.shadow_loaded(False)
        metrics.input_partitions(6)
        metrics.memory_limit(1 << 30)
    assert value(metrics, "scorer_broker_fences") == 0
    assert value(metrics, "scorer_shadow_last_reload_successful") == 0
    assert value(metrics, "scorer_input_partitions") == 6
    assert value(metrics, "scorer_memory_limit_bytes") == 1 << 30


def test_the_first_increase_of_a_counter_that_raises_an_alarm_can_be_seen() -> None:
    shown = {name: number for name, number in samples(Metrics()).items() if number == 0}
    for name, label, values in (
        ("scorer_transactions_total", "outcome", ("committed", "aborted", "fenced", "doubtful")),
        ("scorer_dead_letters_total", "reason", ("internal_error", "state_too_large", "decision_too_large")),
        ("scorer_rescore_leads_total", "outcome", ("too_large", "failed")),
    ):
        for each in values:
            assert (name, frozenset({(label, each)})) in shown


def test_one_status_at_a_time_is_shown() -> None:
    metrics = Metrics()
    metrics.health("stalled")
    metrics.health("ready")
    shown = {dict(labels)["status"]: on for (name, labels), on in samples(metrics).items() if "health" in name}
    assert set(shown) == set(STATUSES)
    assert [status for status, on in shown.items() if on] == ["ready"]


def test_counters_have_one_series_each() -> None:
    assert not [name for name, _ in samples(Metrics()) if name.endswith("_created")]


def test_the_service_says_how_much_memory_it_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "memory_limit", lambda: 1 << 30)
    service = compose.build(load_settings(None, rules=ruleset_folder(tmp_path), engine="compiled"))
    assert value(service.metrics, "scorer_memory_limit_bytes") == 1 << 30


@pytest.mark.parametrize(
    ("texts", "limit"),
    [
        (("1073741824\n",), 1 << 30),
        (("max\n",), None),
        ((None, "9223372036854771712\n"), None),
        ((None, "536870912\n"), 1 << 29),
        ((None, None), None),
    ],
)
def test_the_memory_limit_is_that_of_the_control_group(
    tmp_path: Path, texts: tuple[str | None, ...], limit: int | None
) -> None:
    files = [tmp_path / str(number) for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        if text is not None:
            file.write_text(text)
    assert memory_limit(files) == limit
