"""Locks between processes, also where the file system has none.

::

    exclusive(lock)   a section that one process (or thread) at a time may be in
    lock_file(lock)   the lock by itself, for as long as a file is open
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

from asem.system.files import temporary_beside
from asem.system.own_files import is_at, open_own

LOCK_TIMEOUT_S = 30.0
"""How long `exclusive` waits for a section of milliseconds."""
POLL_S = 0.02
NO_FLOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Errors of file systems without locks."""
LONGEST_OWNER, LARGEST_PROCESS = 300, 2**31 - 1
"""Bytes of a host and a number; Linux numbers processes to 2**22."""


@contextmanager
def exclusive(lock: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Run the block in one process (and thread) at a time; the lock file is deleted afterwards.

    Parameters
    ----------
    lock
        The lock file, in a folder that exists; made here.
    timeout_s
        How long to wait for another process.

    Raises
    ------
    BlockingIOError
        Another process is in such a block for that long.
    """
    try:
        file = lock_file(lock, timeout_s)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"another process has held {lock} for {timeout_s:g} s; try again, or delete the file "
            "if no asem is running"
        ) from error
    try:
        yield
    finally:
        unlock(file, lock)


def lock_file(lock: Path, timeout_s: float = 0.0) -> IO[bytes]:
    """Lock a file, which is made if need be, until the returned one is closed.

    The lock holds for the file that is at `lock` when this returns: one that another process has
    locked and then deleted or moved is not taken for it. Where the file system has no locks
    (``flock``), a second file holds host and number of the process (`_OwnedFile`).

    Raises
    ------
    BlockingIOError
        Another process holds the lock, also after `timeout_s`.
    FileNotFoundError
        The folder of `lock` does not exist (any more).
    """
    end = time.monotonic() + timeout_s
    while True:
        file = _open(lock)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(file, lock):
                return file
            file.close()  # deleted meanwhile: there is another one by now, or none
        except BlockingIOError:
            file.close()
            if time.monotonic() >= end:
                raise
            time.sleep(POLL_S)
        except OSError as error:
            file.close()
            if error.errno not in NO_FLOCK:
                raise
            return _OwnedFile(lock, end)


def unlock(file: IO[bytes], lock: Path) -> None:
    """Delete a lock file and close it; another process that waits for it makes a new one."""
    with suppress(OSError):
        if isinstance(file, _OwnedFile) or is_at(file, lock):
            lock.unlink()
    file.close()


def is_held(file: IO[bytes], lock: Path) -> bool:
    """Whether what `lock_file` returned still locks `lock`: nobody deleted or moved it."""
    return not file.closed and is_at(file, file.path if isinstance(file, _OwnedFile) else lock)


def _open(lock: Path) -> IO[bytes]:
    """Open a lock file, also one of another user that may only be read; nothing is written."""
    try:
        return open_own(lock, os.O_RDWR | os.O_CREAT)
    except PermissionError:
        return open_own(lock, os.O_RDONLY)


class _OwnedFile(BufferedWriter):
    """A lock where the file system has none: a file ``<lock>.owner`` with host and process.

    One that a process of this machine left that no longer runs is taken over.
    """

    def __init__(self, lock: Path, end: float) -> None:
        self.path = lock.with_name(f"{lock.name}.owner")
        while True:
            try:
                file = open_own(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                break
            except FileExistsError as error:
                if self._take_over():
                    continue
                if time.monotonic() >= end:
                    raise BlockingIOError(
                        errno.EAGAIN, "held by another process (delete it if none runs)", self.path
                    ) from error
                time.sleep(POLL_S)
        super().__init__(file)
        try:
            self.write(_this_process())
            self.flush()
        except OSError:  # a full disk: no file of nobody is left
            self.close()
            raise
        if not is_at(self, self.path):  # its folder was moved away
            self.close()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)

    def _take_over(self) -> bool:
        """Delete the file of a process of this machine that has ended; False where it runs."""
        try:
            owner = _owner(self.path)
            host, _, process = owner.partition(b" ")
            if host != _this_process().partition(b" ")[0] or not process.isdigit():
                return False
            os.kill(min(int(process), LARGEST_PROCESS), 0)
        except ProcessLookupError:
            self._delete(owner)
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
        else:
            return False
        return True

    def _delete(self, owner: bytes) -> None:
        """Delete the file, if it still is that of `owner`."""
        dead = temporary_beside(self.path, "deleted")
        with suppress(FileNotFoundError, FileExistsError):  # another process has done it
            self.path.rename(dead)
            if _owner(dead) != owner:
                dead.rename(self.path)
            else:
                dead.unlink()

    def close(self) -> None:
        """Unlock; where the file was deleted meanwhile, that of another process stays."""
        if not self.closed and is_at(self, self.path):
            self.path.unlink(missing_ok=True)
        super().close()


def _owner(file: Path) -> bytes:
    """Return what a file says of the process that owns it."""
    with open_own(file, os.O_RDONLY) as owner:
        return owner.read(LONGEST_OWNER)


def _this_process() -> bytes:
    return f"{os.uname().nodename} {os.getpid()}".encode()
