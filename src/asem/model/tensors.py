"""Tensors in safetensors files: nothing is unpickled, and what is read is what is expected."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from asem.system.files import open_regular

OTHER = "is damaged or of another network:"
MOST_LETTERS = 80
"""Of a name in a message."""


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors.

    Raises
    ------
    OSError
        The file cannot be written, for instance on a full disk; names it.
    """
    try:
        save_file(dict(tensors), file)
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(file)) from error


def read_tensors(
    file: Path, expected: Mapping[str, Tensor], *, optional: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Read the tensors of a file that holds nothing but what is expected.

    Parameters
    ----------
    file
        To read.
    expected
        The names, and tensors of the same shapes, floating-point or not; they may have no data
        (``torch.device("meta")``).
    optional
        More of them: all are in the file, or none.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    ValueError
        It is damaged, holds something else, or values that are not finite; one line.
    """
    with _damage_named(file), open_regular(file), safe_open(file, "pt") as stored:
        names, wanted = set(stored.keys()), dict(expected)
        if optional and not names.isdisjoint(optional):
            wanted |= optional
        if odd := sorted(names ^ wanted.keys()):
            how = "has" if odd[0] in names else "lacks"
            raise ValueError(f"{file} {OTHER} it {how} {odd[0]!r:.{MOST_LETTERS}}")
        for name, like in wanted.items():
            shape = stored.get_slice(name).get_shape()
            if shape != list(like.shape):
                raise ValueError(f"{file} {OTHER} {name!r} has shape {shape}")
        found = {name: stored.get_tensor(name) for name in wanted}
    for name, value in found.items():
        if value.is_floating_point() != wanted[name].is_floating_point():
            raise ValueError(f"{file} {OTHER} {name!r} is {value.dtype}")
        if not value.isfinite().all():
            raise ValueError(f"{file} is damaged: {name!r} holds infinite values or NaN")
    return found


@contextmanager
def _damage_named(file: Path) -> Iterator[None]:
    """Turn what the library raises on a damaged file into a ValueError that names it."""
    try:
        yield
    except SafetensorError as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"{file} {OTHER} {first}") from error
