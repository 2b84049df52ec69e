"""Tests of what `deploy/` contains, with the programs that an operator runs."""
