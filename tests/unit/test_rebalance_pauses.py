"""The benchmark of a rebalance tells partitions that stay from those that move."""

import pytest


def test_the_longest_pause_of_each_kind_counts() -> None:
    pytest.importorskip("confluent_kafka")
    from benchmarks.rebalance import Pauses, pauses

    before = {0: "a", 1: "a", 2: "b", 3: "b"}
    after = {0: "a", 1: "c", 2: "b", 3: "c"}
    longest = {0: 0.2, 1: 1.5, 2: 0.4, 3: 0.9}
    assert pauses(before, after, longest) == Pauses(stays=0.4, moves=1.5, moved=2)
    assert pauses(before, before, longest) == Pauses(stays=1.5, moves=0.0, moved=0)
