"""The states of leads: as bytes and at rest."""
