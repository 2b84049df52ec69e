"""A container without an engine: a read-only root folder of its own, a numeric user without rights, and no capability.

It shares the network with this machine, so a broker of the tests can be reached.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

USER: Final = 10001
_TOOLS: Final = ("unshare", "mount", "chroot", "setpriv", "sh", "mkdir", "ln")
# The root is a file system in memory. All that it holds is mounted into it, and then nobody can write to it.
_SETUP: Final = """
set -eu
root=$1 user=$2 path=$PATH; shift 2
PATH=/usr/sbin:/usr/bin:/sbin:/bin
setpriv=$(command -v setpriv) chroot=$(command -v chroot)
mount -t tmpfs tmpfs "$root"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --rbind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
    shift 3
done
shift
for link in bin lib lib64; do [ ! -d "$root/usr/$link" ] || ln -s "usr/$link" "$root/$link"; done
mkdir -p "$root/proc"
mount -t proc proc "$root/proc"
mount -o remount,ro "$root"
PATH=$path
exec "$setpriv" --no-new-privs "$chroot" --userspec="$user:$user" --groups= "$root" "$@"
"""


class Mount(NamedTuple):
    """A folder of this machine, and where it is in the container."""

    source: Path
    target: str
    writable: bool = False


def missing() -> str | None:
    """Why this machine cannot run such containers; None if it can."""
    if os.geteuid() != 0:
        return "a root folder of its own needs root"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"this machine lacks {', '.join(absent)}" if absent else None


def command(root: Path, mounts: Iterable[Mount], *arguments: str) -> list[str]:
    """The command that runs `arguments` in a container as its first process. `root` is an existing empty folder.

    The container ends with this command, also if that is killed.
    """
    described: list[str] = []
    for mount in mounts:
        described += [str(mount.source), mount.target, "rw" if mount.writable else "ro"]
    unshare = [str(shutil.which("unshare")), "--mount", "--pid", "--fork", "--kill-child=KILL"]
    return [*unshare, str(shutil.which("sh")), "-c", _SETUP, "sh", str(root), str(USER), *described, "--", *arguments]
