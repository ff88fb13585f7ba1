"""Arrays of windows on disk, a file for each: labels of finished ones, guesses of networks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt

from asem.system.documents import parse_json
from asem.system.npz import DAMAGED, Form, read_arrays
from asem.system.own_files import own_folder, replaced_own
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


def window_arrays(
    path: Path, advice: str, forms: Mapping[str, Form]
) -> dict[str, npt.NDArray[Any]]:
    """Read arrays; OSError with advice where the file is gone, damaged, or of other forms."""
    try:
        return read_arrays(path, forms)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is gone; {advice}") from error
    except ValueError as error:
        reason = str(error).partition(DAMAGED)[2]
        raise OSError(f"{path} is damaged; {advice} ({reason})") from error


def window_table(path: Path, name: str, advice: str) -> dict[str, Any] | None:
    """Read a table that is stored as JSON; None where it is null, or the file of before it existed.

    Raises
    ------
    OSError
        The file is gone or damaged; with advice what to do.
    """
    stored = window_arrays(path, advice, {name: Form("U", optional=True)})
    if name not in stored:
        return None
    try:
        found = parse_json(str(stored[name]), source=f"'{name}'")
    except ValueError as error:
        raise OSError(f"{path} is damaged; {advice} ({error})") from error
    if not isinstance(found, dict | None):
        raise OSError(f"{path} is damaged; {advice} ('{name}' is no table)")
    return found
