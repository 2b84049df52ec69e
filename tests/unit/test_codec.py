"""The state codec reads what it writes, and what earlier versions wrote."""

from dataclasses import fields, replace
from hashlib import blake2b

import msgspec
import pytest

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import Hit
from scorer.domain.instant import DAY, SECOND
from scorer.domain.lead import NEVER, NO_CLOCK, Lead, Published
from scorer.domain.lifecycle import Promise
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.evaluation.notes import Notes
from scorer.state.codec import CodecError, decode_lead, due_of, encode_lead
from tests.factory import evaluator

DAY_0 = 20_000 * DAY


def activity(number: int, kind: str, data: dict[str, object]) -> LeadActivity:
    """An activity on day `number`."""
    return LeadActivity(f"e{number}", "/web" if number % 2 else "/crm", kind, DAY_0 + number * DAY, "L-1", data)


def rich_lead() -> Lead:
    """A lead with a value for each part of its state."""
    lead = Lead("L-1")
    for number in range(5):
        page = activity(number, "lead.page_viewed", {"url": "/pricing"})
        lead = lead.apply(page, [Hit("pricing_visit", 2), Hit("any_visit", 5)])
    profile: dict[str, object] = {
        "company": "Müller & Söhne 🚀",
        "employees": 2**63 - 1,
        "annual_revenue": 1e-07,
        "is_competitor": False,
        "technologies": ["kafka", "sap"],
        "industry": None,
        "custom": {"installed_base": -3},
    }
    lead = lead.apply(activity(6, "lead.profile_updated", profile), custom={"installed_base": lambda value: value})
    lead = lead.apply(activity(7, "lead.sales_returned", {}))
    decided = DAY_0 + 8 * DAY
    published = Published(Rating.HOT, Grade("A", 1), Route.SALES, "key-accounts", Score(50, -3), decided)
    levels = ((decided + DAY, "key-accounts"), (decided + 2 * DAY, None))
    promise = Promise(decided, decided, decided + DAY, "key-accounts", levels, 1)
    lead = lead.publish(published, promise=promise)
    assert lead.lifecycle is not None
    return replace(
        lead,
        rules_at_return=("budget-approved", "pricing_visit"),
        erased_at=DAY_0 - 900 * DAY,
        lifecycle=msgspec.structs.replace(lead.lifecycle, category="active-a"),
    )


def earlier_lead() -> Lead:
    """`rich_lead()` as releases before 0.3 knew it."""
    lead = rich_lead()
    new = {"lifecycle.times_returned", "lifecycle.return_reason"}
    return replace(lead, facts={name: fact for name, fact in lead.facts.items() if name not in new}, lifecycle=None)


@pytest.mark.parametrize(
    "lead",
    [
        Lead("L-1"),
        rich_lead(),
        rich_lead().apply(activity(3, "lead.erased", {})),
        rich_lead().apply(activity(900, "lead.erased", {})),
        Lead(
            "L-1", clock=-(10**15), published=Published(Rating.COLD, Grade("D", 4), Route.DISCARD, None, Score(0, 0), 0)
        ),
    ],
)
def test_a_state_can_be_read_back(lead: Lead) -> None:
    assert decode_lead("L-1", encode_lead(lead)) == lead


def test_the_sample_has_a_value_for_each_part_of_the_state() -> None:
    empty, rich = Lead("L-1"), rich_lead()
    stored = [attribute.name for attribute in fields(Lead) if attribute.compare]
    untouched = [name for name in stored if getattr(empty, name) == getattr(rich, name)]
    assert untouched == ["id"]


def test_equal_states_give_equal_bytes_in_any_order_of_events() -> None:
    first, second = activity(1, "lead.profile_updated", {"company": "A"}), activity(2, "lead.demo_requested", {})
    hits, more = [Hit("s", 3)], [Hit("a", 1), Hit("z", 1)]
    one = Lead("L-1").apply(first, hits).apply(second, more)
    other = Lead("L-1").apply(second, more).apply(first, hits)
    assert encode_lead(one) == encode_lead(other)


