"""Read and write the .npz file of a window: accepted labels, or the prediction of a network."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt

from asem.system.json_toml import parse_json
from asem.system.nofollow_files import make_folder_nofollow, replace_file_nofollow
from asem.system.npz import DAMAGED_TEXT, ArraySpec, read_npz
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
def replace_window_file(path: Path) -> Iterator[IO[bytes]]:
    """Write the file of a window atomically; an earlier file remains until then."""
    make_folder_nofollow(path.parent)
    with replace_file_nofollow(path) as file:
        yield file


def read_window_arrays(
    path: Path, advice: str, specs: Mapping[str, ArraySpec]
) -> dict[str, npt.NDArray[Any]]:
    """Read arrays; OSError with advice where the file is missing or damaged, or arrays differ."""
    try:
        return read_npz(path, specs)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing; {advice}") from error
    except ValueError as error:
        reason = str(error).partition(DAMAGED_TEXT)[2]
        raise OSError(f"{path} is damaged; {advice} ({reason})") from error


def read_window_json(path: Path, name: str, advice: str) -> dict[str, Any]:
    """Read a table that is stored as JSON.

    Raises
    ------
    OSError
        The file is missing or damaged; the message includes the advice.
    """
    table = read_window_json_or_null(path, name, advice)
    if table is None:
        raise OSError(f"{path} is damaged; {advice} ('{name}' is no table)")
    return table


def read_window_json_or_null(path: Path, name: str, advice: str) -> dict[str, Any] | None:
    """Read a table that is stored as JSON; None where it is null.

    Raises
    ------
    OSError
        The file is missing or damaged; the message includes the advice.
    """
    text = str(read_window_arrays(path, advice, {name: ArraySpec("U")})[name])
    try:
        table = parse_json(text, source=f"'{name}'")
    except ValueError as error:
        raise OSError(f"{path} is damaged; {advice} ({error})") from error
    if not isinstance(table, dict | None):
        raise OSError(f"{path} is damaged; {advice} ('{name}' is no table)")
    return table
