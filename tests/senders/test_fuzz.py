"""What no platform sends breaks nothing. `make fuzz-senders` does the same with far more inputs."""

from tests.senders.fuzz import run
from tests.senders.samples import samples

ROUNDS = 5


def test_changed_samples_are_activities_or_have_a_reason() -> None:
    result = run(ROUNDS * len(samples()), seed=18)
    assert result.problems == []
    # The changes leave some events good, and make nonsense of others.
    assert result.outcomes["activities"] > 0
    assert any(kind.startswith("rejected") for kind in result.outcomes)
