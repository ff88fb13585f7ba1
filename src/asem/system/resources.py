"""How much memory and disk are free, and work that is refused because they cannot hold it.

Sizes that a file states are compared with what is free before anything is made of them: a header
of a hundred bytes can state more than any machine has.
"""

import os
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
RECLAIMABLE = ("active_file", "inactive_file", "slab_reclaimable")
"""What a control group counts as used and gives back where needed: files that were read."""
UNKNOWN = 2**62
"""Bytes that are free where a file system does not say it."""
UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def free_memory() -> int:
    """Return the bytes that are free: of this machine, or of what a container or job was given."""
    free = int(psutil.virtual_memory().available)
    return min([free, *_free_in_cgroups()])


def _free_in_cgroups() -> list[int]:
    """Return what is free of each limit on the way from this process's control group upwards.

    Version 2 of Linux' control groups, as containers and batch systems set them; pages of files
    that were read count as free.
    """
    if not OWN_CGROUP.is_file():
        return []
    lines = OWN_CGROUP.read_text().splitlines()
    own = next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), None)
    if own is None:
        return []
    folder, free = CGROUPS / own, []
    for group in (folder, *folder.parents):
        limit = group / "memory.max"
        if limit.is_file() and (most := limit.read_text().strip()) != "max":
            used = int((group / "memory.current").read_text())
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            kept = sum(int(stat.get(name, 0)) for name in RECLAIMABLE)
            free.append(max(0, int(most) - used + kept))
    return free


def free_disk(folder: Path) -> int:
    """Return the bytes that are free where `folder` is, or is to be made."""
    folder = folder.resolve()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    stat = os.statvfs(there)
    return stat.f_bavail * stat.f_frsize if stat.f_blocks else UNKNOWN


def refuse_without_memory(
    needed: int,
    what: str,
    advice: str = "take a smaller part, or a machine with more memory",
    *,
    free: int | None = None,
) -> None:
    """Raise ValueError where less memory is free than something needs.

    Parameters
    ----------
    needed, free
        Bytes; None: `free_memory`.
    what, advice
        What needs it, and what to do, for the message.
    """
    free = free_memory() if free is None else free
    if needed > free:
        raise ValueError(
            f"{what} needs {in_bytes(needed)} of memory, of which {in_bytes(free)} are free; "
            f"{advice}"
        )


def refuse_without_disk(folder: Path, needed: int, what: str) -> None:
    """Raise ValueError where less disk is free at `folder` than `what` needs, bytes."""
    free = free_disk(folder)
    if needed > free:
        raise ValueError(
            f"{what} needs {in_bytes(needed)} of disk, of which {in_bytes(free)} are free at "
            f"{folder}; free some, or take another place or a smaller part"
        )


def in_bytes(number: int) -> str:
    """Write a number of bytes for a message.

    Examples
    --------
    >>> in_bytes(12), in_bytes(1_500), in_bytes(10**12)
    ('12 B', '1.5 kB', '1 TB')
    """
    digits = len(str(number)) - 1
    power = min(digits // 3, len(UNITS) - 1)
    return f"{number / 1000**power:.3g} {UNITS[power]}" if digits < 30 else "more than any disk"