def test_ten_facts_of_one_event_take_little_space() -> None:
    data: dict[str, object] = {f"custom_{number}": number for number in range(10)}
    lead = Lead("L-1").apply(
        activity(1, "lead.profile_updated", {"custom": data}), custom=dict.fromkeys(data, lambda value: value)
    )
    assert len(encode_lead(lead)) < 200


SAMPLE_1 = (
    "0197cf000624282b0fa000cf0005dce270fe800098a3686f74a14101a573616c6573ac6b65792d6163636f756e747332fdcf"
    "0006243c48e7000093a42f63726da42f776562a09394cf000624140d384000a26536009eae696e7374616c6c65645f626173"
    "65fd03cb3e7ad7f29abcaf4800b54dc3bc6c6c657220262053c3b6686e6520f09f9a8002cf7fffffffffffffff01c00dc20b"
    "92a56b61666b61a373617094cf000624282b0fa000a26537019225c394cf0006243c48e70000a0029428c31dab68616e6465"
    "645f6f7665729292a9616e795f76697369749acd4e20c4085ba16b0f5721ba75cd4e21c4087305bf37e1280bc0cd4e22c408"
    "ef275bc9048917ebcd4e23c408744ba1092a248d59cd4e24c408f1dc65a7980c6ab092ad70726963696e675f76697369749a"
    "cd4e20c4085ba16b0f5721ba75cd4e21c4087305bf37e1280bc0cd4e22c408ef275bc9048917ebcd4e23c408744ba1092a24"
    "8d59cd4e24c408f1dc65a7980c6ab092af6275646765742d617070726f766564ad70726963696e675f7669736974"
)
"""`rich_lead()` in version 1, as the first release wrote it. Never change it."""


SAMPLE_2 = (
    "0298cf000624282b0fa000cf0005dce270fe800095cc80ac6b65792d6163636f756e747332fdd3ffffffebe228a000c4919d"
    "93a42f63726da42f776562a0cf000624140d384000a26536009eae696e7374616c6c65645f62617365fd03cb3e7ad7f29abc"
    "af4800b54dc3bc6c6c657220262053c3b6686e6520f09f9a8002cf7fffffffffffffff01c00dc20b92a56b61666b61a37361"
    "70cf000624282b0fa000a26537019225c3cf0006243c48e70000a0029428c31dab68616e6465645f6f76657282a9616e795f"
    "76697369749bc4285ba16b0f5721ba757305bf37e1280bc0ef275bc9048917eb744ba1092a248d59f1dc65a7980c6ab0cd4e"
    "2001cd4e2101cd4e2201cd4e2301cd4e2401ad70726963696e675f76697369749bc4285ba16b0f5721ba757305bf37e1280b"
    "c0ef275bc9048917eb744ba1092a248d59f1dc65a7980c6ab0cd4e2001cd4e2101cd4e2201cd4e2301cd4e240192af627564"
    "6765742d617070726f766564ad70726963696e675f7669736974c0c2"
)
"""`earlier_lead()` in version 2. Never change it."""


SAMPLE_2_WITH_DUE = (
    "029ccf000624282b0fa000cf0005dce270fe800095cc80ac6b65792d6163636f756e747332fdd3ffffffebe228a000c4919d"
    "93a42f63726da42f776562a0cf000624140d384000a26536009eae696e7374616c6c65645f62617365fd03cb3e7ad7f29abc"
    "af4800b54dc3bc6c6c657220262053c3b6686e6520f09f9a8002cf7fffffffffffffff01c00dc20b92a56b61666b61a37361"
    "70cf000624282b0fa000a26537019225c3cf0006243c48e70000a0029428c31dab68616e6465645f6f76657282a9616e795f"
    "76697369749bc4285ba16b0f5721ba757305bf37e1280bc0ef275bc9048917eb744ba1092a248d59f1dc65a7980c6ab0cd4e"
    "2001cd4e2101cd4e2201cd4e2301cd4e2401ad70726963696e675f76697369749bc4285ba16b0f5721ba757305bf37e1280b"
    "c0ef275bc9048917eb744ba1092a248d59f1dc65a7980c6ab0cd4e2001cd4e2101cd4e2201cd4e2301cd4e240192af627564"
    "6765742d617070726f766564ad70726963696e675f7669736974c0c2cf000000141dd7600095c410cec33c03e62478e04fc0"
    "1fb5b15fa209cd4e2601cd4e2701cf000000141dd76000c409670b0d806162636465"
)
"""`earlier_lead()` in version 2 with a due instant, judged by the rules with the mark `abcde`. Never change it."""

