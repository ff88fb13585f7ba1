"""Free memory and disk space, and checks that raise when they are too small.

Sizes stated in a file are checked before memory is allocated: a header of a hundred bytes can state
more than any machine has.
"""

import os
from pathlib import Path

import psutil

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_FILE = Path("/proc/self/cgroup")
RECLAIMABLE_STATS = ("active_file", "inactive_file", "slab_reclaimable")
"""Memory that a control group counts as used but can reclaim: cached files."""
UNKNOWN_FREE_BYTES = 2**62
"""Free bytes that are assumed where a file system does not report them."""
BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def free_memory_bytes() -> int:
    """Return the free memory in bytes, of this machine or within the limit of a container."""
    free = int(psutil.virtual_memory().available)
    return min([free, *_free_bytes_in_cgroups()])


def _free_bytes_in_cgroups() -> list[int]:
    """Return the free bytes within the limit of this process's control group and of each parent.

    For version 2 of Linux control groups, as containers and batch systems use them; cached files
    count as free.
    """
    if not CGROUP_FILE.is_file():
        return []
    lines = CGROUP_FILE.read_text().splitlines()
    own = next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), None)
    if own is None:
        return []
    folder, free = CGROUP_ROOT / own, []
    for group in (folder, *folder.parents):
        limit = group / "memory.max"
        if limit.is_file() and (max_bytes := limit.read_text().strip()) != "max":
            used = int((group / "memory.current").read_text())
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            reclaimable = sum(int(stat.get(name, 0)) for name in RECLAIMABLE_STATS)
            free.append(max(0, int(max_bytes) - used + reclaimable))
    return free


def free_disk_bytes(folder: Path) -> int:
    """Return the free bytes on the file system of `folder`, which may not exist yet."""
    folder = folder.resolve()
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    stat = os.statvfs(existing)
    return stat.f_bavail * stat.f_frsize if stat.f_blocks else UNKNOWN_FREE_BYTES


def check_free_memory(
    needed_bytes: int,
    what: str,
    advice: str = "take a smaller part, or a machine with more memory",
    *,
    free_bytes: int | None = None,
) -> None:
    """Raise ValueError where less than `needed_bytes` of memory is free.

    Parameters
    ----------
    needed_bytes, free_bytes
        Bytes; None: `free_memory_bytes`.
    what, advice
        Subject and advice of the message.
    """
    free_bytes = free_memory_bytes() if free_bytes is None else free_bytes
    if needed_bytes > free_bytes:
        raise ValueError(
            f"{what} needs {format_bytes(needed_bytes)} of memory, of which "
            f"{format_bytes(free_bytes)} are free; {advice}"
        )


def check_free_disk(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise ValueError where less disk is free at `folder` than `what` needs, bytes."""
    free = free_disk_bytes(folder)
    if needed_bytes > free:
        raise ValueError(
            f"{what} needs {format_bytes(needed_bytes)} of disk, of which {format_bytes(free)} are "
            f"free at {folder}; free some, or give another folder or a smaller part"
        )


def format_bytes(number: int) -> str:
    """Format a number of bytes for a message.

    Examples
    --------
    >>> format_bytes(12), format_bytes(1_500), format_bytes(10**12)
    ('12 B', '1.5 kB', '1 TB')
    """
    digits = len(str(number)) - 1
    power = min(digits // 3, len(BYTE_UNITS) - 1)
    return (
        f"{number / 1000**power:.3g} {BYTE_UNITS[power]}" if digits < 30 else "more than any disk"
    )
