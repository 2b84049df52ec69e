"""Write a file whole or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast


@contextmanager
def atomic_output(path: Path) -> Iterator[BinaryIO]:
    """A new file that replaces `path`, or the target of a link, at the end of the block. A reader sees the old content
    or the new. If the block fails, the old content stays. A pipe or a device is written directly.

    Raises `OSError`.
    """
    # A descriptor of this process has no folder for a second file.
    if (path.exists() and not path.is_file()) or str(path).startswith(("/dev/fd/", "/dev/std", "/proc/")):
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()
    exists = target.exists()
    if exists and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # mkstemp makes the file private, but an output is for other users too.
    mode = target.stat().st_mode & 0o777 if exists else 0o666 & ~_umask()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:200]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            yield cast(BinaryIO, file)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """`atomic_output` with this content. Raises `OSError`; the old content is then unchanged."""
    with atomic_output(path) as file:
        file.write(content)


def _umask() -> int:
    # The umask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
