"""The sources that the settings name."""

from scorer.runtime.settings import Settings, SettingsError
from scorer.sources.own_events import OwnEvents
from scorer.sources.source import Source


def source_of(name: str, settings: Settings) -> Source:
    """The source of this name. Raises `SettingsError` if there is none."""
    if name == OwnEvents.name:
        return OwnEvents()
    raise SettingsError(f"SCORER_SOURCES names the source {name!r}, which is none of: cloudevents")
