"""Time zones, from the pinned `tzdata` package only: the files of the machine never decide what a ruleset means."""

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata

VERSION: str = tzdata.__version__
"""Part of the revision of a ruleset that names a zone."""


@cache
def zone_names() -> frozenset[str]:
    """All IANA names, as in `Europe/Berlin`."""
    return frozenset((files(tzdata) / "zones").read_text("utf-8").split())


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises `KeyError` if there is none."""
    if name not in zone_names():
        raise KeyError(name)
    with files(tzdata).joinpath("zoneinfo", *name.split("/")).open("rb") as stored:
        return ZoneInfo.from_file(stored, key=name)
