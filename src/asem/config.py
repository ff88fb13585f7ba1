"""The base of every configuration: frozen, strict, read from TOML, faults in one line."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from asem.documents import read_toml

MOST_FAULTS = 3
Nm3 = tuple[float, float, float]
"""Three lengths in nm along (z, y, x)."""


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


def _one_line(error: ValidationError, cls: type[BaseModel]) -> str:
    faults = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"]) or "file"
        if fault["type"] == "extra_forbidden":
            faults.append(f"unknown key '{where}' (allowed here: {_siblings(cls, fault['loc'])})")
        elif fault["type"] == "missing":
            faults.append(f"key '{where}' is missing")
        elif not fault["loc"]:
            faults.append(fault["msg"].removeprefix("Value error, "))
        else:
            said = fault["msg"].removeprefix("Value error, ")
            faults.append(f"'{where}': {said} (given: {fault['input']!r})")
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
