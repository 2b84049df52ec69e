"""Random input at scale, through the real service: `make fuzz`, and a small size in `tests/faults/test_fuzz.py`."""
