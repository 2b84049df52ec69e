"""What a process needs to work on leads offline: rules from their files, leads packed as the service packs them.

Functions of a module of their own, so that a worker process can make its shard without loading the command line.
"""

from collections.abc import Mapping

from scorer.rules.engine import EngineName, default_engine
from scorer.rules.loader import parse_ruleset
from scorer.stream.codec import decode_lead, encode_lead
from scorer.tuning.decisions import DecisionShard
from scorer.tuning.replay import ReplayShard
from scorer.tuning.shelf import LeadShelf

RuleFiles = Mapping[str, bytes]
"""The content of a ruleset's files by path: the same for all processes, whatever happens on disk meanwhile."""


def decision_shard(files: RuleFiles, engine: EngineName | None, now: int) -> DecisionShard:
    """A shard that scores. `now` in microseconds since the epoch."""
    return DecisionShard(parse_ruleset(files, default_engine(engine)), shelf(), now)


def replay_shard(rulesets: tuple[RuleFiles, ...], engine: EngineName | None, now: int) -> ReplayShard:
    """A shard that replays under one ruleset or two. `now` in microseconds since the epoch."""
    return ReplayShard([parse_ruleset(files, default_engine(engine)) for files in rulesets], shelf, now)


def shelf() -> LeadShelf:
    """A place for many leads."""
    return LeadShelf(encode_lead, decode_lead)