SAMPLE_2_WITH_LIFECYCLE = (
    "029ecf000624282b0fa000cf0005dce270fe800095cc80ac6b65792d6163636f756e747332fdd3ffffffebe228a000c4d2dc"
    "001193a42f63726da0a42f776562cf000624140d384000a26536009eae696e7374616c6c65645f62617365fd03cb3e7ad7f2"
    "9abcaf4800b54dc3bc6c6c657220262053c3b6686e6520f09f9a8002cf7fffffffffffffff01c00dc20b92a56b61666b61a3"
    "736170cf000624282b0fa000a00192b86c6966656379636c652e74696d65735f72657475726e656401cf000624282b0fa000"
    "a26537029425c3b76c6966656379636c652e72657475726e5f726561736f6ec0cf0006243c48e70000a0019428c31dab6861"
    "6e6465645f6f76657282a9616e795f76697369749bc4285ba16b0f5721ba757305bf37e1280bc0ef275bc9048917eb744ba1"
    "092a248d59f1dc65a7980c6ab0cd4e2001cd4e2101cd4e2201cd4e2301cd4e2401ad70726963696e675f76697369749bc428"
    "5ba16b0f5721ba757305bf37e1280bc0ef275bc9048917eb744ba1092a248d59f1dc65a7980c6ab0cd4e2001cd4e2101cd4e"
    "2201cd4e2301cd4e240192af6275646765742d617070726f766564ad70726963696e675f7669736974c0c2cf000000141dd7"
    "600095c410cec33c03e62478e04fc01fb5b15fa209cd4e2601cd4e2701cf000000141dd76000c409670b0d80616263646594"
    "9193cf000624282b0fa00004a09196cf0006243c48e70000000202c3ac6b65792d6163636f756e747396cf0006243c48e700"
    "00cf0006243c48e70000cf0006245066be6000ac6b65792d6163636f756e74739292cf0006245066be6000ac6b65792d6163"
    "636f756e747392cf000624648495c000c001a86163746976652d61c409670b0d806162636465"
)
"""`rich_lead()` in version 2 with all parts, judged by the rules with the mark `abcde`. Never change it."""


@pytest.mark.parametrize(
    ("lead", "sample"), [(rich_lead(), SAMPLE_2_WITH_LIFECYCLE), (earlier_lead(), SAMPLE_2_WITH_DUE)]
)
def test_version_2_with_all_parts_is_read_and_written_unchanged(lead: Lead, sample: str) -> None:
    lead = replace(lead, judged_by=b"abcde", due=DAY_0 + 9 * DAY)
    read = decode_lead("L-1", bytes.fromhex(sample))
    assert read == lead
    assert (read.judged_by, read.due) == (lead.judged_by, lead.due)
    assert due_of(bytes.fromhex(sample)) == (lead.due, lead.judged_by)
    assert encode_lead(lead).hex() == sample


def test_version_2_of_earlier_releases_can_be_read() -> None:
    read = decode_lead("L-1", bytes.fromhex(SAMPLE_2))
    assert read == replace(earlier_lead(), recent=None, seen_at=rich_lead().judged_at)
    assert (read.judged_by, read.due) == (b"", NO_CLOCK)


