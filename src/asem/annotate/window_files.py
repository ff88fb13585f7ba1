"""Arrays of windows on disk, a file for each: labels of finished ones, guesses of networks."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asem.files import replaced
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
    path.parent.mkdir(exist_ok=True)
    with replaced(path) as file:
        yield file


def window_arrays(path: Path, advice: str, *names: str) -> list[npt.NDArray[Any]]:
    """Read arrays; OSError where the file is gone or damaged, with advice what to do."""
    try:
        with path.open("rb") as file, np.load(file) as stored:
            return [stored[name] for name in names]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is gone; {advice}") from error
    except (EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise OSError(f"{path} is damaged; {advice}") from error
