"""The largest state that a lead can have under given rules, in bytes of the state codec (version 2).

The bound follows from the rules and from the contract of activities alone: no activity, in any order or number, can
give a larger state. What *earlier* rules left in a state is not part of it: facts and counts under names that are no
longer declared, values of fields that had another type, and ids of rules at the last return.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from scorer.domain.consent import CHANNELS, other
from scorer.domain.counts import KEEP_DAYS, KEEP_HASHES
from scorer.domain.enrichment import COMPANY_PROFILE, ENRICHING
from scorer.domain.identities import REMEMBERED, REMEMBERED_DAYS
from scorer.domain.lifecycle import FOLLOWING, MOST_DECISIONS, MOST_LEVELS, MOST_STATED, TIMES_RETURNED
from scorer.domain.statements import FIRST_LEAD_SOURCE, RETURN_REASON, VALUE
from scorer.evaluation.largest_value import built_in_values, own_values, text_size
from scorer.evaluation.notes import MARK_SIZE
from scorer.rules.condition import tests
from scorer.rules.ruleset import HitPolicy, Ruleset

_INTEGER: Final = 9
"""The most bytes of an integer in msgpack."""
_HEAD: Final = 5
"""The most bytes that msgpack puts before bytes, a list or a map."""
_DAY: Final = 5
"""The most bytes of the number of a day: the days of the years 1 to 9999 have 32 bits."""
_ID: Final = text_size(4 * 256)
_SOURCE: Final = text_size(4 * 1024)
_QUEUE: Final = text_size(64)
_SAID: Final = 2


class LargestState(NamedTuple):
    """The parts of the largest state, in bytes: the facts and the lifecycle that every lead can have, the own fields
    and the signals of the rulesets by name, and the rest."""

    facts: int
    fields: Mapping[str, int]
    signals: Mapping[str, int]
    rest: int

    @property
    def total(self) -> int:
        """The whole state."""
        return self.facts + sum(self.fields.values()) + sum(self.signals.values()) + self.rest


def largest_state(rulesets: Iterable[Ruleset]) -> LargestState:
    """The largest state of a lead that is judged by these rulesets together: the live one, and the shadow if there is
    one, whose fields and signals the state keeps too."""
    judging = list(rulesets)
    caps: dict[str, int] = {}
    for ruleset in judging:
        for name, signal in [*ruleset.signals.items(), *ruleset.lifecycle.actions.items()]:
            caps[name] = max(signal.daily_cap, caps.get(name, 0))
    own = own_values(ruleset.own_fields for ruleset in judging)
    return LargestState(
        facts=_LIFECYCLE
        + sum(_name_size(name) + value.state + _STAMPS.get(name, _STAMP) for name, value in built_in_values().items()),
        fields={name: text_size(len(name)) + own[name].state + _STAMP for name in sorted(own)},
        signals={name: text_size(len(name)) + _counts(cap) for name, cap in caps.items()},
        rest=_FRAME + max((_rules_at_return(ruleset) + _notes(ruleset) for ruleset in judging), default=0),
    )


def _name_size(fact: str) -> int:
    """The codec writes most names as a number."""
    return text_size(len(fact)) if fact in UNNUMBERED else 1


UNNUMBERED: Final = frozenset(
    {*map(other, CHANNELS), FIRST_LEAD_SOURCE, TIMES_RETURNED, RETURN_REASON, VALUE, COMPANY_PROFILE}
)
"""Facts whose names the codec writes as text, because releases before do not know a number for them."""


# Every fact can be stated by an event of its own: its time, id, the source itself and the index of it, and the head of
# the pair of name and value.
_STAMP: Final = _INTEGER + _ID + _SOURCE + 3 + 1

# What follows from the lifecycle has neither id nor source.
_OUR_STAMP: Final = _INTEGER + 1 + 1 + 3 + 1
_STAMPS: Final = {
    **dict.fromkeys(FOLLOWING, _OUR_STAMP),
    # Only an enrichment states it.
    COMPANY_PROFILE: _INTEGER + _ID + text_size(len(ENRICHING)) + 3 + 1,
}

# The remembered activities: their hashes, and for each day its number and the number of its hashes.
_RECENT: Final = 2 * _HEAD + 8 * REMEMBERED + (REMEMBERED_DAYS + 1) * (_DAY + 3)

# The version, the head of the state, the clock, when the lead was judged and seen, the erasure, the last published
# decision, the heads of the facts, of their list, of the list of sources, of the counts and of the rules at the last
# return, and the next due instant with the mark of the rules.
_FRAME: Final = 1 + 1 + 2 + 4 + MARK_SIZE + 4 * _INTEGER + (1 + _SAID + _QUEUE + 3 * _INTEGER) + 5 * _HEAD + _RECENT

# The steps of sales with their stages, our decisions, the promise with its levels, the category, and `due` again.
_NAME: Final = text_size(4 * 256)
_STEPS: Final = MOST_STATED * (2 * (1 + _INTEGER + 1) + 1 + _NAME) + MOST_DECISIONS * (1 + 2 * _INTEGER + 3 + _QUEUE)
_PROMISE: Final = 1 + 3 * _INTEGER + _QUEUE + 1 + MOST_LEVELS * (1 + _INTEGER + _QUEUE) + 1
_LIFECYCLE: Final = 1 + 2 * _HEAD + _STEPS + _PROMISE + _QUEUE + 2 + 4 + MARK_SIZE


def _counts(daily_cap: int) -> int:
    """The counts of a signal: hashes of 8 bytes, and for each day its number and the number of its hashes. The day of
    the clock and `KEEP_DAYS` before it are kept, whatever the window of the signal is: later rules may look further
    back. Of more than `KEEP_HASHES` hashes the latest are kept."""
    days = KEEP_DAYS + 1
    return 2 * _HEAD + 8 * min(days * daily_cap, KEEP_HASHES) + days * (_DAY + 1)


def _rules_at_return(ruleset: Ruleset) -> int:
    total = 0
    for criterion in ruleset.criteria:
        sizes = [text_size(len(rule.id)) for rule in criterion.rules]
        total += max(sizes) if criterion.hit_policy is HitPolicy.FIRST else sum(sizes)
    return total


def _notes(ruleset: Ruleset) -> int:
    """The mark of the rules and half a byte for each column. A table has at most one column for each different
    comparison; one more code says that the lead was merged, and one fills the last byte."""
    tables = [[rule.condition for rule in criterion.rules] for criterion in ruleset.criteria]
    tables.append([rule.condition for rule in ruleset.routing])
    columns = sum(len({test for condition in table if condition for test in tests(condition)}) for table in tables)
    return _HEAD + MARK_SIZE + (columns + 2 + 1) // 2 + 1
