"""The demo's own folder: everything it writes is under it, and it is gone at the end."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scorer.demo.errors import DemoError


@contextmanager
def own_folder(path: Path) -> Iterator[Path]:
    """Make the folder, fresh, and remove it at the end. What a demo that was killed left behind is removed first.

    Raises `DemoError` where another demo uses it or it cannot be written.
    """
    try:
        path.mkdir(exist_ok=True)
        lock = (path / "lock").open("w")
    except OSError as error:
        raise DemoError(f"cannot write {path}: {error.strerror}; start the demo in a folder of your own") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(f"another demo is running in {path}; end it, or start this one elsewhere") from None
        for entry in path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()
        try:
            yield path
        finally:
            shutil.rmtree(path)
