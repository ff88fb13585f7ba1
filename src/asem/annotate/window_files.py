"""Arrays of windows on disk, a file for each: labels of finished ones, guesses of networks."""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asem.own_files import own_folder, replaced_own
from asem.volume.roi import Roi


def window_path(folder: Path, window: Roi) -> Path:
    """Return the file of a window.

    Examples
    --------
    >>> window_path(Path("accepted"), Roi((0, 8, 0), (64, 64, 72))).as_posix()
    'accepted/0-64_8-72_0-72.npz'
    """
    spans = [f"{o}-{e}" for o, e in zip(window.offset, window.end, strict=True)]
    return folder / f"{'_'.join(spans)}.npz"


@contextmanager
def window_file(path: Path) -> Iterator[IO[bytes]]:
    """Write the file of a window as a whole; what was there before stays until then."""
    own_folder(path.parent)
    with replaced_own(path) as file:
        yield file


def window_arrays(path: Path, advice: str, *names: str) -> list[npt.NDArray[Any]]:
    """Read arrays; OSError where the file is gone or damaged, with advice what to do."""
    with _opened(path, advice) as stored:
        return [stored[name] for name in names]


def window_table(path: Path, name: str, advice: str) -> dict[str, Any] | None:
    """Read a table that is stored as JSON; None where it is null, or the file of before it existed.

    Raises
    ------
    OSError
        The file is gone or damaged; with advice what to do.
    """
    with _opened(path, advice) as stored:
        found = json.loads(str(stored[name])) if name in stored else None
        if not isinstance(found, dict | None):
            raise ValueError(f"{name} is no table")
        return found


@contextmanager
def _opened(path: Path, advice: str) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    """Open a file of arrays; what fails while it is read becomes an OSError with advice."""
    try:
        with path.open("rb") as file, np.load(file) as stored:
            yield stored
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is gone; {advice}") from error
    except (EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise OSError(f"{path} is damaged; {advice}") from error