@pytest.mark.parametrize(
    ("due", "stored"),
    [
        (NEVER, NEVER),
        (DAY_0 + 1_999_999, DAY_0 + SECOND),
        (NEVER - 1, 0xFFFF_FFFE * SECOND),
        (SECOND - 1, NO_CLOCK),
        (-DAY_0, NO_CLOCK),
        (NO_CLOCK, NO_CLOCK),
    ],
)
def test_the_stored_bound_is_never_later_than_the_bound(due: int, stored: int) -> None:
    state = encode_lead(replace(rich_lead(), judged_by=b"abcde", due=due))
    assert due_of(state) == (stored, b"abcde")
    assert stored <= due


class EarlierState(msgspec.Struct, array_like=True):
    """What the release before this one reads of a state."""

    clock: int
    erased_at: int | None
    published: tuple[int, str | None, int, int, int] | None
    facts: bytes | None
    counted: dict[str, tuple[bytes | int, ...]]
    seen: tuple[str, ...]
    notes: bytes | None = None
    timed: bool = False


def test_the_release_before_reads_what_this_one_writes() -> None:
    """So workers of both can be in one group during a rolling upgrade, and there is a way back."""
    lead = replace(rich_lead(), judged_by=b"abcde", due=DAY_0 + 9 * DAY)
    state = encode_lead(lead)
    earlier = msgspec.msgpack.decode(state[1:], type=EarlierState)
    written = b"\x02" + msgspec.msgpack.encode(earlier)
    assert decode_lead("L-1", written) == replace(lead, recent=None, seen_at=lead.judged_at, lifecycle=None)
    earlier = msgspec.msgpack.decode(encode_lead(earlier_lead())[1:], type=EarlierState)
    assert (b"\x02" + msgspec.msgpack.encode(earlier)).hex() == SAMPLE_2


def test_a_state_of_an_older_version_says_at_once_by_no_rules() -> None:
    assert due_of(bytes.fromhex(SAMPLE_1)) == due_of(bytes.fromhex(SAMPLE_2)) == (NO_CLOCK, b"")


NOTES_2 = "bfdb1a875f1110000100"
"""The stored notes of a lead under the rules of `tests.factory`: the mark of the rules, then the codes of the facts. If
this changes with the same rules, increase `MEANING` in `scorer.evaluation.criteria`, because existing states contain
the old codes."""


def test_the_meaning_of_codes_is_part_of_the_format() -> None:
    profile: dict[str, object] = {"employees": 300, "country": "AT", "email_kind": "free", "is_competitor": False}
    answers: dict[str, object] = {"bant": {"budget_status": "planned", "authority": "influencer"}}
    lead = evaluator().assess(Lead("L-1"), activity(1, "lead.profile_updated", profile)).lead
    notes = evaluator().assess(lead, activity(2, "lead.qualification_updated", answers)).lead.notes
    assert isinstance(notes, Notes)
    assert isinstance(notes.codes, bytes)
    assert (notes.mark + notes.codes).hex() == NOTES_2


def test_version_1_can_be_read() -> None:
    lead = decode_lead("L-1", bytes.fromhex(SAMPLE_1))
    assert lead == replace(earlier_lead(), recent=None, seen_at=rich_lead().judged_at)
    # The event hashes are part of the format: an old state must recognise the events it has counted.
    digest = int.from_bytes(blake2b(b"/crm\ne0", digest_size=8).digest(), "big")
    assert lead.signals["any_visit"][20_000] == (digest,)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"", "the state of 'L-1' is empty"),
        (b"\x03\x90", "has version 3; this software reads 1, 2"),
        (b"\x01", "is damaged"),
        (b"\x01\x93\x01\x02\x03", "is damaged"),
        (bytes.fromhex(SAMPLE_1)[:-4], "is damaged"),
        (b"\x02", "is damaged"),
        (b"\x02\x93\x01\x02\x03", "is damaged"),
        (encode_lead(rich_lead())[:-4], "is damaged"),
    ],
)
def test_the_error_says_what_is_wrong_with_the_bytes(state: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        decode_lead("L-1", state)


def test_an_empty_lead_is_tiny() -> None:
    assert len(encode_lead(Lead("L-1"))) < 40
    assert decode_lead("L-1", encode_lead(Lead("L-1"))).clock == NO_CLOCK
