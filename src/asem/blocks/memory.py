"""How much memory this process may still take, and what becomes of what it frees."""

import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
NEVER = 2**31 - 1


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
            free.append(max(0, int(most) - used + int(stat.get("inactive_file", 0))))
    return free


def refuse_beyond_memory(what: str, needed: int, advice: str, *, free: int | None = None) -> None:
    """Raise ValueError where something takes more memory than is free.

    Parameters
    ----------
    what, advice
        What takes it, and what to do, for the message.
    needed, free
        Bytes; None: `free_memory`.
    """
    free = free_memory() if free is None else free
    if needed > free:
        raise ValueError(
            f"{what} takes {needed / 1e9:.3g} GB of memory, of which {free / 1e9:.3g} are free; "
            f"{advice}"
        )


def keep_memory() -> None:
    """Keep freed memory in this process, on Linux with glibc.

    Training and prediction free and take large tensors of the same sizes again and again. Given
    back to the system each time, their pages are cleared each time: a third of the time of an
    iteration on a CPU. In threads it holds as far as `one_heap` does.
    """
    one_heap()
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, NEVER)


def one_heap() -> None:
    """Let all threads take their memory from one heap, if none but the main one took any yet.

    From a heap of its own, which glibc gives to a thread, large tensors go back to the system
    whatever `keep_memory` says. Heaps that other threads opened before are shared with threads that
    begin later; ``MALLOC_ARENA_MAX=1`` in the environment holds from the start.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def release_memory() -> None:
    """Give back what `keep_memory` kept, for instance before free memory is measured."""
    gc.collect()
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Any:
    """Return a function of glibc; None on other systems."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
