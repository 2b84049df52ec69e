"""Dead letters: how they are written, listed and replayed."""
