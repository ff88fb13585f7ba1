"""The base of every configuration: frozen, strict, read from TOML, faults in one line."""

from collections.abc import Callable, Iterable
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asem.system.documents import read_toml

MOST_FAULTS = 3
MOST_LETTERS = 60
"""Of a given value in a message."""
Nm3 = tuple[float, float, float]
"""Three lengths in nm along (z, y, x)."""
SMALLEST_VOXEL_NM, LARGEST_VOXEL_NM = 1e-6, 1e9
"""From a thousandth of an electron's wavelength to a metre: volumes and ratios of such voxels are
finite numbers. What no microscope has is warned of elsewhere."""
FARTHEST_NM = 1e15
"""World positions are within this; there, neighbouring voxels of 1 nm still differ."""
VoxelEdge = Annotated[float, Field(ge=SMALLEST_VOXEL_NM, le=LARGEST_VOXEL_NM)]
VoxelSize = tuple[VoxelEdge, VoxelEdge, VoxelEdge]
"""Edges of a voxel along (z, y, x), nm, in a file of settings."""
MOST_COUNT = 10**9
"""Of iterations: thirty years at one a second."""


class Config(BaseModel):
    """Immutable settings; an unknown key is an error, so that a typo never keeps a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a TOML file.

        Parameters
        ----------
        path
            The file. Relative `Path` fields stay as written; see `resolved_paths`.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is not TOML, or a key is unknown, missing or out of range; one line.
        """
        return cls.checked(read_toml(path), source=str(path))

    @classmethod
    def checked(cls, data: dict[str, Any], *, source: str) -> Self:
        """Validate `data`; a fault raises a ValueError of one line that names `source`."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ValueError(f"{source}: {_one_line(error, cls)}") from error


def refuse_no_numbers(what: str, given: object, number: int, meaning: str) -> None:
    """Raise ValueError where something given is not so many numbers.

    Examples
    --------
    >>> refuse_no_numbers("voxel_size", (5, 5), 3, "nm along (z, y, x)")
    Traceback (most recent call last):
    ValueError: voxel_size (5, 5): give 3 numbers, nm along (z, y, x)
    """
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
    if len(listed) != number or not all(isinstance(value, Real) for value in listed):
        raise ValueError(f"{what} {excerpt(given)}: give {number} numbers, {meaning}")


def excerpt(given: object, write: Callable[[object], str] = repr) -> str:
    """Return a given value for a message; the middle of a long one is left out.

    Examples
    --------
    >>> excerpt("5 nm"), excerpt("x" * 5000, str)
    ("'5 nm'", 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxx')
    """
    text, kept = write(given), MOST_LETTERS // 2 - 2
    return text if len(text) <= MOST_LETTERS else f"{text[:kept]}...{text[-kept:]}"


def excerpts(message: str) -> str:
    """Return a message with its long words cut as `excerpt` does; paths in it would suffer, too."""
    return " ".join(excerpt(word, str) for word in message.split(" "))


def _one_line(error: ValidationError, cls: type[BaseModel]) -> str:
    faults, every = [], error.errors()
    below = {fault["loc"][:end] for fault in every for end in range(1, len(fault["loc"]))}
    for fault in every:
        if fault["loc"] in below:  # a list that lacks the entry whose fault is told
            continue
        where = ".".join(excerpt(part, str) for part in fault["loc"]) or "file"
        if fault["type"] == "extra_forbidden":
            faults.append(f"unknown key '{where}' (allowed here: {_siblings(cls, fault['loc'])})")
        elif fault["type"] == "missing":
            faults.append(f"key '{where}' is missing")
        elif not fault["loc"]:
            faults.append(fault["msg"].removeprefix("Value error, "))
        else:
            said = fault["msg"].removeprefix("Value error, ")
            faults.append(f"'{where}': {said} (given: {excerpt(fault['input'])})")
    more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
    return "; ".join(faults[:MOST_FAULTS]) + more


def _siblings(cls: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """Return the keys allowed where the unknown key `loc` stands."""
    here: Any = cls
    for part in loc[:-1]:
        if isinstance(part, str):
            annotation = here.model_fields[part].annotation
            here = next(
                arg
                for arg in (annotation, *getattr(annotation, "__args__", ()))
                if isinstance(arg, type) and issubclass(arg, BaseModel)
            )
    return ", ".join(here.model_fields)
