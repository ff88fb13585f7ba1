"""Base class of all configurations: frozen, strict, read from TOML; errors in one line."""

from collections.abc import Iterable
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asem.config_errors import Expected as Expected
from asem.config_errors import shorten as shorten
from asem.config_errors import shorten_words as shorten_words
from asem.config_errors import suggest as suggest
from asem.config_errors import summarize_errors
from asem.system.json_toml import read_toml

NmZYX = tuple[float, float, float]
"""Three lengths in nm along (z, y, x)."""
MIN_VOXEL_NM, MAX_VOXEL_NM = 1e-6, 1e9
"""Allowed voxel edges, 1e-15 m to 1 m: volumes and ratios of such voxels are finite numbers.
`asem.volume.voxel_size_resolution` warns of sizes that no microscope has."""
MAX_POSITION_NM = 1e15
"""Largest world position; float64 still resolves neighbouring voxels of 1 nm there."""


VoxelEdge = Annotated[float, Field(ge=MIN_VOXEL_NM, le=MAX_VOXEL_NM)]
VoxelSize = Annotated[
    tuple[VoxelEdge, VoxelEdge, VoxelEdge],
    Expected(
        "three lengths in nm, z, y, x, for example [8, 4, 4]",
        f", each from {MIN_VOXEL_NM:g} to {MAX_VOXEL_NM:g}",
    ),
]
"""Edges of a voxel along (z, y, x), nm, in a configuration file."""
MAX_COUNT = 10**9
"""Largest number of iterations: 30 years at one per second."""


class Config(BaseModel):
    """Immutable settings; an unknown key is an error, so that a typo does not select a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    file_kind: ClassVar[str] = "settings file"
    """What messages call a file of these settings."""

    @classmethod
    def from_toml(cls, path: Path, *, requested_by: str = "") -> Self:
        """Read a TOML file.

        Parameters
        ----------
        path
            The file. Relative `Path` fields stay as written.
        requested_by
            Option or key that names the file, for messages.

        Raises
        ------
        FileNotFoundError
            The file does not exist.
        ValueError
            The file is not TOML, or a key is unknown, missing or out of range; one line.
        """
        return cls.from_dict(cls.read_settings(path, requested_by=requested_by), source=str(path))

    @classmethod
    def read_settings(cls, path: Path, *, requested_by: str = "") -> dict[str, Any]:
        """Read the tables of a TOML file without validation; raise as `from_toml` does."""
        try:
            return read_toml(path)
        except FileNotFoundError as error:
            what = f"{requested_by}: " if requested_by else ""
            raise FileNotFoundError(f"{what}there is no {cls.file_kind} {path}") from error

    @classmethod
    def from_dict(cls, data: dict[str, Any], *, source: str) -> Self:
        """Validate `data`; raise a ValueError of one line that names `source` on an error."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ValueError(f"{source}: {summarize_errors(error, cls, data)}") from error


def check_exists(path: Path, requested_by: str) -> None:
    """Raise FileNotFoundError unless a file or folder exists.

    Parameters
    ----------
    path
        The file or folder.
    requested_by
        File and key that name it, for the message.
    """
    if not path.exists():
        raise FileNotFoundError(f"{requested_by}: there is nothing at {path}")


def check_numbers(name: str, value: object, count: int, meaning: str) -> None:
    """Raise ValueError unless `value` consists of `count` numbers.

    Examples
    --------
    >>> check_numbers("voxel_size", (5, 5), 3, "nm along (z, y, x)")
    Traceback (most recent call last):
    ValueError: voxel_size (5, 5): give 3 numbers, nm along (z, y, x)
    """
    listed = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    if len(listed) != count or not all(isinstance(value, Real) for value in listed):
        raise ValueError(f"{name} {shorten(value)}: give {count} numbers, {meaning}")
