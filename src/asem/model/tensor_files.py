"""Read and write safetensors files, checked for expected names, shapes and finite values."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from asem.system.files import open_regular_file

DAMAGED_TEXT = "is damaged or of another network:"
MAX_NAME_CHARACTERS = 80
"""Length of a tensor's name in a message."""


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors to a safetensors file.

    Raises
    ------
    OSError
        The file cannot be written, for instance on a full disk; the error names it.
    """
    try:
        save_file(dict(tensors), file)
    except SafetensorError as error:
        match = re.search(r"\(os error (\d+)\)", str(error))
        if match is None:
            raise
        number = int(match[1])
        raise OSError(number, os.strerror(number), str(file)) from error


def read_tensors(
    file: Path, expected: Mapping[str, Tensor], *, optional: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Read the tensors of a file and check their names, shapes and values.

    Parameters
    ----------
    file
        File to read.
    expected
        Tensors of the same names, shapes and kinds (floating-point or not); they may have no data
        (``torch.device("meta")``).
    optional
        Further ones: the file contains all of them, or none.

    Raises
    ------
    OSError
        The file cannot be read, or is no regular file.
    ValueError
        The file is damaged, contains other tensors, or values that are not finite.
    """
    with (
        _raise_damage_as_value_error(file),
        open_regular_file(file),
        safe_open(file, "pt") as stored,
    ):
        names, templates = set(stored.keys()), dict(expected)
        if optional and not names.isdisjoint(optional):
            templates |= optional
        if differing := sorted(names ^ templates.keys()):
            first = differing[0]
            verb = "has" if first in names else "lacks"
            raise ValueError(f"{file} {DAMAGED_TEXT} it {verb} {first!r:.{MAX_NAME_CHARACTERS}}")
        for name, template in templates.items():
            shape = stored.get_slice(name).get_shape()
            if shape != list(template.shape):
                raise ValueError(f"{file} {DAMAGED_TEXT} {name!r} has shape {shape}")
        tensors = {name: stored.get_tensor(name) for name in templates}
    for name, value in tensors.items():
        if value.is_floating_point() != templates[name].is_floating_point():
            raise ValueError(f"{file} {DAMAGED_TEXT} {name!r} is {value.dtype}")
        if not value.isfinite().all():
            raise ValueError(f"{file} is damaged: {name!r} holds infinite values or NaN")
    return tensors


@contextmanager
def _raise_damage_as_value_error(file: Path) -> Iterator[None]:
    """Convert the library's error about a damaged file into a ValueError that names the file."""
    try:
        yield
    except SafetensorError as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"{file} {DAMAGED_TEXT} {first}") from error
