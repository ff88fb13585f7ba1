"""Copy the pyramid of an image to arrays of a chunked format, block by block."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorstore as ts

from asem.system.files import check_utf8_path
from asem.system.json_toml import read_json
from asem.volume.block_grid import split_into_blocks
from asem.volume.formats.stores import first_line
from asem.volume.roi import IntZYX
from asem.volume.volume import Volume
from asem.workflows.export_request import STAGE, ExportRequest

BLOCK: IntZYX = (128, 256, 256)
"""Voxels copied at a time; whole chunks of each format."""
MARK = "asem"
"""Key of the provenance, by which exports are recognized."""
_ENTRY = re.compile(
    r"\.z(array|attrs|group)|attributes\.json|info|s?\d+|-?\d+--?\d+_-?\d+--?\d+_-?\d+--?\d+"
)
"""Names of metadata, levels and chunks."""


def copy_levels(request: ExportRequest, create: Callable[[int, Volume], Any]) -> None:
    """Write the voxels of all levels.

    Parameters
    ----------
    request
        The image.
    create
        Returns the new tensorstore array of a level, axes (z, y, x) from 0.
    """
    total, done = sum(level.roi.size for level in request.levels), 0
    for number, level in enumerate(request.levels):
        store = create(number, level)
        for block in split_into_blocks(level.roi, BLOCK):
            voxels = level.read(block)
            try:
                store[block.slices].write(voxels).result()
            except ValueError as error:  # tensorstore's type of all errors
                raise OSError(f"writing failed: {first_line(error)}") from error
            done += block.size
            request.progress(STAGE, done, total)


def create_store(folder: Path, driver: str, **spec: Any) -> Any:
    """Create a tensorstore array in a folder.

    Raises
    ------
    ValueError
        The format does not allow the array.
    """
    check_utf8_path(folder)
    kvstore = {"driver": "file", "path": f"{folder.resolve()}/"}
    try:
        return ts.open({"driver": driver, "kvstore": kvstore, **spec}, create=True).result()
    except ValueError as error:
        raise ValueError(f"{driver} cannot store the image: {first_line(error)}") from error


def update_document(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON document; entries that it has already are retained."""
    before = read_json(path) if path.exists() else {}
    path.write_text(json.dumps(before | content, indent=1))


def find_foreign_in(folder: Path, document: str) -> Path | None:
    """Return a file that no export wrote, relative to `folder`; ``Path()`` if it is no export.

    Parameters
    ----------
    folder
        The export.
    document
        Name of the document with the provenance.
    """
    try:
        content = read_json(folder / document)
    except (OSError, ValueError):
        return Path()
    mark = content.get(MARK)
    if not isinstance(mark, dict) or mark.get("command") != "export":
        return Path()
    for path in folder.rglob("*"):
        if path.is_symlink() or not _ENTRY.fullmatch(path.name):
            return path.relative_to(folder)
    return None
