"""Write the schemas: `make schemas`. A test fails when they drift from the models."""

import json
import sys
from pathlib import Path

from scorer.contracts.asyncapi import asyncapi_yaml
from scorer.contracts.openapi import openapi_yaml
from scorer.contracts.schemas import SCHEMAS

HERE = Path(__file__).parent


def contents() -> dict[str, str]:
    """What each file of this directory must hold, by name."""
    files = {f"{name}.json": json.dumps(make(), indent=2, ensure_ascii=False) + "\n" for name, make in SCHEMAS.items()}
    return {**files, "asyncapi.yaml": asyncapi_yaml(), "openapi.yaml": openapi_yaml()}


if __name__ == "__main__":
    for name, text in contents().items():
        (HERE / name).write_text(text)
        sys.stdout.write(f"schemas/{name}\n")
