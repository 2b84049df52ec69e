"""YAML 1.2 as plain values, with the position of every key and value.

It is stricter than YAML, to show mistakes: a duplicate key, a second document, an anchor that contains itself and
more than `MAX_NODES` values after expansion of aliases are errors.
"""

from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from scorer.rules.finding import Finding, Position, RulesetError

MAX_BYTES = 1 << 18
MAX_NODES = 100_000
MAX_DEPTH = 40

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values and their positions. `keys` and `values` map a path to the position of the key and of the value."""

    file: str
    data: Any
    keys: dict[Path, Position]
    values: dict[Path, Position]

    def position(self, path: Path, *, of_value: bool = False) -> Position:
        """The position of a path. If the path does not exist, the position of its nearest existing parent."""
        for end in range(len(path), 0, -1):
            prefix = path[:end]
            key, value = self.keys.get(prefix), self.values.get(prefix)
            position = (value or key) if of_value and end == len(path) else (key or value)
            if position is not None:
                return position
        return self.values.get((), Position(self.file))


Slip = tuple[Path, Finding]
"""A mistake at this path of a document. The other values can be used."""


def read(file: str, content: bytes) -> Document:
    """Parse one file. Raises `RulesetError` with the positions of the mistakes."""
    document, slips = read_with_slips(file, content)
    if slips:
        raise RulesetError([finding for _, finding in slips])
    return document


def read_with_slips(file: str, content: bytes) -> tuple[Document, list[Slip]]:
    """Parse one file as far as possible. A duplicate key, a bad key and an unreadable value are slips: a duplicate key
    keeps its first value, an unreadable value is None. Raises `RulesetError` if nothing can be read."""
    if len(content) > MAX_BYTES:
        raise _refused(Position(file), "too-large", f"the file is larger than the {MAX_BYTES:,} bytes that are allowed")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise _refused(
            Position(file, line, column), "not-utf8", "the file is not UTF-8 text; save it as UTF-8"
        ) from error
    yaml = YAML(typ="safe", pure=True)
    try:
        nodes = list(yaml.compose_all(text))
    except MarkedYAMLError as error:
        mark = _mark(error)
        position = Position(file) if mark is None else Position(file, mark.line + 1, mark.column + 1)
        raise _refused(position, "not-yaml", _sentence(error)) from error
    except YAMLError as error:
        raise _refused(_reader_position(file, text, error), "not-yaml", str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise _refused(Position(file), "too-deep", f"nested more than {MAX_DEPTH} levels deep") from error
    if len(nodes) > 1:
        raise _refused(_start(file, nodes[1]), "not-yaml", "more than one document (`---`) in the file")
    return _Reader(file, yaml).document(nodes[0] if nodes else None)


class _Reader:
    def __init__(self, file: str, yaml: YAML) -> None:
        self._file = file
        self._constructor = yaml.constructor
        self._keys: dict[Path, Position] = {}
        self._values: dict[Path, Position] = {}
        self._slips: list[Slip] = []

    def document(self, root: Node | None) -> tuple[Document, list[Slip]]:
        data = None if root is None else self._value(root, ())
        return Document(self._file, data, self._keys, self._values), self._slips

    def _value(self, node: Node, path: Path) -> Any:
        position = _start(self._file, node)
        if len(path) > MAX_DEPTH:
            raise _refused(position, "too-deep", f"nested more than {MAX_DEPTH} levels deep, or within itself")
        if len(self._values) >= MAX_NODES:
            raise _refused(position, "too-large", f"more than {MAX_NODES:,} values, once its aliases are expanded")
        self._values[path] = position
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str | int, Any]:
        content: dict[str | int, Any] = {}
        for key_node, value_node in node.value:
            position = _start(self._file, key_node)
            key = self._scalar(key_node, path) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                self._report(path, position, "bad-key", "a key must be a word or a whole number")
            elif key in content:
                first = self._keys[(*path, key)]
                self._report(
                    path, position, "duplicate-key", f"`{key}` is given twice; the first is on line {first.line}"
                )
            else:
                self._keys[(*path, key)] = position
                content[key] = self._value(value_node, (*path, key))
        return content

    def _scalar(self, node: Node, path: Path) -> Any:
        tag = str(node.tag)
        kind = tag.removeprefix("tag:yaml.org,2002:")
        if kind == "timestamp" or (kind in ("int", "float") and "_" in node.value):
            # A date stays text, because conditions compare only text and numbers. YAML 1.2 does not have 1_000.
            return node.value
        if kind not in ("str", "int", "float", "bool", "null"):
            self._report(path, _start(self._file, node), "bad-tag", f"the tag {tag} is not supported")
            return None
        try:
            value = self._constructor.construct_object(node)
        except (YAMLError, ValueError) as error:
            self._report(path, _start(self._file, node), "bad-value", f"`{node.value}` cannot be read: {error}")
            return None
        if not isinstance(value, (str, int, float, type(None))):
            self._report(
                path, _start(self._file, node), "bad-tag", f"`{node.value}` is not text, a number, true or false"
            )
            return None
        return value

    def _report(self, path: Path, position: Position, code: str, message: str) -> None:
        self._slips.append((path, Finding(position, code, message)))


def _start(file: str, node: Node) -> Position:
    return Position(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _refused(position: Position, code: str, message: str) -> RulesetError:
    return RulesetError([Finding(position, code, message)])


_HINTS = (
    ("could not find expected ':'", "put a colon and a space after the key"),
    (
        "mapping values are not allowed",
        "put quotes around text that contains a colon; otherwise a colon is missing on the line above, "
        "or the indentation is wrong",
    ),
    ("or '}', but got ':'", "put quotes around text that contains a colon"),
    ("or ']', but got ':'", "put quotes around text that contains a colon"),
    ("found character '\\t'", "tabs are not allowed; use spaces"),
    ("expected <block end>", "indent it like the lines it belongs to"),
    ("while scanning a quoted scalar", "the quote is never closed"),
    ("while scanning an alias", "put quotes around text that begins with *"),
)


def _mark(error: MarkedYAMLError) -> Any:
    # The start of the problem says more than the place where the parser noticed it.
    began = ("while scanning a simple key", "while scanning a quoted scalar")
    if error.context_mark is not None and error.context is not None and error.context.startswith(began):
        return error.context_mark
    return error.problem_mark or error.context_mark


def _sentence(error: MarkedYAMLError) -> str:
    text = ", ".join(" ".join(part.split()) for part in (error.context, error.problem) if part)
    hint = next((f"; {hint}" for sign, hint in _HINTS if sign in text), "")
    return f"not valid YAML: {text}{hint}"


def _reader_position(file: str, text: str, error: YAMLError) -> Position:
    index = getattr(error, "position", None)
    if not isinstance(index, int):
        return Position(file)
    before = text[:index]
    return Position(file, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)
