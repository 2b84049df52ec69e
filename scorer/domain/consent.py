"""Whether a lead agrees to be contacted, by channel: the latest grant and the latest withdrawal decide together.

Clocks of senders differ. A grant counts only if it is later than the withdrawal by more than the tolerance, so that a
clock that is ahead cannot overrule the person who withdrew. The result does not depend on the order of arrival.
"""

from collections.abc import Mapping
from typing import Final

from scorer.domain.facts import Fact, Facts, Stamp, is_later

GRANTED: Final = "granted"
WITHDRAWN: Final = "withdrawn"
CHANNELS: Final = ("consent.email", "consent.phone")


def other(channel: str) -> str:
    """The fact that holds the latest statement of the kind that does not count now."""
    return f"{channel}.other"


def write_consent(
    facts: Mapping[str, Fact], channel: str, status: object, stamp: Stamp, tolerance: int, *, ties: bool
) -> Mapping[str, Fact]:
    """The facts after a grant or a withdrawal for the channel (the name of its fact); the same object if outdated.
    `tolerance` in microseconds; `ties`: as in `write_facts`."""
    latest = {fact.value: fact for name in (channel, other(channel)) if (fact := facts.get(name)) is not None}
    known = latest.get(status)
    if known is not None and not is_later(stamp, known.stamp, ties=ties):
        return facts
    latest[status] = Fact(status, stamp)
    granted, withdrawn = latest.get(GRANTED), latest.get(WITHDRAWN)
    changed = dict(facts.known if isinstance(facts, Facts) else facts)
    if granted is None or withdrawn is None:
        changed[channel] = latest[status]
    elif granted.stamp.time > withdrawn.stamp.time + tolerance:
        changed[channel], changed[other(channel)] = granted, withdrawn
    else:
        changed[channel], changed[other(channel)] = withdrawn, granted
    return Facts(changed)


def without_gaps(facts: dict[str, Fact]) -> dict[str, Fact]:
    """The facts after some were forgotten: what is left of a consent is the consent."""
    for channel in CHANNELS:
        left = facts.get(other(channel))
        if left is not None and channel not in facts:
            facts = {name: fact for name, fact in facts.items() if name != other(channel)} | {channel: left}
    return facts
