"""Private cache folders for code compiled by numba and TorchInductor.

numba raises at the first kernel if it can write neither next to the code nor in the home folder.
It unpickles what it reads from a cache, so that no other user may write the folder: it belongs to
this user, is closed to others, and its parent does not let others rename it.
"""

import atexit
import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).parents[1]
NUMBA_VARIABLE, CHOSEN_VARIABLE = "NUMBA_CACHE_DIR", "ASEM_KERNEL_CACHE"
"""The variable that numba reads; the same value where `set_numba_cache` set it, in this process or
in a parent."""
INDUCTOR_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
"""The variable that PyTorch's compiler reads, and sets itself when it is imported."""
MIN_FREE_BYTES = 2**16
"""Bytes that must fit into a cache folder; all kernels take a few MB."""


def set_numba_cache() -> None:
    """Set numba's cache folder, also for child processes, where its default is not writable.

    Call before the first kernel is decorated.
    """
    current = os.environ.get(NUMBA_VARIABLE)
    if current and current == os.environ.get(CHOSEN_VARIABLE):
        if is_private_folder(Path(current)):
            return
    elif current and _can_store(Path(current)):
        return
    if _can_write_pycache() or _can_store(_user_cache_folder()):
        return
    folder = make_private_folder()
    if folder is None:
        return
    os.environ[NUMBA_VARIABLE] = os.environ[CHOSEN_VARIABLE] = str(folder)
    config = sys.modules.get("numba.core.config")
    if config is not None:  # numba has already read the environment
        config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]


def set_inductor_cache() -> None:
    """Set a private cache folder for PyTorch's compiler instead of a predictable one in ``/tmp``.

    TorchInductor loads code from it without a check of its owner. Call before `torch.compile`.
    """
    current = os.environ.get(INDUCTOR_VARIABLE)
    if current and not current.startswith(str(Path(tempfile.gettempdir(), "torchinductor_"))):
        return
    folder = make_private_folder()
    if folder is not None:
        os.environ[INDUCTOR_VARIABLE] = str(folder / "torchinductor")


def make_private_folder() -> Path | None:
    """Return a folder that only this user can write; None where none can be made.

    The same folder in each process, unless another user owns its name; then a new one that is
    deleted when this process ends.
    """
    with suppress(OSError):
        for parent in (Path(tempfile.gettempdir()), Path("/dev/shm")):
            folder = parent / f"asem-{os.geteuid()}"
            with suppress(OSError):
                if not _is_rename_safe(parent):
                    continue
                with suppress(FileExistsError):
                    folder.mkdir(mode=0o700)
                if is_private_folder(folder):
                    return folder
        folder = Path(tempfile.mkdtemp(prefix="asem-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder
    return None


def is_private_folder(folder: Path) -> bool:
    """Return whether a folder belongs to this user, is closed to all others, and is writable."""
    try:
        state = folder.lstat()
    except OSError:
        return False
    closed = stat.S_ISDIR(state.st_mode) and not state.st_mode & 0o077
    return closed and state.st_uid == os.geteuid() and _can_store(folder)


def _is_rename_safe(parent: Path) -> bool:
    """Return whether other users cannot rename what this user makes in a folder."""
    state = parent.stat()
    shared = state.st_mode & 0o022 and not state.st_mode & stat.S_ISVTX
    return not shared and state.st_uid in (0, os.geteuid())


def _can_write_pycache() -> bool:
    """Return whether numba can write into the folders of the package, its first choice."""
    folders = [entry for entry in PACKAGE_FOLDER.iterdir() if (entry / "__init__.py").is_file()]
    caches = [folder / "__pycache__" for folder in folders]
    if not all(map(_can_write, caches)):
        return False
    return all(map(_can_store, caches[:1]))


def _can_write(cache: Path) -> bool:
    return os.access(cache if cache.exists() else cache.parent, os.W_OK | os.X_OK)


def _user_cache_folder() -> Path:
    """Return numba's second choice, in the user's cache folder."""
    default = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    parent = os.environ.get("XDG_CACHE_HOME", os.path.expanduser(default))  # noqa: PTH111
    return Path(parent, "numba")


def _can_store(folder: Path) -> bool:
    """Return whether an absolute folder can be made and written."""
    if not folder.is_absolute():
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(MIN_FREE_BYTES))
            file.flush()
    except OSError:
        return False
    return True
