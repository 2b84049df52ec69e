"""Many leads in little memory: the ones seen lately as they are, the others packed."""

from typing import Final

from scorer.domain.lead import Lead
from scorer.state.codec import decode_lead, encode_lead

ROOM: Final = 40_000
"""Leads that are kept unpacked, at some 4 KB each; packed they take about a tenth of that."""


class LeadShelf:
    """Leads by id.

    Unpacked leads are kept in two generations: when the young one holds half of `room`, it becomes the old one, and
    what was not put back since the last change is packed.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._half = max(1, room // 2)
        self._young: dict[str, Lead] = {}
        self._old: dict[str, Lead] = {}
        self._packed: dict[str, bytes] = {}

    def get(self, lead_id: str) -> Lead | None:
        """The lead as it was put last; None where it never was."""
        lead = self._young.get(lead_id) or self._old.get(lead_id)
        if lead is None:
            packed = self._packed.get(lead_id)
            return None if packed is None else decode_lead(lead_id, packed)
        return lead

    def put(self, lead: Lead) -> None:
        """Keep the lead in its new state."""
        young = self._young
        young[lead.id] = lead
        if len(young) >= self._half:
            # One that is in both is packed again later, in its newer state.
            for each in self._old.values():
                if each.id not in young:
                    self._packed[each.id] = encode_lead(each)
            self._old, self._young = young, {}

    def ids(self) -> set[str]:
        """The ids of all leads."""
        return self._young.keys() | self._old.keys() | self._packed.keys()
