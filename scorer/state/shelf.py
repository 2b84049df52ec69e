"""Many leads in little memory: recent ones as they are, the others packed."""

from typing import Final

from scorer.domain.lead import Lead
from scorer.engines.cache import BoundedCache
from scorer.state.codec import decode_lead, encode_lead

ROOM: Final = 40_000
"""Leads that are kept unpacked, at some 4 KB each; packed they take about a tenth of that."""


class LeadShelf:
    """Leads by id. At most `room` of them, those that were put last, are kept unpacked."""

    def __init__(self, room: int = ROOM) -> None:
        self._packed: dict[str, bytes] = {}
        self._recent = BoundedCache[str, Lead](room, on_forgotten=self._pack)

    def get(self, lead_id: str) -> Lead | None:
        """The lead as it was put last; None where it never was."""
        lead = self._recent.look_up(lead_id)
        if lead is None:
            packed = self._packed.get(lead_id)
            return None if packed is None else decode_lead(lead_id, packed)
        return lead

    def put(self, lead: Lead) -> None:
        """Keep the lead in its new state."""
        self._recent.keep(lead.id, lead)

    def ids(self) -> set[str]:
        """The ids of all leads."""
        return self._recent.all_keys() | self._packed.keys()

    def _pack(self, lead_id: str, lead: Lead) -> None:
        self._packed[lead_id] = encode_lead(lead)
