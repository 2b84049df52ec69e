"""What deploy/Dockerfile says, for tests that have no container engine."""

import json
import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = ROOT / "deploy" / "Dockerfile"


class Instruction(NamedTuple):
    """An instruction and its text, with continued lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the exec form (a JSON array) or of a line, without `--option`s."""
        text = re.sub(r"--\S+\s+", "", self.text)
        return list(json.loads(text)) if text.startswith("[") else text.split()


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[Instruction]] = []
    for instruction in _instructions():
        if instruction.name == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def only(stage: list[Instruction], name: str) -> Instruction:
    """The one instruction of this name in a stage."""
    (instruction,) = (each for each in stage if each.name == name)
    return instruction


def environment() -> dict[str, str]:
    """The variables of a container that is started without any."""
    return dict(re.findall(r"(\w+)=(\S+)", only(stages()[-1], "ENV").text))


def _instructions() -> list[Instruction]:
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]
