"""Whether a file has changed."""

from pathlib import Path

FileState = tuple[object, ...]


def state_of(path: Path) -> FileState:
    """A value that differs whenever the file behind a path does, also if a link now leads to another one. It reads only
    the directory. Never raises: a file that is gone is a state too."""
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno,)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
