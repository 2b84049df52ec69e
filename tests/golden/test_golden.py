"""The output is as before, byte for byte. `make golden` does the same with far more activities."""

import json

import pytest

from tests.golden.mixed_activities import RulesetName
from tests.golden.run import BUILT_IN_TYPES, FULL, HASHES, RULESETS, SEED, SHORT, decisions, measure

KNOWN: dict[str, dict[RulesetName, dict[str, str]]] = json.loads(HASHES.read_text())
OUTPUTS = {"backtest", "dead_letters", "decisions", "rescored", "score", "shadow", "states", "stories"}
OWN_TYPES = {"lead.my_type", "lead.chat_started", "lead.my_company.other_type_2"}
RATINGS = ("cold", "warm", "hot")
REASONS = {
    "bad_header",
    "empty_value",
    "internal_error",
    "invalid_attribute",
    "invalid_data",
    "invalid_time",
    "key_mismatch",
    "missing_attribute",
    "not_a_list",
    "not_an_object",
    "not_json",
    "not_utf8",
    "null_key",
    "number_out_of_range",
    "time_in_future",
    "too_deep",
    "too_large",
    "unknown_type",
    "unsupported_content_type",
    "unsupported_specversion",
}


@pytest.mark.parametrize("ruleset", RULESETS)
def test_the_output_for_a_mixed_stream_is_as_before(ruleset: RulesetName) -> None:
    measured = measure(ruleset, SHORT, SEED)
    assert measured.hashes == KNOWN[str(SHORT)][ruleset]
    # Everything happens in the stream.
    assert set(measured.activities) >= BUILT_IN_TYPES | OWN_TYPES
    assert set(measured.decisions) == set(RATINGS)
    assert set(measured.routes) == {"discard", "nurture", "sales"}
    assert set(measured.transitions) == {f"{old}-{new}" for old in RATINGS for new in RATINGS if old != new}
    assert set(measured.dead_letters) == REASONS
    assert set(measured.rescored) >= {"published", "unchanged"}
    assert measured.samples > 0


@pytest.mark.parametrize("ruleset", RULESETS)
def test_the_compiled_engine_decides_the_same(ruleset: RulesetName) -> None:
    assert decisions(ruleset, SHORT, SEED, "compiled") == KNOWN[str(SHORT)][ruleset]["decisions"]


def test_the_hashes_of_the_full_stream_are_complete() -> None:
    for count in (SHORT, FULL):
        assert {ruleset: set(known) for ruleset, known in KNOWN[str(count)].items()} == dict.fromkeys(RULESETS, OUTPUTS)
