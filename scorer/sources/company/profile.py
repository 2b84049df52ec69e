"""A record of the topic of company profiles: what somebody knows about a company, by its key.

It is the whole profile: a key that it does not have is not known, and so is one that is null. Personal keys are not
accepted, because a profile concerns all leads of a company.
"""

from collections.abc import Iterable
from hashlib import sha256
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from scorer.domain.activity import NAMES_BYTES
from scorer.domain.enrichment import COMPANY_KEYS, ENRICHMENT_TYPE, HASH_DIGITS, LONGEST_KEY
from scorer.domain.instant import MILLISECOND
from scorer.domain.unfitting import Drop, distinct, unknown
from scorer.sources.company.converter import Unfit
from scorer.sources.company.email_address import company_key
from scorer.sources.fitting import fitted
from scorer.sources.rejected import Rejected, described
from scorer.sources.strict_json import decode_object

MOST_BYTES: Final = 8 * NAMES_BYTES
"""Of a record. The largest profile that fits has less, also with escapes."""

_NAMES: Final = frozenset(COMPANY_KEYS)
_MOST_UNKNOWN: Final = 32

_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Profile(NamedTuple):
    """`time`: that of its record, in microseconds since the epoch. `data`: the accepted keys as JSON with sorted names,
    so that equal profiles are equal bytes."""

    time: int
    data: bytes

    def mark(self, key: str) -> str:
        """Which profile of which company it is: the key of the company, and the beginning of the SHA-256 of `data`."""
        return f"{key}:{sha256(self.data).hexdigest()[:HASH_DIGITS]}"


class ProfileRecord(NamedTuple):
    """What a record says. `profile` None: nothing is known about the company any more. `dropped`: what did not fit."""

    key: str
    profile: Profile | None
    dropped: tuple[Drop, ...] = ()


def read_profile(key: bytes | None, value: bytes | None, timestamp: int) -> ProfileRecord:
    """The record with this key, value and timestamp (milliseconds since the epoch).

    The key must be the company key itself and not another domain of the company: Kafka compacts by the key of the
    record, so two spellings would be two records, and which one is right would depend on their partitions. Raises
    `Rejected`.
    """
    company = _company(key)
    if value is None:
        return ProfileRecord(company, None)
    sent = decode_object(value, MOST_BYTES, "the profile")
    data, dropped = fitted(ENRICHMENT_TYPE, {name: sent[name] for name in COMPANY_KEYS if name in sent})
    others = (unknown(name, sent[name], _NAMES, sent.keys(), "profile.") for name in _unknown(sent))
    dropped = distinct((*dropped, *others))
    known = {name: given for name, given in data.items() if given is not None}
    # Kafka takes any number from a sender.
    time = max(0, timestamp) * MILLISECOND
    return ProfileRecord(company, Profile(time, _encode(known)) if known else None, dropped)


def _unknown(sent: Iterable[str]) -> Iterable[str]:
    return islice((name for name in sent if name not in _NAMES), _MOST_UNKNOWN)


def _company(key: bytes | None) -> str:
    if key is None:
        raise Rejected("null_key", "the record has no key; expected the company key, such as example.com")
    try:
        text = key.decode()
    except UnicodeDecodeError as error:
        raise Rejected("bad_key", f"the key is not UTF-8 (byte {error.start}); expected the company key") from None
    try:
        company = company_key(text)
    except Unfit as unfit:
        raise Rejected(
            "bad_key", f"the key ({described(text)}) is no domain: {unfit.reason}; expected such as example.com"
        ) from None
    if company is None:
        raise Rejected(
            "bad_key",
            f"the key ({described(text)}) is that of a free, disposable or university domain, or a public suffix; "
            "expected the domain of a company",
        )
    if company != text or len(company) > LONGEST_KEY:
        raise Rejected(
            "bad_key",
            f"the key ({described(text)}) is not the domain that the company registered, in lower case "
            f"({described(company)}); expected that one, of at most {LONGEST_KEY} characters",
        )
    return company
