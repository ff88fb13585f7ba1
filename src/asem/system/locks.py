"""File locks between processes, with a fallback for file systems without flock.

::

    exclusive_lock(lock)   context manager: one process (or thread) at a time runs the block
    acquire_lock(lock)     lock a file until it is closed
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import IO

from asem.system.files import temporary_path
from asem.system.nofollow_files import is_same_file, open_nofollow

LOCK_TIMEOUT_S = 30.0
"""Time that `exclusive_lock` waits; its blocks take milliseconds."""
POLL_INTERVAL_S = 0.02
NO_FLOCK_ERRNOS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Errors of file systems without locks."""
MAX_OWNER_BYTES, MAX_PROCESS_ID = 300, 2**31 - 1
"""Bytes of host name and process ID; Linux uses IDs up to 2**22."""


@contextmanager
def exclusive_lock(lock: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Run the block in one process (and thread) at a time; the lock file is deleted afterwards.

    Parameters
    ----------
    lock
        The lock file, in an existing folder; created here.
    timeout_s
        Time to wait for another process.

    Raises
    ------
    BlockingIOError
        Another process holds the lock for longer than `timeout_s`.
    """
    try:
        file = acquire_lock(lock, timeout_s)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"another process has held {lock} for {timeout_s:g} s; try again, or delete the file "
            "if no asem is running"
        ) from error
    try:
        yield
    finally:
        release_lock(file, lock)


def acquire_lock(lock: Path, timeout_s: float = 0.0) -> IO[bytes]:
    """Lock a file, which is created if it is missing, until the returned file is closed.

    The locked file is the one at `lock` when this returns, not one that another process has
    deleted or moved meanwhile. Where the file system has no locks (``flock``), a second file holds
    host name and process ID (`_OwnerFileLock`).

    Raises
    ------
    BlockingIOError
        Another process still holds the lock after `timeout_s`.
    FileNotFoundError
        The folder of `lock` does not exist.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        file = _open_lock_file(lock)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_same_file(file, lock):
                return file
            file.close()  # deleted meanwhile: open the current one, or create it
        except BlockingIOError:
            file.close()
            if time.monotonic() >= deadline:
                raise
            time.sleep(POLL_INTERVAL_S)
        except OSError as error:
            file.close()
            if error.errno not in NO_FLOCK_ERRNOS:
                raise
            return _OwnerFileLock(lock, deadline)


def release_lock(file: IO[bytes], lock: Path) -> None:
    """Delete a lock file and close it; another process that waits for it creates a new one."""
    with suppress(OSError):
        if isinstance(file, _OwnerFileLock) or is_same_file(file, lock):
            lock.unlink()
    file.close()


def is_lock_held(file: IO[bytes], lock: Path) -> bool:
    """Return whether the file from `acquire_lock` still locks `lock`: not deleted or moved."""
    return not file.closed and is_same_file(
        file, file.path if isinstance(file, _OwnerFileLock) else lock
    )


def _open_lock_file(lock: Path) -> IO[bytes]:
    """Open a lock file, read-only where another user owns it; nothing is written."""
    try:
        return open_nofollow(lock, os.O_RDWR | os.O_CREAT)
    except PermissionError:
        return open_nofollow(lock, os.O_RDONLY)


class _OwnerFileLock(BufferedWriter):
    """Lock for file systems without flock: a file ``<lock>.owner`` with host name and process ID.

    The file of a process of this machine that has ended is replaced.
    """

    def __init__(self, lock: Path, deadline: float) -> None:
        self.path = lock.with_name(f"{lock.name}.owner")
        while True:
            try:
                file = open_nofollow(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                break
            except FileExistsError as error:
                if self._delete_stale():
                    continue
                if time.monotonic() >= deadline:
                    raise BlockingIOError(
                        errno.EAGAIN, "held by another process (delete it if none runs)", self.path
                    ) from error
                time.sleep(POLL_INTERVAL_S)
        super().__init__(file)
        try:
            self.write(_process_owner())
            self.flush()
        except OSError:  # a full disk: leave no file without an owner
            self.close()
            raise
        if not is_same_file(self, self.path):  # its folder was moved
            self.close()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)

    def _delete_stale(self) -> bool:
        """Delete the file of an ended process of this machine; return False where it runs."""
        try:
            owner = _read_owner(self.path)
            host, _, process = owner.partition(b" ")
            if host != _process_owner().partition(b" ")[0] or not process.isdigit():
                return False
            os.kill(min(int(process), MAX_PROCESS_ID), 0)
        except ProcessLookupError:
            self._delete_of_owner(owner)
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
        else:
            return False
        return True

    def _delete_of_owner(self, owner: bytes) -> None:
        """Delete the file if it still is that of `owner`."""
        stale = temporary_path(self.path, "deleted")
        with suppress(FileNotFoundError, FileExistsError):  # another process has deleted it
            self.path.rename(stale)
            if _read_owner(stale) != owner:
                stale.rename(self.path)
            else:
                stale.unlink()

    def close(self) -> None:
        """Unlock; the file of another process, created after a deletion, stays."""
        if not self.closed and is_same_file(self, self.path):
            self.path.unlink(missing_ok=True)
        super().close()


def _read_owner(file: Path) -> bytes:
    """Return host name and process ID in an owner file."""
    with open_nofollow(file, os.O_RDONLY) as owner:
        return owner.read(MAX_OWNER_BYTES)


def _process_owner() -> bytes:
    return f"{os.uname().nodename} {os.getpid()}".encode()
