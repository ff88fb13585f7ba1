"""Atomic file writes, reading of regular files, fsync and temporary names.

::

    replace_file(path)             write a file atomically
    open_regular_file(path)        open a regular file to read, never a pipe or a device
    write_private_file(path, ...)  write a new file that no other user can read

A file has no name while it is written, so that a killed process leaves nothing; where the file
system does not support that, it has a temporary name. Temporary names are unique: no process
writes or deletes those of another. `is_temporary_name` recognizes them.
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

TEMPORARY_NAME_PATTERN = re.compile(r"\.asem-[0-9a-f]{32}\.(partial|deleted|lock|lock\.owner)")
OPEN_FILES_FOLDER = Path("/proc/self/fd")
"""Links to the open files of this process."""


@contextmanager
def replace_file(path: Path, publish: Callable[[Path], None] | None = None) -> Iterator[IO[bytes]]:
    """Yield a file that replaces `path` atomically at the end of the block.

    Until then, and if the block fails, `path` is unchanged. The file is on disk when this returns,
    with the permissions that `open` sets. Of a symbolic link, the target is replaced; a device or
    a pipe is written directly.

    Parameters
    ----------
    path
        The file.
    publish
        Called with the complete temporary file, which it renames; None: it replaces `path`.

    Raises
    ------
    OSError
        The file cannot be written, for instance on a full disk; the message names `path`.
    """
    target = path.resolve() if path.is_symlink() else path
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("wb") as device:
            yield device
        return
    partial = temporary_path(target)
    try:
        with name_path_in_errors(path, partial):
            unnamed = _open_unnamed(partial.parent)
            with partial.open("xb") if unnamed is None else unnamed as file:
                yield file
                fsync_file(file)
                if unnamed is not None:
                    _link_unnamed(file, partial)
            if publish is not None:
                publish(partial)
            else:
                partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)  # where it was not renamed
    fsync_folder(target.parent)


def _open_unnamed(folder: Path) -> IO[bytes] | None:
    """Return a new file without a name in a folder; None where this is not supported."""
    unnamed = getattr(os, "O_TMPFILE", None)
    if unnamed is None or not OPEN_FILES_FOLDER.is_dir():
        return None
    try:
        return os.fdopen(os.open(folder, unnamed | os.O_RDWR | os.O_CLOEXEC, 0o666), "wb")
    except OSError:  # not supported, as on NFS, or the folder is not writable
        return None


def _link_unnamed(file: IO[bytes], path: Path) -> None:
    """Link the open file from `_open_unnamed` to a free name; copy it where links are denied."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # without a folder descriptor, the link in /proc is linked instead of the file
        os.link(OPEN_FILES_FOLDER / str(file.fileno()), path.name, dst_dir_fd=folder)
    except OSError:  # denied by a security module, a sandbox or the file system
        with os.fdopen(os.dup(file.fileno()), "rb") as source, path.open("xb") as copy:
            source.seek(0)
            shutil.copyfileobj(source, copy)
            fsync_file(copy)
    finally:
        os.close(folder)


def temporary_path(path: Path, suffix: str = "partial") -> Path:
    """Return a name in the folder of `path` that no other process uses."""
    return path.with_name(f"{temporary_prefix(path)}{uuid.uuid4().hex[:16]}.{suffix}")


def temporary_prefix(path: Path) -> str:
    """Return the prefix of all names of `temporary_path` for `path`, and of no others."""
    return f".asem-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}"


def is_temporary_name(name: str) -> bool:
    """Return whether a name is one of `temporary_path`.

    Examples
    --------
    >>> is_temporary_name(temporary_path(Path("zarr.json")).name), is_temporary_name("zarr.json")
    (True, False)
    """
    return TEMPORARY_NAME_PATTERN.fullmatch(name) is not None


def open_regular_file(path: Path) -> IO[bytes]:
    """Open a regular file to read; a pipe or a device may have no end, or block forever.

    Raises
    ------
    OSError
        The file cannot be opened, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "folder" if stat.S_ISDIR(mode) else "pipe, a socket or a device"
        raise OSError(f"{path} is a {kind}; a regular file is needed")
    return os.fdopen(descriptor, "rb")


def write_new_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file in a folder that is not published yet; delete it if that fails.

    Raises
    ------
    OSError
        For instance, the disk is full. The message names the file.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_private_file(path: Path, text: str) -> None:
    """Write a new file that only this user can read; delete it where writing fails.

    Not atomic, since nothing is replaced; the file has these rights from the start.

    Raises
    ------
    OSError
        The file cannot be written, or `path` exists.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode(errors="backslashreplace"))
    except OSError:
        path.unlink()
        raise


def check_utf8_path(path: Path) -> None:
    """Raise ValueError where the absolute path is not UTF-8, as Zarr and JSON require."""
    check_utf8_text(os.path.realpath(path))


def check_utf8_text(text: str) -> None:
    """Raise ValueError where a path as given, or a part of one, is not UTF-8."""
    try:
        if os.fsencode(text) == text.encode():
            return
    except UnicodeEncodeError:
        pass
    escaped = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    raise ValueError(
        f"{escaped}: the path is not UTF-8 text; rename the folder or file, or give another path"
    )


def file_state(path: Path) -> tuple[int, int]:
    """Return size and time of change (ns) of a file: they differ once it is written again."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def fsync_file(file: IO[bytes]) -> None:
    """Flush a file to disk."""
    file.flush()
    os.fsync(file.fileno())


def fsync_folder(folder: Path) -> None:
    """Flush the names in `folder` to disk, where the file system supports it."""
    with suppress(OSError):  # some network file systems do not; the file itself is on disk
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def name_path_in_errors(path: Path, partial: Path) -> Iterator[None]:
    """Raise an OSError about the temporary path `partial` as one about `path`."""
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if error.filename else None
        if error.errno is None or (named is None and partial.is_dir()):
            raise
        if named is not None and not named.is_relative_to(partial):
            raise
        final = path / named.relative_to(partial) if named is not None else path
        raise OSError(error.errno, os.strerror(error.errno), str(final)) from error
