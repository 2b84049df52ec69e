"""The state of leads as bytes and at rest."""
