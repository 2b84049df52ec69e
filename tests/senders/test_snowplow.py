"""Snowplow writes the same events as TSV and, through its SDKs, as JSON."""

import pytest

from scorer.sources.rejected import Rejected
from tests.senders.samples import Sample, outcomes, readable, samples

PAIRS = [
    (sample, Sample(twin))
    for sample in samples("snowplow")
    if (twin := sample.path.with_name(f"sdk_{sample.path.stem}.json")).exists()
]


@pytest.mark.parametrize(("tsv", "by_sdk"), PAIRS, ids=[tsv.name for tsv, _ in PAIRS])
def test_an_event_is_the_same_activity_as_tsv_and_as_the_json_of_the_sdk(tsv: Sample, by_sdk: Sample) -> None:
    of_tsv, of_json = outcomes("snowplow", tsv.value), outcomes("snowplow", by_sdk.value)
    assert [readable(outcome) for outcome in of_tsv] == [readable(outcome) for outcome in of_json]


@pytest.mark.parametrize(("columns", "count"), [(slice(0, 130), "130 columns"), (slice(0, 1), "1 column")])
def test_a_line_with_other_columns_is_refused_with_their_number(columns: slice, count: str) -> None:
    line = b"\t".join(PAIRS[0][0].value.split(b"\t")[columns])
    with pytest.raises(Rejected, match=f"{count}; expected 131 columns") as caught:
        outcomes("snowplow", line)
    assert caught.value.reason == "wrong_columns"


def test_a_line_with_one_column_more_is_refused() -> None:
    with pytest.raises(Rejected, match="132 columns; expected 131 columns"):
        outcomes("snowplow", PAIRS[0][0].value + b"\t1")


def test_a_number_in_a_line_has_a_decimal_point() -> None:
    line = next(sample for sample in samples("snowplow") if sample.path.name == "struct.tsv").value
    (outcome,) = outcomes("snowplow", line.replace(b"\t12.5\t", b"\t1.234\t"))
    assert readable(outcome)["activities"][0]["data"]["value"] == 1.234
