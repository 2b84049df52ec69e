"""The states of a partition: what a transaction changes or removes counts once it is committed."""

import pytest

from scorer.domain.lead import Lead
from scorer.state.codec import encode_lead
from scorer.state.store import LeadStore
from scorer.stream.outbox import state_messages

OLD, NEW = Lead("a", clock=1), Lead("a", clock=2)


@pytest.fixture(params=[0, 100], ids=["without cache", "with cache"])
def store(request: pytest.FixtureRequest) -> LeadStore:
    """A store with two leads."""
    store = LeadStore(request.param)
    store.stage(OLD)
    store.stage(Lead("b", clock=1))
    store.commit()
    return store


def test_a_removed_lead_is_gone_once_that_is_committed(store: LeadStore) -> None:
    store.stage_removal("a")
    assert store.get("a") == Lead("a")
    assert store.committed("a") == OLD
    assert store.encode_staged() == {"a": None}
    store.commit()
    assert store.get("a") == Lead("a")
    assert store.committed("a") is None
    assert set(store.ids()) == {"b"}
    assert len(store) == 1
    assert store.encode_staged() == {}


def test_a_removal_that_is_discarded_did_not_happen(store: LeadStore) -> None:
    store.stage_removal("a")
    store.discard()
    store.commit()
    assert store.get("a") == OLD


def test_a_lead_that_is_staged_again_stays(store: LeadStore) -> None:
    store.stage_removal("a")
    assert store.encode_staged() == {"a": None}
    store.stage(NEW)
    assert store.encode_staged() == {"a": encode_lead(NEW)}
    store.commit()
    assert store.committed("a") == NEW


def test_a_change_that_is_removed_in_the_same_transaction_leaves_nothing(store: LeadStore) -> None:
    store.stage(NEW)
    store.encode_staged()
    store.stage_removal("a")
    store.stage_removal("never seen")
    assert store.encode_staged() == {"a": None, "never seen": None}
    store.commit()
    assert set(store.ids()) == {"b"}


def test_a_removal_is_a_tombstone_in_the_changelog(store: LeadStore) -> None:
    store.stage_removal("a")
    store.stage(Lead("b", clock=3))
    messages = state_messages(store.encode_staged(), "states", 3, 7)
    values = {message.key: message.value for message in messages}
    assert values == {b"a": None, b"b": encode_lead(Lead("b", clock=3))}
    assert {message.partition for message in messages} == {3}
    assert {header for message in messages for header in message.headers} == {("offset", (7).to_bytes(8, "big"))}


@pytest.mark.parametrize("cache", [0, 100], ids=["without cache", "with cache"])
def test_a_tombstone_in_the_changelog_removes_what_was_restored(cache: int) -> None:
    store = LeadStore(cache)
    store.restore("a", encode_lead(OLD))
    store.restore("b", encode_lead(Lead("b", clock=1)))
    store.restore("a", None)
    store.restore("never seen", None)
    assert set(store.ids()) == {"b"}
    assert len(store) == 1
    assert store.get("a") == Lead("a")
    assert store.committed("a") is None
    store.restore("a", encode_lead(NEW))
    assert store.get("a") == NEW
