"""Files that other processes, a crash or a full disk cannot spoil.

::

    replaced(path)          a file that appears as a whole
    open_regular(path)      a file to read that has an end
    write_private(path)     a new file that no other user reads

While it is written, a file has no name, so that nothing is left of a process that is killed; where
the file system cannot do that, it has a temporary one. A temporary name is unique: no process
writes or deletes one that another process has made. `is_temporary` recognizes them.
"""

import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

TEMPORARY = re.compile(r"\.asem-[0-9a-f]{32}\.(partial|deleted|lock|lock\.owner)")
DESCRIPTORS = Path("/proc/self/fd")
"""Links to the files that this process has open."""


@contextmanager
def replaced(path: Path, finish: Callable[[Path], None] | None = None) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path` once the block has written all of it.

    Until then, and if the block fails, `path` is what it was. It is on disk when this returns, with
    the rights that `open` gives. A symbolic link stays one, its target is replaced; a device or a
    pipe is written directly.

    Parameters
    ----------
    path
        The file.
    finish
        Gives the complete file, which it is called with, its name; None: it replaces `path`.

    Raises
    ------
    OSError
        It cannot be written, for instance on a full disk; the message names `path`.
    """
    target = path.resolve() if path.is_symlink() else path
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("wb") as device:
            yield device
        return
    partial = temporary_beside(target)
    try:
        with errors_named(path, partial):
            unnamed = _unnamed(partial.parent)
            with partial.open("xb") if unnamed is None else unnamed as file:
                yield file
                sync(file)
                if unnamed is not None:
                    _give_first_name(file, partial)
            if finish is not None:
                finish(partial)
            else:
                partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)  # where it has not got its name
    sync_folder(target.parent)


def _unnamed(folder: Path) -> IO[bytes] | None:
    """Return a new file in a folder that has no name yet; None where the system has none."""
    kind = getattr(os, "O_TMPFILE", None)
    if kind is None or not DESCRIPTORS.is_dir():
        return None
    try:
        return os.fdopen(os.open(folder, kind | os.O_RDWR | os.O_CLOEXEC, 0o666), "wb")
    except OSError:  # the file system cannot, as NFS, or what is to be written cannot be
        return None


def _give_first_name(file: IO[bytes], path: Path) -> None:
    """Give the open file from `_unnamed` a name that is free; a copy where links are denied."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # a folder must be given, or the link itself is named, not the file that it leads to
        os.link(DESCRIPTORS / str(file.fileno()), path.name, dst_dir_fd=folder)
    except OSError:  # a security module, a sandbox or the file system denies it
        with os.fdopen(os.dup(file.fileno()), "rb") as source, path.open("xb") as copy:
            source.seek(0)
            shutil.copyfileobj(source, copy)
            sync(copy)
    finally:
        os.close(folder)


def temporary_beside(path: Path, kind: str = "partial") -> Path:
    """Return a name in the folder of `path` that no other process uses."""
    return path.with_name(f"{temporary_prefix(path)}{uuid.uuid4().hex[:16]}.{kind}")


def temporary_prefix(path: Path) -> str:
    """Return what all names of `temporary_beside` for `path` begin with, and no others."""
    return f".asem-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}"


def is_temporary(name: str) -> bool:
    """Whether a name is one of `temporary_beside`.

    Examples
    --------
    >>> is_temporary(temporary_beside(Path("zarr.json")).name), is_temporary("zarr.json")
    (True, False)
    """
    return TEMPORARY.fullmatch(name) is not None


def open_regular(path: Path) -> IO[bytes]:
    """Open a file to read; never a pipe or a device, which may have no end, or wait for ever.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file.
    """
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        what = "folder" if stat.S_ISDIR(mode) else "pipe, a socket or a device"
        raise OSError(f"{path} is a {what}; a regular file is needed")
    return os.fdopen(number, "rb")


def write_private(path: Path, text: str) -> None:
    """Write a new file that only this user can read; nothing of it is left where that fails.

    Raises
    ------
    OSError
        It cannot be written, or something lies at `path`.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    number = os.open(path, flags, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(text.encode(errors="backslashreplace"))
    except OSError:
        path.unlink()
        raise


def refuse_undecodable(path: Path) -> None:
    """Raise ValueError where the absolute path is not UTF-8: Zarr and JSON cannot name it."""
    refuse_undecodable_text(os.path.realpath(path))


def refuse_undecodable_text(text: str) -> None:
    """Raise ValueError where a path as it is written, or a part of one, is not UTF-8."""
    try:
        if os.fsencode(text) == text.encode():
            return
    except UnicodeEncodeError:
        pass
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    raise ValueError(
        f"{shown}: the path is not UTF-8 text; rename the folder or file, or take another place"
    )


def sync(file: IO[bytes]) -> None:
    """Wait until what was written to a file is on disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a name that was given in `folder` is on disk, where the file system can."""
    with suppress(OSError):  # some network file systems cannot; the file itself is on disk
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def errors_named(path: Path, partial: Path) -> Iterator[None]:
    """Raise an OSError about a temporary file or folder as one about what it stands for."""
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if error.filename else None
        if error.errno is None or (named is None and partial.is_dir()):
            raise
        if named is not None and not named.is_relative_to(partial):
            raise
        place = path / named.relative_to(partial) if named is not None else path
        raise OSError(error.errno, os.strerror(error.errno), str(place)) from error
