"""What the log says while Kafka cannot be reached at the start."""

import logging
from pathlib import Path

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError
from structlog.testing import capture_logs

from scorer.runtime.settings import load_settings
from scorer.service.waiting import KafkaWait

UNREACHABLE = KafkaConnectionError("Unable to bootstrap from [('kafka', 9092, <AddressFamily.AF_UNSPEC: 0>)]")
WHERE = "(SCORER_BOOTSTRAP_SERVERS=kafka:9092)"
CHECK = "Check the address, that a broker runs there, and that the network lets this machine reach it"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_one_sentence_at_once_then_one_a_minute_and_one_at_the_end() -> None:
    clock = Clock()
    wait = KafkaWait(load_settings(None, bootstrap_servers="kafka:9092", rules=Path(), startup_timeout_s=200), clock)
    with capture_logs() as lines, wait.quiet_client():
        for _ in range(40):
            logging.getLogger("aiokafka.client").error(
                'Unable connect to "%s:%s": %s', "kafka", 9092, OSError("[Errno 111] Connect call failed ('::1', 1)")
            )
            wait.failed(UNREACHABLE)
            clock.now += 5.0
        wait.gave_up(UNREACHABLE)
    assert [line["event"] for line in lines] == ["kafka_not_yet"] * 4 + ["kafka_unreachable"]
    first, second, *_, last = (line["error"] for line in lines)
    failure = f"Kafka cannot be reached {WHERE}: Connection refused"
    assert first == f"{failure}. Trying again for up to 200 s (SCORER_STARTUP_TIMEOUT_S)"
    assert second == f"{failure}, after 13 attempts in 60 s. {CHECK}"
    assert last == f"Kafka cannot be reached {WHERE}: no broker answers, after 41 attempts in 200 s. {CHECK}"


def test_a_slow_first_attempt_is_reported_once() -> None:
    wait = KafkaWait(load_settings(None, bootstrap_servers="kafka:9092", rules=Path()), Clock())
    with capture_logs() as lines:
        wait.slow()
        wait.failed(UNREACHABLE)
        wait.slow()
    assert len(lines) == 1
    assert lines[0]["error"].startswith(f"Kafka cannot be reached {WHERE}: no answer yet. Trying again ")


def test_a_refusal_is_not_called_unreachable() -> None:
    wait = KafkaWait(load_settings(None, bootstrap_servers="kafka:9092", rules=Path()), Clock())
    with capture_logs() as lines:
        wait.gave_up(GroupAuthorizationFailedError("lead-scorer"))
    assert lines[0]["error"].startswith(f"Kafka refuses {WHERE}: ")


@pytest.mark.parametrize(("level", "expected"), [("INFO", False), ("DEBUG", True)])
def test_the_lines_of_the_client_appear_only_for_debugging(level: str, expected: bool) -> None:
    client = logging.getLogger("aiokafka")
    before = (client.propagate, client.handlers[:])
    with KafkaWait(load_settings(None, rules=Path(), log_level=level), Clock()).quiet_client():
        assert client.propagate is expected
    assert (client.propagate, client.handlers) == before
