"""Watches what a worker does: whether its partitions advance, its clock is right, and few records are dead letters."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import structlog

from scorer.domain.instant import to_text
from scorer.runtime.episode import Episode, Stage
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings
from scorer.stream.clock_check import ClockCheck, Offset, Stamped
from scorer.stream.dead_letter_share import DeadLetterShare, Many
from scorer.stream.stall import Stall, Standing

_REVOKED: Final = Standing(None, 0, "the group, which must assign partitions again")
_MISSING: Final = Standing(None, 0, "its topic, which Kafka does not show: it was deleted, or we may not describe it")
_CLOCK_ADVICE: Final = "set the clock of this machine; if that is right, the clock named in the evidence is wrong"

log = structlog.get_logger()


class Watch:
    """Told of each commit, and shown the partitions now and then. It logs and sets metrics; it changes nothing.

    `monotonic` and `wall` give seconds, `wall` since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._monotonic = monotonic
        self._wall = wall
        self._stalls: dict[int | str, tuple[Stall, Episode]] = {}
        self._missing: frozenset[str] = frozenset()
        self._clock = ClockCheck()
        self._clock_off = Episode()
        self._offset: Offset | None = None
        self._share = DeadLetterShare(settings.dead_letter_share)
        self._source_shares: dict[str, DeadLetterShare] = {}

    def committed(self, records: Sequence[Stamped], dead_letters: Mapping[str, int], broker_time: int | None) -> None:
        """The records of a batch are committed. `dead_letters`: those among them, by reason. `broker_time`: when the
        broker says that it got our messages, in milliseconds since the epoch."""
        now, wall = self._monotonic(), self._wall()
        if broker_time is not None:
            self._clock.wrote(broker_time, wall, now)
        self._clock.read(records, wall, now)
        self._look_at_share(self._share.count(len(records), dead_letters, now))

    def translated(self, topic: str, events: int, dead_letters: Mapping[str, int]) -> None:
        """So many events of another sender's topic are translated and committed. `dead_letters`: as in `committed`."""
        share = self._source_shares.setdefault(topic, DeadLetterShare(self._settings.dead_letter_share))
        self._look_at_share(share.count(events, dead_letters, self._monotonic()), of=topic)

    def _look_at_share(self, many: Many | None, **of: str) -> None:
        if many is not None:
            log.warning(
                "dead_letters_many",
                topic=self._settings.dead_letter_topic,
                **of,
                records=many.records,
                dead_letters=many.dead_letters,
                share=round(many.share, 3),
                reasons=many.reasons,
            )

    def assigned(self, partitions: Iterable[int | str]) -> None:
        """These partitions, by name, are ours from now on; forget the others. One that stays ours is not younger after
        a rebalance."""
        for partition in self._stalls.keys() - set(partitions) - self._missing:
            self._forget(partition, "not assigned any more")

    def _forget(self, partition: int | str, why: str) -> None:
        stall, episode = self._stalls.pop(partition)
        self._metrics.stalled(partition, None)
        if episode.on:
            log.info("partition_stall_ended", partition=partition, offset=stall.offset, why=why)

    def look(self, standings: Mapping[int | str, Standing], missing: Collection[str] = ()) -> None:
        """Look at the partitions and at the clock, once or twice a second. A partition that is missing waits for the
        group until `assigned`. `missing`: topics of ours that Kafka does not show, so that they have no partitions."""
        now = self._monotonic()
        for topic in self._missing.difference(missing):
            self._forget(topic, "Kafka shows the topic again")
        self._missing = frozenset(missing)
        revoked: dict[int | str, Standing] = dict.fromkeys(self._stalls, _REVOKED)
        hidden: dict[int | str, Standing] = dict.fromkeys(missing, _MISSING)
        for partition, standing in {**revoked, **standings, **hidden}.items():
            stall, episode = self._stalls.setdefault(partition, (Stall(now), Episode()))
            lasted = stall.seconds
            seconds = stall.see(standing, now)
            self._metrics.stalled(partition, seconds)
            stage = episode.see(seconds >= self._settings.stalled_after_s, now)
            if stage is Stage.ENDS:
                log.info("partition_stall_ended", partition=partition, offset=stall.offset, seconds=round(lasted))
            elif stage is not None:
                log.error("partition_stalled", partition=partition, **self._stalled(stall))
        self._look_at_clock(now)

    def _look_at_clock(self, now: float) -> None:
        self._offset = offset = self._clock.offset(self._wall(), now)
        self._metrics.clock_offset(0.0 if offset is None else offset.seconds)
        stage = self._clock_off.see(offset is not None and offset.wrong, now)
        if stage is Stage.ENDS:
            log.info("clock_off_ended", offset_seconds=None if offset is None else round(offset.seconds))
        elif stage is not None and offset is not None:
            log.error("clock_off", advice=_CLOCK_ADVICE, **_clock(offset))

    @property
    def is_clock_off(self) -> bool:
        """Whether the clock of this machine is known to be wrong."""
        return self._clock_off.on

    def trouble(self) -> Mapping[str, object]:
        """Details for people: `stalled` by partition, `clock`. Empty if all is well."""
        details: dict[str, object] = {}
        stalled = {
            str(partition): self._stalled(stall) for partition, (stall, episode) in self._stalls.items() if episode.on
        }
        if stalled:
            details["stalled"] = stalled
        if self._clock_off.on and self._offset is not None:
            details["clock"] = _clock(self._offset)
        return details

    def _stalled(self, stall: Stall) -> dict[str, object]:
        since = round(self._wall() - stall.seconds)
        return {
            "offset": stall.offset,
            "log_end": stall.log_end,
            "seconds": round(stall.seconds),
            "since": to_text(since * 1_000_000),
            "waits_for": stall.waits_for,
        }


def _clock(offset: Offset) -> dict[str, object]:
    return {"offset_seconds": round(offset.seconds), "evidence": offset.evidence}
