"""Options of commands that combine the tables of several cells."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from asem.volume.address import parse_output_path


def _read_folders(_: Any, tokens: Any) -> tuple[Path, ...]:
    return tuple(parse_output_path(token.value) for token in tokens)


Folders = Annotated[
    tuple[Path, ...] | None,
    Parameter(converter=_read_folders, consume_multiple=True, negative="", accepts_keys=False),
]


def check_only_folders(
    command: str, folders: tuple[Path, ...], *, of_one_cell: Sequence[object], review: bool
) -> None:
    """Raise ValueError where there are no folders to combine, or inputs of a single cell, too.

    Parameters
    ----------
    command
        Name of the command.
    folders
        Of --combine.
    of_one_cell
        First the segmentation, then other inputs and options of a single cell; None: not given.
    review
        Whether a review page is requested.
    """
    if of_one_cell[0] is not None or not folders:
        raise ValueError(
            f"give either SEGMENTATION and RAW, or --combine with folders that asem {command} wrote"
        )
    if review or any(value is not None for value in of_one_cell):
        raise ValueError(
            "images, --review and --decisions are options of a single cell; leave them out with "
            "--combine"
        )
