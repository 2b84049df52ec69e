"""Which rules, signals and routing rules no rule test exercises. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from scorer.rules.finding import Position
from scorer.rules.ruleset import Ruleset
from scorer.rules.yaml_source import Document, read


@dataclass(frozen=True, slots=True)
class Idle:
    """A rule that never held, a signal that never counted, or a routing rule that never applied."""

    position: Position
    kind: str
    id: str

    def __str__(self) -> str:
        verb = {"rule": "never held", "signal": "never counted", "routing rule": "never applied"}[self.kind]
        file, line, column = self.position
        return f"{file}:{line}:{column}: {self.kind} `{self.id}` {verb}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the rules, signals and routing rules fired in some test, and which did not, in file order."""

    total: int
    idle: tuple[Idle, ...]

    @property
    def percent(self) -> Fraction:
        """Share that fired, 0 to 100, exactly."""
        return Fraction(100 * (self.total - len(self.idle)), self.total)

    def __str__(self) -> str:
        # Cut, not rounded: only full coverage shows 100 %.
        tenths = int(self.percent * 10)
        shown = f"{tenths // 10}" if tenths % 10 == 0 else f"{tenths // 10}.{tenths % 10}"
        return f"coverage: {self.total - len(self.idle)} of {self.total} rules and signals ({shown} %)"


def coverage(ruleset: Ruleset, fired: Iterable[str], files: Mapping[str, bytes]) -> Coverage:
    """The coverage of the ruleset by the ids that `fired`. `files` are its rule files; they give the positions."""
    kinds = {rule.id: "rule" for criterion in ruleset.criteria for rule in criterion.rules}
    kinds |= dict.fromkeys(ruleset.signals, "signal")
    kinds |= {rule.id: "routing rule" for rule in ruleset.routing}
    seen = set(fired)
    missing = [name for name in kinds if name not in seen]
    places = _places(files) if missing else {}
    elsewhere = Position(min(files, default=ruleset.name))
    idle = (Idle(places.get(name, elsewhere), kinds[name], name) for name in missing)
    return Coverage(len(kinds), tuple(sorted(idle, key=lambda rule: rule.position)))


def _places(files: Mapping[str, bytes]) -> dict[str, Position]:
    """The position of each id. Ids are unique across rules, signals and routing rules."""
    places: dict[str, Position] = {}
    for name, content in files.items():
        places |= _places_in(read(name, content))
    return places


def _places_in(document: Document) -> dict[str, Position]:
    places: dict[str, Position] = {}
    for path, position in document.keys.items():
        match path:
            case ("signals", str(name)):
                places[name] = position
            case ("scoring", _, "rules", int(), "id") | ("routing", int(), "id"):
                places[_value(document, path)] = position
    return places


def _value(document: Document, path: Iterable[str | int]) -> str:
    value = document.data
    for part in path:
        value = value[part]
    return str(value)
