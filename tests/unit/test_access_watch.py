"""A permission that is taken away while the service runs: what the log and `/health/ready` say, and who waits."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from structlog.testing import capture_logs

from scorer.kafka.access import tick_permission
from scorer.kafka.denied import DeniedError, Operation, Permission, Resource, denial_behind, refusal, sentence
from scorer.kafka.transaction import AbortedError, DoubtfulError
from scorer.runtime.settings import load_settings
from scorer.stream import access_watch
from scorer.stream.access_watch import AccessWatch

SETTINGS = load_settings(
    None,
    rules=Path(),
    bootstrap_servers="kafka:9092",
    security_protocol="SASL_SSL",
    sasl_mechanism="PLAIN",
    sasl_username="scorer",
    sasl_password="x",
)
ROUTING = Permission(Resource.TOPIC, "lead.routing", Operation.WRITE)
IDS = Permission(Resource.TRANSACTIONAL_ID, "lead-scorer-", Operation.WRITE, prefixed=True)
WANTED = Permission(Resource.TOPIC, "lead.routing", Operation.DESCRIBE_CONFIGS, required=False)
REFUSED = TopicAuthorizationFailedError({"lead.routing"})
GRANT = "kafka-acls --bootstrap-server kafka:9092 --command-config admin.properties --add --allow-principal User:scorer"


class Kafka:
    """What Kafka denies now, and how often it was asked."""

    now = 0.0
    denies: Sequence[Permission] | Exception = ()
    asked = 0
    suspicious = False
    refuses_us: str | None = None

    async def refuses(self) -> str | None:
        return self.refuses_us

    def __init__(self) -> None:
        self.rejoined = 0
        self.watch = AccessWatch(
            SETTINGS, self.look, lambda: self.suspicious, self.rejoin, self.refuses, lambda: self.now
        )

    async def look(self) -> Sequence[Permission]:
        self.asked += 1
        if isinstance(self.denies, Exception):
            raise self.denies
        return self.denies

    async def asked_again(self, times: int) -> None:
        """Return when Kafka was asked so many times more."""
        goal = self.asked + times
        while self.asked < goal:  # noqa: ASYNC110 - the parts are single-threaded, and an event would say no more
            await asyncio.sleep(0)

    def rejoin(self) -> None:
        self.rejoined += 1

    def check(self) -> None:
        asyncio.run(self.watch.check())


def test_a_refused_login_is_logged_at_once_and_at_its_end() -> None:
    kafka = Kafka()
    kafka.denies, kafka.refuses_us = KafkaConnectionError(), "the broker refuses the user"
    with capture_logs() as lines:
        for _ in range(3):
            kafka.check()
            kafka.now += 5.0
        assert kafka.watch.trouble() == {"access": "the broker refuses the user"}
        kafka.denies, kafka.refuses_us = (), None
        kafka.check()
        assert kafka.watch.trouble() == {}
    assert [line["event"] for line in lines] == ["kafka_refuses_login", "kafka_accepts_login"]
    assert kafka.rejoined == 1


def test_a_report_of_a_refused_login_is_looked_at_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_watch, "_CHECK_SECONDS", 0.0)

    async def work() -> None:
        kafka = Kafka()
        running = asyncio.create_task(kafka.watch.run())
        await asyncio.sleep(0)
        assert kafka.asked == 0
        kafka.watch.login_refused()
        await kafka.asked_again(1)
        running.cancel()

    asyncio.run(work())


def test_a_denial_is_logged_at_once_then_once_a_minute_and_at_its_end() -> None:
    kafka = Kafka()
    kafka.denies = [ROUTING, WANTED]
    with capture_logs() as lines:
        assert kafka.watch.refused(REFUSED)
        for _ in range(25):
            kafka.check()
            kafka.now += 5.0
        assert kafka.rejoined == 0
        text = f"User:scorer may not Write to the topic lead.routing: grant it with `{GRANT} --operation Write"
        assert str(kafka.watch.trouble()["access"]).startswith(text)
        kafka.denies = [WANTED]
        kafka.check()
    assert [line["event"] for line in lines] == ["kafka_denies_access"] * 3 + ["kafka_allows_access"]
    assert lines[0]["error"].startswith(text)
    assert kafka.watch.trouble() == {}
    assert kafka.rejoined == 1


def test_the_reason_is_shown_before_the_check_knows_more() -> None:
    kafka = Kafka()
    assert kafka.watch.trouble() == {}
    kafka.watch.refused(REFUSED)
    text = "Kafka does not let User:scorer use the topic lead.routing: see `scorer topics check-access`"
    assert kafka.watch.trouble() == {"access": text}


def test_what_the_check_does_not_see_lasts_until_nothing_is_refused_for_a_while() -> None:
    kafka = Kafka()
    with capture_logs() as lines:
        for _ in range(5):
            kafka.watch.refused(REFUSED)
            kafka.check()
            kafka.now += 5.0
        assert kafka.watch.trouble() != {}
        kafka.now += 15.0
        kafka.check()
    assert [line["event"] for line in lines] == ["kafka_denies_access", "kafka_allows_access"]
    assert kafka.watch.trouble() == {}


def test_without_an_answer_of_kafka_everything_stays_as_it_is() -> None:
    kafka = Kafka()
    kafka.denies = [ROUTING]
    kafka.watch.refused(REFUSED)
    kafka.check()
    before = kafka.watch.trouble()
    kafka.denies = KafkaConnectionError("away")
    kafka.check()
    assert kafka.watch.trouble() == before


@pytest.mark.parametrize("error", [KafkaConnectionError("away"), AbortedError("x"), ValueError()])
def test_other_errors_are_not_refusals(error: Exception) -> None:
    kafka = Kafka()
    assert not kafka.watch.refused(error)
    assert kafka.watch.trouble() == {}


def test_a_denial_explains_an_error_that_does_not_name_it() -> None:
    kafka = Kafka()
    error = AbortedError("InvalidTxnState()")
    assert not asyncio.run(kafka.watch.explains(error))
    assert kafka.watch.trouble() == {}
    kafka.denies = [ROUTING]
    assert asyncio.run(kafka.watch.explains(error))
    assert "Write to the topic lead.routing" in str(kafka.watch.trouble()["access"])


def test_a_denied_tick_explains_an_error_once() -> None:
    """The next transaction has no tick, so something else is wrong if it fails in the same way."""
    kafka = Kafka()
    kafka.denies = [tick_permission(SETTINGS)]
    error = AbortedError("InvalidTxnState()")
    assert asyncio.run(kafka.watch.explains(error))
    assert not asyncio.run(kafka.watch.explains(error))
    assert kafka.watch.trouble() == {}


def test_a_refusal_is_found_behind_the_errors_that_it_caused() -> None:
    aborted = AbortedError("x")
    aborted.__cause__ = REFUSED
    doubtful = DoubtfulError("y")
    doubtful.__cause__ = aborted
    assert denial_behind(doubtful) is REFUSED
    assert Kafka().watch.refused(doubtful)


TICK = tick_permission(SETTINGS)


def test_without_write_on_the_input_the_service_goes_on_without_ticks() -> None:
    """It says so once, and writes ticks again when it may."""
    kafka = Kafka()
    kafka.watch.know([WANTED])
    assert kafka.watch.no_ticks is None
    with capture_logs() as lines:
        assert kafka.watch.refused(TopicAuthorizationFailedError({SETTINGS.activity_topic}))
        kafka.denies = [TICK, WANTED]
        for _ in range(3):
            kafka.check()
        assert kafka.watch.trouble() == {}
        text = f"User:scorer may not Write to the topic lead.activity: grant it with `{GRANT} --operation Write"
        assert str(kafka.watch.no_ticks).startswith(text)
        kafka.denies = [WANTED]
        kafka.check()
        assert kafka.watch.no_ticks is None
    assert [(line["event"], line["log_level"]) for line in lines] == [("access_incomplete", "warning")]
    assert lines[0]["error"].startswith(text)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CHECK_SECONDS", "_LOOK_AGAIN_SECONDS", "_SUSPICION_SECONDS"):
        monkeypatch.setattr(access_watch, name, 0.01)


@pytest.mark.usefixtures("quick")
def test_whoever_was_refused_waits_until_it_is_allowed_again() -> None:
    kafka = Kafka()
    kafka.denies = [ROUTING]

    async def work() -> None:
        running = asyncio.create_task(kafka.watch.run())
        kafka.watch.refused(REFUSED)
        await kafka.asked_again(1)
        waiting = asyncio.create_task(kafka.watch.allowed(asyncio.Event()))
        await kafka.asked_again(5)
        assert not waiting.done()
        kafka.denies = []
        await asyncio.wait_for(waiting, 10)
        assert kafka.watch.trouble() == {}
        running.cancel()

    asyncio.run(work())


def test_a_refusal_is_looked_into_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_watch, "_SUSPICION_SECONDS", 1_000.0)
    kafka = Kafka()
    kafka.denies = [ROUTING]

    async def work() -> None:
        running = asyncio.create_task(kafka.watch.run())
        await asyncio.sleep(0)
        kafka.watch.refused(REFUSED)
        await asyncio.wait_for(kafka.asked_again(1), 30)
        running.cancel()

    asyncio.run(work())


@pytest.mark.usefixtures("quick")
def test_a_worker_that_closes_does_not_wait() -> None:
    kafka = Kafka()
    kafka.denies = [ROUTING]

    async def work() -> None:
        closing = asyncio.Event()
        kafka.watch.refused(REFUSED)
        await kafka.watch.check()
        waiting = asyncio.create_task(kafka.watch.allowed(closing))
        await asyncio.sleep(0)
        closing.set()
        await asyncio.wait_for(waiting, 10)

    asyncio.run(work())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("suspicious", "denied"), [(False, False), (True, False), (False, True)])
def test_kafka_is_asked_without_a_refusal_only_on_suspicion_and_for_ticks(suspicious: bool, denied: bool) -> None:
    kafka = Kafka()
    kafka.suspicious = suspicious
    kafka.denies = [TICK] if denied else []
    kafka.watch.know(kafka.denies)

    async def work() -> None:
        running = asyncio.create_task(kafka.watch.run())
        for _ in range(20):
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(work())
    assert bool(kafka.asked) is (suspicious or denied)


def test_a_sentence_names_operation_resource_name_and_the_command() -> None:
    assert sentence(SETTINGS, [IDS]) == (
        "User:scorer may not Write to the transactional ids lead-scorer-*: grant it with "
        f"`{GRANT} --operation Write --transactional-id lead-scorer- --resource-pattern-type prefixed`"
    )
    both = [Permission(Resource.GROUP, "g", operation) for operation in (Operation.DESCRIBE, Operation.READ)]
    assert sentence(SETTINGS, both) == (
        "User:scorer may not Describe and Read the group g: grant it with "
        f"`{GRANT} --operation Describe --operation Read --group g`"
    )
    many = [Permission(Resource.TOPIC, name, Operation.READ) for name in "abc"]
    assert sentence(SETTINGS, many, "dlq list") == (
        "User:scorer may not Read the topic a, Read the topic b, Read the topic c: grant it with the commands that "
        "`scorer topics check-access --for 'dlq list'` prints"
    )


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (TopicAuthorizationFailedError({"b", "a"}), "the topic a, b"),
        (TopicAuthorizationFailedError("a"), "the topic a"),
        (GroupAuthorizationFailedError("g"), "the group g"),
        (TransactionalIdAuthorizationFailed(), "the transactional id"),
    ],
)
def test_a_refusal_is_named_as_far_as_the_error_says(error: Exception, what: str) -> None:
    assert f" use {what}: see " in refusal(SETTINGS, error)


def test_without_a_login_kafka_calls_us_anonymous() -> None:
    plain = load_settings(None, rules=Path(), bootstrap_servers="kafka:9092")
    message = str(DeniedError(plain, [ROUTING]))
    assert message.startswith("User:ANONYMOUS may not Write to the topic lead.routing: grant it with")
    assert "--command-config" not in message
