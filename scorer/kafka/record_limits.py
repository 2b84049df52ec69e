"""How large a record may be that we write: what the settings say, or less where its topic accepts less.

These are all the messages that the service writes, and why each fits its topic:

- States and decisions: at most `SCORER_MAX_RECORD_BYTES`. An activity that leads to a larger one becomes a dead letter,
  and re-scoring leaves such a lead as it is.
- Samples of the shadow rules: larger ones are left out.
- Dead letters: cut to what their topic accepts.
- Enrichments: those that the input would refuse are not written.
- Records that are written back with a key: those that the input would refuse become dead letters.
- The marker of the rules, and the position in the input: less than 2 KiB.
- The marks of replayed dead letters: less than 1 KiB. The records that a replay sends back are reported when the input
  refuses them.

Several records go into one batch, which is never larger than the least limit of these topics. We do not compress.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from scorer.kafka.sizes import DEFAULT_LIMIT, LETTER_OVERHEAD, OVERHEAD, record_topic_bytes, whole_bytes
from scorer.kafka.topic_admin import (
    MESSAGE_BYTES,
    Topic,
    connecting,
    describe_visible,
    raising,
    size_limit,
    topic_admin,
)
from scorer.kafka.transaction import Refusal
from scorer.runtime.settings import Settings, variable

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `size` bytes of a value. `source`: what sets the limit, for people."""

    size: int
    source: str


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """The limits at one moment, in bytes.

    `state`, `decision` and `sample` limit values. `rekeyed`: the largest batch that the input accepts.
    `whole_letter`: a dead letter whose record has more bytes of key, value and headers is cut. `cut_letter`: what is
    left of these then. `batch`: the largest batch of several records. `topics`: the largest batch that each topic
    accepts, where that is known.
    """

    state: Limit
    decision: Limit
    sample: Limit
    rekeyed: int
    whole_letter: int
    cut_letter: int
    batch: int
    topics: Mapping[str, int]


class TopicLimits:
    """What is known of the topics that the service writes, and the limits that follow from it.

    A limit that was learned from a refusal stays until the process ends or Kafka names another one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names: Final = (
            settings.activity_topic,
            settings.routing_topic,
            settings.state_topic,
            settings.dead_letter_topic,
            settings.shadow_topic,
        )
        self._known: dict[str, int] = {}
        self._batch = record_topic_bytes(settings)
        self._warned = False
        self.current = self._limits()

    def know(self, topics: Mapping[str, Topic]) -> None:
        """Use what Kafka says of the topics. Where it says nothing, one log line says so."""
        limits = {name: size_limit(topics[name]) for name in self._names if name in topics}
        unknown = [name for name, limit in limits.items() if limit is None]
        if unknown and not self._warned:
            self._warned = True
            log.warning("topic_limits_unknown", topics=unknown, needed=record_topic_bytes(self._settings))
        self._known.update({name: limit for name, limit in limits.items() if limit is not None})
        self.current = self._limits()

    async def refused(self, refusal: Refusal) -> None:
        """Learn from a refusal: ask Kafka again, and otherwise take it that less is accepted than was refused.

        Every call lowers a limit, so the same batch is never sent again.
        """
        with suppress(KafkaError, OSError):
            async with connecting(self._settings), topic_admin(self._settings) as admin:
                self.know((await describe_visible(admin, self._names))[0])
        if self._known.get(refusal.topic, refusal.size) >= refusal.size:
            if refusal.records == 1:
                self._known[refusal.topic] = refusal.size - 1
            else:
                self._batch = min(self._batch, refusal.size // 2)
        self.current = self._limits()
        log.warning(
            "topic_accepts_less",
            topic=refusal.topic,
            lead=refusal.lead,
            decision=refusal.event_id if refusal.topic == self._settings.routing_topic else None,
            size=refusal.size,
            records=refusal.records,
            limit=self._known.get(refusal.topic),
            fix=raising(self._settings, refusal.topic, record_topic_bytes(self._settings)),
        )

    def _limits(self) -> RecordLimits:
        settings, known = self._settings, self._known
        whole = cut = whole_bytes(settings)
        letters = known.get(settings.dead_letter_topic)
        if letters is not None:
            cut = min(whole, max(letters - LETTER_OVERHEAD, letters // 2))
            whole = cut
        return RecordLimits(
            state=self._value(settings.state_topic),
            decision=self._value(settings.routing_topic),
            sample=self._value(settings.shadow_topic),
            rekeyed=known.get(settings.activity_topic, max(DEFAULT_LIMIT, settings.max_value_bytes)),
            whole_letter=whole,
            cut_letter=cut,
            batch=min(self._batch, *known.values()) if known else self._batch,
            topics=dict(known),
        )

    def _value(self, topic: str) -> Limit:
        own, known = self._settings.max_record_bytes, self._known.get(topic)
        if known is None or known - OVERHEAD >= own:
            return Limit(own, variable("max_record_bytes"))
        return Limit(max(known - OVERHEAD, known // 2), f"{MESSAGE_BYTES} of {topic}")
