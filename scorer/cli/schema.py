"""`scorer schema`: the contracts as JSON Schema."""

import json
from typing import Annotated

import typer

from scorer.cli.common import ExitStatus, print_document, say
from scorer.contracts.schemas import SCHEMAS


def schema(name: Annotated[str, typer.Argument(metavar="NAME", help=" | ".join(SCHEMAS))]) -> None:
    """Print the JSON Schema of a contract."""
    make = SCHEMAS.get(name)
    if make is None:
        say(f"error: no schema `{name}`; choose one of {', '.join(SCHEMAS)}")
        raise typer.Exit(ExitStatus.USAGE)
    print_document(json.dumps(make(), indent=2, ensure_ascii=False) + "\n")
