"""The demo's own folder. It holds everything the demo writes and is removed at the end."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from scorer.demo.errors import DemoError

_LOCK: Final = "lock"
_MARK: Final = b"scorer demo"
"""The start of the lock file. It distinguishes a demo's folder from another one of the same name."""
_MADE: Final = ("broker-*", "service.log")


@contextmanager
def own_folder(path: Path) -> Iterator[Path]:
    """Make the folder, and remove it at the end. The remains of a killed demo are removed first. Files that no
    demo made stay, and then the folder stays too.

    Raises `DemoError` if no demo made the folder, another demo uses it, or it cannot be written.
    """
    try:
        _check_ours(path)
        path.mkdir(exist_ok=True)
        # Not truncated: the mark in it may belong to a running demo.
        lock = (path / _LOCK).open("ab")
    except OSError as error:
        raise DemoError(f"cannot write {path}: {error.strerror}; start the demo in another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(f"another demo is running in {path}; stop it, or start this one elsewhere") from None
        if lock.tell() == 0:
            lock.write(_MARK + b" holds this file while it runs\n")
            lock.flush()
        _clear(path)
        try:
            yield path
        finally:
            _clear(path)
            # The folder stays if it holds files of others.
            with suppress(OSError):
                (path / _LOCK).unlink(missing_ok=True)
                path.rmdir()


def _check_ours(path: Path) -> None:
    if path.is_symlink():
        raise DemoError(f"{path} is a symbolic link; remove it, or start the demo elsewhere")
    if not path.is_dir() or not any(path.iterdir()):
        return
    lock = path / _LOCK
    if lock.is_file() and not lock.is_symlink():
        with lock.open("rb") as file:
            if file.read(len(_MARK)) == _MARK:
                return
    raise DemoError(f"{path} holds files that no demo made; move them, or start the demo elsewhere")


def _clear(path: Path) -> None:
    """Remove what demos make. Raises `DemoError` if that fails."""
    try:
        for entry in [entry for pattern in _MADE for entry in path.glob(pattern)]:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    except OSError as error:
        raise DemoError(f"cannot remove {error.filename}: {error.strerror}; remove {path} yourself") from None
