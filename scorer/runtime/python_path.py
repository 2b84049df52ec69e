"""How a process that we start finds the code that we run."""

import os
from collections.abc import Mapping
from pathlib import Path

import scorer


def python_path(environment: Mapping[str, str]) -> str:
    """PYTHONPATH for a child process: this very package first, wherever the child runs, then what was set before."""
    return os.pathsep.join(filter(None, (str(Path(scorer.__file__).parents[1]), environment.get("PYTHONPATH"))))
