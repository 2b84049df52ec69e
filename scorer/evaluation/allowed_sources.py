"""Who may send what: refuses an activity that the rules do not accept from its `source` (`allowed_sources`)."""

from collections.abc import Mapping, Sequence

from scorer.domain.activity import LeadActivity
from scorer.rules.ruleset import AllowedSources
from scorer.sources.rejected import Rejected, described


class Restriction:
    """One entry of `allowed_sources`, ready for comparisons."""

    __slots__ = ("_exact", "_keys", "_name", "_prefixes")

    def __init__(self, allowed: AllowedSources) -> None:
        self._name = allowed.name
        self._keys = allowed.keys
        self._exact = frozenset(pattern for pattern in allowed.patterns if not pattern.endswith("*"))
        self._prefixes = tuple(pattern[:-1] for pattern in allowed.patterns if pattern.endswith("*"))

    def check(self, activity: LeadActivity) -> None:
        """Raises `Rejected` if the entry is about the activity and does not list its source."""
        source = activity.source
        if source in self._exact or source.startswith(self._prefixes) or not _has(activity.data, self._keys):
            return
        # The name is that of the rules. The source was sent, so it is not repeated.
        raise Rejected(
            "source_not_allowed",
            f"the source ({described(source)}) may not {'state' if self._keys else 'send'} {self._name}; expected one "
            "that the rules list for it under allowed_sources",
        )


def restrictions(allowed_sources: Sequence[AllowedSources]) -> Mapping[str, Sequence[Restriction]]:
    """The restrictions by activity type; types that are open to every source are left out."""
    by_type: dict[str, list[Restriction]] = {}
    for allowed in allowed_sources:
        by_type.setdefault(allowed.activity, []).append(Restriction(allowed))
    return by_type


def _has(data: object, keys: Sequence[str]) -> bool:
    """Whether there is a value, null too, at this path. An empty path always has one."""
    for key in keys:
        if not isinstance(data, Mapping) or key not in data:
            return False
        data = data[key]
    return True
