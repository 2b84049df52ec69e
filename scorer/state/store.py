"""The states of the leads of one partition: bytes at rest, a bounded cache of decoded ones, and what a running
transaction has changed or removed, kept apart until it is committed."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from scorer.domain.lead import Lead
from scorer.engines.cache import BoundedCache
from scorer.evaluation.rule_change import RuleChange
from scorer.state.codec import decode_lead, encode_lead
from scorer.state.input_position import InputPosition
from scorer.state.marker import Marker


class LeadStore:
    """Leads by id. `stage` (or `stage_removal`) what a transaction changes, then `commit` or `discard` it; `get` sees
    what is staged."""

    def __init__(self, cache_size: int = 10_000) -> None:
        self._states: dict[str, bytes] = {}
        self._cache = BoundedCache[str, Lead](cache_size) if cache_size else None
        self._staged: dict[str, Lead] = {}
        self._encoded: dict[str, bytes] = {}
        # A dict, because the order of tombstones must not differ between processes.
        self._removed: dict[str, None] = {}
        self._read: dict[str, Lead] = {}
        self.marker: Marker | None = None
        """As it was restored: how far the leads were judged by which rules."""
        self.position: InputPosition | None = None
        """As it was restored: how far the input was processed."""
        self.log_time: int | None = None
        """The latest arrival among the processed records, in microseconds since the epoch; None if it is not known."""
        self.change: RuleChange | None = None
        """The change by which the rules in effect took effect in the partition; None while its instant is not known."""
        self.on_commit: Callable[[Iterable[Lead], Iterable[str]], None] = lambda changed, removed: None
        """Called with the leads that a transaction has changed, and the ids of those that it has removed."""
        self.on_change: list[Callable[[Mapping[str, Lead], Mapping[str, Lead]], None]] = []
        """Each is called before `on_commit`, with the leads that a transaction has changed, and as it has read leads,
        by id. A lead of which nothing is known is an empty one. Parts of a lead that did not change are the same
        objects."""

    def __len__(self) -> int:
        """How many leads there are at rest."""
        return len(self._states)

    def get(self, lead_id: str) -> Lead:
        """The state of a lead; an empty one where nothing is known of it. Raises `CodecError` for damaged bytes."""
        lead = self._staged.get(lead_id)
        if lead is not None:
            return lead
        lead = None if self._cache is None else self._cache.look_up(lead_id)
        if lead is None:
            state = self._states.get(lead_id)
            lead = Lead(lead_id) if state is None else decode_lead(lead_id, state)
        self._read[lead_id] = lead
        return lead

    def stage(self, lead: Lead) -> None:
        """Change a lead within the running transaction."""
        self._staged[lead.id] = lead
        self._encoded.pop(lead.id, None)
        self._removed.pop(lead.id, None)

    def stage_removal(self, lead_id: str) -> None:
        """Remove a lead within the running transaction: nothing is known of it any more. It may be staged again."""
        self.stage(Lead(lead_id))
        self._removed[lead_id] = None

    def encode_staged(self) -> Mapping[str, bytes | None]:
        """The changed states by lead id, each once; None for a lead that is removed. Raises what `encode_lead`
        raises."""
        for lead_id, lead in self._staged.items():
            if lead_id not in self._encoded and lead_id not in self._removed:
                self._encoded[lead_id] = encode_lead(lead)
        return {**self._encoded, **self._removed} if self._removed else self._encoded

    def stage_encoded(self, lead: Lead, state: bytes) -> None:
        """`stage` of a lead whose state is encoded already."""
        self._staged[lead.id] = lead
        self._encoded[lead.id] = state
        self._removed.pop(lead.id, None)

    def unfit(self, limit: int) -> set[str]:
        """The changed leads whose state cannot be encoded or has more than `limit` bytes."""
        return {lead_id for lead_id, lead in self._staged.items() if not self._fits(lead, limit)}

    def _fits(self, lead: Lead, limit: int) -> bool:
        state = self._encoded.get(lead.id)
        if state is None:
            try:
                state = encode_lead(lead)
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001 (whatever the reason is, it concerns this lead only)
                return False
        return len(state) <= limit

    def commit(self) -> None:
        """Make what is staged the state: the transaction is committed."""
        self.encode_staged()
        for on_change in self.on_change:
            on_change(self._staged, self._read)
        self._states.update(self._encoded)
        for lead_id in self._removed:
            self._states.pop(lead_id, None)
        if self._cache is not None:
            for lead_id, lead in self._staged.items():
                self._cache.keep(lead_id, lead)
            for lead_id in self._removed:
                self._cache.forget(lead_id)
        self.on_commit(self._staged.values(), self._removed)
        self.discard()

    def discard(self) -> None:
        """Forget what is staged: the transaction did not happen."""
        self._staged = {}
        self._encoded = {}
        self._removed = {}
        self._read = {}

    def restore(self, lead_id: str, state: bytes | None) -> None:
        """Put a state from the changelog in its place; None removes it."""
        if state is None:
            self._states.pop(lead_id, None)
        else:
            self._states[lead_id] = state

    def ids(self) -> Iterable[str]:
        """The ids of the leads at rest, in no order."""
        return self._states.keys()

    def state(self, lead_id: str) -> bytes | None:
        """The state of a lead at rest as bytes; None where there is none."""
        return self._states.get(lead_id)

    def committed(self, lead_id: str) -> Lead | None:
        """The state of a lead at rest, whatever a running transaction changes; None where there is none. Raises
        `CodecError` for damaged bytes."""
        state = self._states.get(lead_id)
        return None if state is None else decode_lead(lead_id, state)

    def leads(self) -> Iterator[Lead]:
        """Every lead at rest, decoded."""
        for lead_id, state in self._states.items():
            yield decode_lead(lead_id, state)
