"""The default and the bounds of `SCORER_MAX_RECORD_BYTES`, in bytes. `scorer check` needs them without the settings."""

from typing import Final

DEFAULT: Final = 1_000_000
LEAST: Final = 65_536
MOST: Final = 1 << 26
