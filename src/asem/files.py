"""Files that other processes, a crash or a full disk cannot spoil.

::

    replaced(path)          a file that appears as a whole, under a temporary name of its own
    replaced_folder(path)   the same for a folder
    open_regular(path)      a file to read that has an end

A temporary name is unique: no process writes or deletes one that another process has made. Those
that a killed process left are harmless; `is_temporary` recognizes them.
"""

import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

TEMPORARY = re.compile(r"\.asem-[0-9a-f]{32}\.(partial|deleted)")


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
        with _errors_named(path, partial):
            with partial.open("xb") as file:
                yield file
                sync(file)
            if finish is not None:
                finish(partial)
            else:
                partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)  # where it has not got its name
    sync_folder(target.parent)


def give_name(finished: Path, path: Path) -> None:
    """Give a finished file its name; never instead of something that has it already.

    Parameters
    ----------
    finished
        On the same file system; it has only the new name afterwards.
    path
        The name.

    Raises
    ------
    FileExistsError
        Something lies at `path`.
    """
    appeared = f"{path} appeared while it was being made; it is not replaced: move it away"
    try:
        os.link(finished, path)
    except FileExistsError as error:
        raise FileExistsError(appeared) from error
    except OSError:  # a file system without hard links
        if path.exists() or path.is_symlink():
            raise FileExistsError(appeared) from None
        finished.replace(path)
    with suppress(FileNotFoundError):
        finished.unlink()


@contextmanager
def replaced_folder(path: Path, *, replace: bool) -> Iterator[Path]:
    """Yield a folder that takes the place of `path` once the block has filled it.

    Until then, and if the block fails, `path` is what it was and nothing is left of the new folder.
    It has the rights that `mkdir` gives; its parents are made.

    Parameters
    ----------
    path
        The folder.
    replace
        Delete what is at `path` in the end; else only an empty folder may be there.

    Raises
    ------
    FileExistsError
        There is something at `path`, which may not be replaced.
    OSError
        A file cannot be written; the message names it as if it were in `path`.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_beside(path)
    partial.mkdir()
    try:
        with _errors_named(path, partial):
            yield partial
            for file in filter(Path.is_file, partial.iterdir()):
                with file.open("rb") as opened, _errors_named(file, file):
                    os.fsync(opened.fileno())
        _exchange(partial, path, replace=replace)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    sync_folder(path.parent)


def _exchange(new: Path, path: Path, *, replace: bool) -> None:
    """Give a folder the name `path`; with `replace`, delete what had it."""
    old = path.rename(temporary_beside(path, "deleted")) if replace and path.exists() else None
    try:
        new.rename(path)
    except OSError as error:
        if old is not None:
            with suppress(OSError):  # another process made one meanwhile
                old.rename(path)
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise FileExistsError(f"another process made {path} meanwhile") from error
    if old is not None:
        remove_tree(old)


def delete_folder(folder: Path) -> None:
    """Delete a folder under another name, so that half of it never passes for the whole."""
    folder = folder.resolve()
    remove_tree(folder.rename(temporary_beside(folder, "deleted")))


def remove_tree(folder: Path, attempts: int = 20) -> None:
    """Delete a folder in which another process may just be making a lock file."""
    for left in reversed(range(attempts)):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not left:
                raise
        else:
            return


def temporary_beside(path: Path, kind: str = "partial") -> Path:
    """Return a name in the folder of `path` that no other process uses."""
    return path.with_name(f".asem-{uuid.uuid4().hex}.{kind}")


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
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        what = "is a folder" if stat.S_ISDIR(mode) else "is a pipe, a socket or a device"
        raise OSError(code, f"{what}; a regular file is needed", str(path))
    return os.fdopen(number, "rb")


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
def _errors_named(path: Path, partial: Path) -> Iterator[None]:
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
