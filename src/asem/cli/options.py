"""Options that several commands have, and how their values are read."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token

from asem.cli.streams import escape_control_characters
from asem.config import (
    MAX_POSITION_NM,
    MAX_VOXEL_NM,
    MIN_VOXEL_NM,
    NmZYX,
    check_exists,
    shorten,
)
from asem.structures import preset_names
from asem.volume.address import Address, parse_output_path
from asem.volume.id_selection import IdSelection

if TYPE_CHECKING:
    from asem.blocks.executors import Executor


def _read_address(_: Any, tokens: Sequence[Token]) -> Address:
    return Address.parse(tokens[0].value)


def _read_output_path(_: Any, tokens: Sequence[Token]) -> Path:
    return parse_output_path(tokens[0].value)


def _read_ids(_: Any, tokens: Sequence[Token]) -> IdSelection:
    return IdSelection.parse(tokens[0].value)


ONE_WORD: dict[str, Any] = {"n_tokens": 1, "accepts_keys": False}
ImageAddress = Annotated[Address, Parameter(converter=_read_address, **ONE_WORD)]
"""An image that a command reads: path or URL."""
OptionalAddress = Annotated[Address | None, Parameter(converter=_read_address, **ONE_WORD)]
OutputPath = Annotated[Path, Parameter(converter=_read_output_path, **ONE_WORD)]
"""An output: a local path."""
OptionalOutput = Annotated[Path | None, Parameter(converter=_read_output_path, **ONE_WORD)]
OptionalIds = Annotated[IdSelection | None, Parameter(converter=_read_ids, **ONE_WORD)]
"""Ids of labels, ``3,5-7``."""
ExportFormatName = Literal[
    "tiff", "png", "bigtiff", "mrc", "ome-zarr-0.4", "ome-zarr-0.5", "n5", "precomputed"
]
"""A format that `asem export` writes."""
MeshFormatName = Literal["precomputed", "obj", "ply"]
"""A format that `asem mesh` writes."""
NamedPredictions = Annotated[tuple[str, ...], Parameter(name="--prediction", negative="")]
"""``--prediction NAME=PATH``, several times."""
SignedText = Annotated[str | None, Parameter(allow_leading_hyphen=True)]
Flag = Annotated[bool, Parameter(negative="")]


@Parameter(name="*")
@dataclass(frozen=True)
class OutputOptions:
    """Options of the output.

    Parameters
    ----------
    json
        Print the result as JSON.
    verbose
        Print log messages, and tracebacks of internal errors.
    """

    json: Flag = False
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative="")] = False


@Parameter(name="*")
@dataclass(frozen=True)
class WorkerOptions:
    """Options of the executor; by default blocks are computed in this process, on all cores.

    Parameters
    ----------
    workers
        Number of Dask workers to start on this machine.
    scheduler
        Address of a running Dask scheduler (tls://host:8786), or a TOML file that describes batch
        jobs (docs/cluster.md).
    """

    workers: int | None = None
    scheduler: str | None = None


DEFAULT_OUTPUT, IN_PROCESS = OutputOptions(), WorkerOptions()


def with_preset_names(command: Callable[..., None]) -> Callable[..., None]:
    """Replace ``{PRESETS}`` in the help text of a command by the names of all presets."""
    command.__doc__ = (command.__doc__ or "").replace("{PRESETS}", preset_names())
    return command


@contextmanager
def open_requested_executor(workers: WorkerOptions) -> "Iterator[Executor]":
    """Open the executor that the options name; print the address of its dashboard."""
    from asem.blocks.open_executor import open_executor

    scheduler = workers.scheduler
    if scheduler is not None and scheduler.endswith(".toml"):
        check_exists(Path(scheduler), "--scheduler")
    with open_executor(workers.workers, workers.scheduler) as executor:
        page = getattr(executor, "dashboard", None)
        if page is not None:
            sys.stderr.write(escape_control_characters(f"watch the workers at {page}\n"))
        yield executor


def parse_nm_triple(text: str, option: str) -> NmZYX:
    """Read ``z,y,x`` or one number for all three axes.

    Raises
    ------
    ValueError
        It is neither; the message names `option`.
    """
    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers):
        given = shorten(text, str)
        raise ValueError(f"{option} {given}: write three numbers in nm, z,y,x, or one for all axes")
    return numbers[0], numbers[1], numbers[2]


def parse_voxel_size(text: str) -> NmZYX:
    """Read ``--voxel-size``: as `parse_nm_triple`, each a length that a voxel can have."""
    size = parse_nm_triple(text, "--voxel-size")
    if not MIN_VOXEL_NM <= min(size) <= max(size) <= MAX_VOXEL_NM:
        raise ValueError(
            f"--voxel-size {shorten(text, str)}: the edges of a voxel must be positive, "
            f"{MIN_VOXEL_NM:g} to {MAX_VOXEL_NM:g} nm"
        )
    return size


def parse_offset_nm(text: str) -> NmZYX:
    """Read ``--offset-nm``: as `parse_nm_triple`, each within `MAX_POSITION_NM`."""
    offset = parse_nm_triple(text, "--offset-nm")
    if max(map(abs, offset)) > MAX_POSITION_NM:
        raise ValueError(
            f"--offset-nm {shorten(text, str)}: positions are within {MAX_POSITION_NM:g} nm of the "
            "origin"
        )
    return offset
