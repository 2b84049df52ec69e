"""The demo's own folder: everything it writes is under it, and it is gone at the end."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from scorer.demo.errors import DemoError

_LOCK: Final = "lock"
_MARK: Final = b"scorer demo"
"""How the lock begins: it tells a folder of ours from one that only has the same name."""
_MADE: Final = ("broker-*", "service.log")


@contextmanager
def own_folder(path: Path) -> Iterator[Path]:
    """Make the folder, and remove it at the end. What a demo that was killed left behind is removed first; what no
    demo made stays, and then the folder too.

    Raises `DemoError` where no demo made the folder, another demo uses it, or it cannot be written.
    """
    try:
        _check_ours(path)
        path.mkdir(exist_ok=True)
        # Not emptied: the mark in it may be that of a demo that is running.
        lock = (path / _LOCK).open("ab")
    except OSError as error:
        raise DemoError(f"cannot write {path}: {error.strerror}; start the demo in a folder of your own") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(f"another demo is running in {path}; end it, or start this one elsewhere") from None
        if lock.tell() == 0:
            lock.write(_MARK + b" holds this file while it runs\n")
            lock.flush()
        _clear(path)
        try:
            yield path
        finally:
            _clear(path)
            # Somebody else's file in the folder keeps it.
            with suppress(OSError):
                (path / _LOCK).unlink(missing_ok=True)
                path.rmdir()


def _check_ours(path: Path) -> None:
    if path.is_symlink():
        raise DemoError(f"{path} is a symbolic link, which no demo made; remove it, or start the demo elsewhere")
    if not path.is_dir() or not any(path.iterdir()):
        return
    lock = path / _LOCK
    if lock.is_file() and not lock.is_symlink():
        with lock.open("rb") as file:
            if file.read(len(_MARK)) == _MARK:
                return
    raise DemoError(f"{path} holds files that no demo made; move them away, or start the demo elsewhere")


def _clear(path: Path) -> None:
    """Remove what demos make. Raises `DemoError` where that is not possible."""
    try:
        for entry in [entry for pattern in _MADE for entry in path.glob(pattern)]:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    except OSError as error:
        raise DemoError(f"cannot remove {error.filename}: {error.strerror}; remove {path} yourself") from None
