"""Base class of all configurations: frozen, strict, read from TOML; errors in one line."""

from collections.abc import Callable, Iterable
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asem.system.json_toml import read_toml

MAX_ERRORS = 3
"""Errors of one file that a message lists."""
MAX_EXCERPT_CHARACTERS = 60
"""Characters of a given value in a message."""
NmZYX = tuple[float, float, float]
"""Three lengths in nm along (z, y, x)."""
MIN_VOXEL_NM, MAX_VOXEL_NM = 1e-6, 1e9
"""Allowed voxel edges, 1e-15 m to 1 m: volumes and ratios of such voxels are finite numbers.
`asem.volume.sources` warns of sizes that no microscope has."""
MAX_POSITION_NM = 1e15
"""Largest world position; float64 still resolves neighbouring voxels of 1 nm there."""
VoxelEdge = Annotated[float, Field(ge=MIN_VOXEL_NM, le=MAX_VOXEL_NM)]
VoxelSize = tuple[VoxelEdge, VoxelEdge, VoxelEdge]
"""Edges of a voxel along (z, y, x), nm, in a configuration file."""
MAX_COUNT = 10**9
"""Largest number of iterations: 30 years at one per second."""


class Config(BaseModel):
    """Immutable settings; an unknown key is an error, so that a typo does not select a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a TOML file.

        Parameters
        ----------
        path
            The file. Relative `Path` fields stay as written.

        Raises
        ------
        FileNotFoundError
            The file does not exist.
        ValueError
            The file is not TOML, or a key is unknown, missing or out of range; one line.
        """
        return cls.from_dict(read_toml(path), source=str(path))

    @classmethod
    def from_dict(cls, data: dict[str, Any], *, source: str) -> Self:
        """Validate `data`; raise a ValueError of one line that names `source` on an error."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ValueError(f"{source}: {_summarize_errors(error, cls)}") from error


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


def shorten(value: object, to_text: Callable[[object], str] = repr) -> str:
    """Return a given value as text for a message, without the middle of a long one.

    Examples
    --------
    >>> shorten("5 nm"), shorten("x" * 5000, str)
    ("'5 nm'", 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxx')
    """
    text, half = to_text(value), MAX_EXCERPT_CHARACTERS // 2 - 2
    return text if len(text) <= MAX_EXCERPT_CHARACTERS else f"{text[:half]}...{text[-half:]}"


def shorten_words(message: str) -> str:
    """Return a message with each long word shortened by `shorten`; long paths are shortened too."""
    return " ".join(shorten(word, str) for word in message.split(" "))


def _summarize_errors(error: ValidationError, cls: type[BaseModel]) -> str:
    messages, details = [], error.errors()
    parents = {detail["loc"][:end] for detail in details for end in range(1, len(detail["loc"]))}
    for detail in details:
        loc, reason = detail["loc"], detail["msg"].removeprefix("Value error, ")
        if loc in parents:  # a list that lacks an entry, whose own error is listed
            continue
        key = ".".join(shorten(part, str) for part in loc) or "file"
        if detail["type"] == "extra_forbidden":
            messages.append(f"unknown key '{key}' (allowed here: {_allowed_keys(cls, loc)})")
        elif detail["type"] == "missing":
            messages.append(f"key '{key}' is missing")
        elif not loc:
            messages.append(reason)
        else:
            messages.append(f"'{key}': {reason} (given: {shorten(detail['input'])})")
    more = f"; and {len(messages) - MAX_ERRORS} more" if len(messages) > MAX_ERRORS else ""
    return "; ".join(messages[:MAX_ERRORS]) + more


def _allowed_keys(cls: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """Return the keys allowed in the table that holds the unknown key `loc`."""
    table: Any = cls
    for part in loc[:-1]:
        if isinstance(part, str):
            annotation = table.model_fields[part].annotation
            table = next(
                arg
                for arg in (annotation, *getattr(annotation, "__args__", ()))
                if isinstance(arg, type) and issubclass(arg, BaseModel)
            )
    return ", ".join(table.model_fields)
