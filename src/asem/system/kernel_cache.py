"""Where numba keeps compiled kernels if it can write neither beside the code nor in the home.

numba stops at the first kernel then. What it reads from a cache is unpickled, so that the folder
must be one that no other user can write: of this user, closed to others, in a place where others
cannot rename it.
"""

import atexit
import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
VARIABLE, OWN = "NUMBA_CACHE_DIR", "ASEM_KERNEL_CACHE"
"""What numba reads; and the same folder, where `choose_cache` chose it (here or in a parent)."""
INDUCTOR = "TORCHINDUCTOR_CACHE_DIR"
"""What PyTorch's compiler reads, and sets itself when it is loaded."""
SMALLEST = 2**16
"""Bytes that fit in a cache at least; all kernels take a few MB."""


def choose_cache() -> None:
    """Name a folder to numba, also for child processes, if it would find none itself.

    Nothing changes where numba can write. Called before the first kernel is decorated.
    """
    given = os.environ.get(VARIABLE)
    if given and given == os.environ.get(OWN):
        if is_private(Path(given)):
            return
    elif given and _has_space(Path(given)):
        return
    if _beside_the_code() or _has_space(_user_wide()):
        return
    folder = private_folder()
    if folder is None:
        return
    os.environ[VARIABLE] = os.environ[OWN] = str(folder)
    config = sys.modules.get("numba.core.config")
    if config is not None:  # it has read the environment already
        config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]


def choose_inductor_cache() -> None:
    """Name a private folder to PyTorch's compiler, if it would take one by a name in ``/tmp``.

    It loads code from there, whoever the folder belongs to. Called before `torch.compile`.
    """
    named = os.environ.get(INDUCTOR)
    if named and not named.startswith(str(Path(tempfile.gettempdir(), "torchinductor_"))):
        return
    folder = private_folder()
    if folder is not None:
        os.environ[INDUCTOR] = str(folder / "torchinductor")


def private_folder() -> Path | None:
    """Return a folder that this user alone can write; None where there is no place for one.

    The same one each time, as long as no other user has taken its name; else a new one that is
    deleted when this process ends.
    """
    with suppress(OSError):
        for place in (Path(tempfile.gettempdir()), Path("/dev/shm")):
            folder = place / f"asem-{os.geteuid()}"
            with suppress(OSError):
                if not _is_safe(place):
                    continue
                with suppress(FileExistsError):
                    folder.mkdir(mode=0o700)
                if is_private(folder):
                    return folder
        made = Path(tempfile.mkdtemp(prefix="asem-"))
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        return made
    return None


def is_private(folder: Path) -> bool:
    """Whether a folder belongs to this user, is closed to all others, and can be written."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    closed = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    return closed and found.st_uid == os.geteuid() and _has_space(folder)


def _is_safe(place: Path) -> bool:
    """Whether other users cannot rename what this one makes in a folder."""
    found = place.stat()
    shared = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
    return not shared and found.st_uid in (0, os.geteuid())


def _beside_the_code() -> bool:
    """Whether numba can write into the folders of the package, as it prefers."""
    folders = [entry for entry in PACKAGE.iterdir() if (entry / "__init__.py").is_file()]
    caches = [folder / "__pycache__" for folder in folders]
    if not all(map(_is_writable, caches)):
        return False
    return all(map(_has_space, caches[:1]))


def _is_writable(cache: Path) -> bool:
    return os.access(cache if cache.exists() else cache.parent, os.W_OK | os.X_OK)


def _user_wide() -> Path:
    """Return the folder that numba takes otherwise."""
    home = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    place = os.environ.get("XDG_CACHE_HOME", os.path.expanduser(home))  # noqa: PTH111
    return Path(place, "numba")


def _has_space(folder: Path) -> bool:
    """Whether a folder can be made and written; a relative one is no place for a cache."""
    if not folder.is_absolute():
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(SMALLEST))
            file.flush()
    except OSError:
        return False
    return True
