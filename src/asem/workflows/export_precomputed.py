"""Export a neuroglancer precomputed volume: image raw, labels as compressed segmentation.

::

    info        resolution and voxel_offset of each scale (x, y, z), and the exact offset
    s0/ s1/     chunks, one file each, also those of zeros
"""

import logging
import math
from pathlib import Path
from typing import Any

import tensorstore as ts

from asem.config import NmZYX
from asem.system.json_toml import read_json
from asem.volume.formats.precomputed import DRIVER, OFFSET_KEY
from asem.volume.roi import IntZYX, per_axis
from asem.volume.volume import Volume, format_nm
from asem.workflows.export_levels import (
    MARK,
    copy_levels,
    create_store,
    find_foreign_in,
    update_document,
)
from asem.workflows.export_request import ExportFormat, ExportRequest, check_dtype, create_folder

LOG = logging.getLogger(__name__)
NAME = "precomputed"
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32")
CHUNK_EDGE, SEGMENTATION_BLOCK_EDGE = 64, 8
MAX_SHIFT_VOXELS = 1e-3
"""Shift of a level that is stored without a warning, voxels."""
ROUNDING_ERROR_VOXELS = 1e-6
"""Error of a position in voxels, by the arithmetic of floats."""


def write_precomputed(folder: Path, request: ExportRequest) -> None:
    """Write the scales, then the exact offsets and the provenance."""

    def create(number: int, level: Volume) -> Any:
        metadata = {
            "type": "segmentation" if level.kind == "labels" else "image",
            "data_type": level.dtype.name,
            "num_channels": 1,
        }
        store = create_store(
            folder,
            DRIVER,
            multiscale_metadata=metadata,
            scale_metadata=_scale_metadata(number, level),
            store_data_equal_to_fill_value=True,  # other programs report missing chunks
        )
        return store[ts.d["channel"][0]][ts.d[2, 1, 0].transpose[:]][ts.d[:].translate_to[0]]

    copy_levels(request, create)
    scales = read_json(folder / "info")["scales"]
    for scale, level in zip(scales, request.levels, strict=True):
        scale[OFFSET_KEY] = list(level.offset_nm[::-1])
    update_document(folder / "info", {"scales": scales, MARK: request.provenance(NAME)})


def _scale_metadata(number: int, level: Volume) -> dict[str, Any]:
    scale: dict[str, Any] = {
        "key": f"s{number}",
        "size": list(level.shape[::-1]),
        "resolution": list(level.voxel_size[::-1]),
        "voxel_offset": list(_voxel_offset(level)[::-1]),
        "chunk_size": [CHUNK_EDGE] * 3,
        "encoding": "raw",
    }
    if level.kind == "labels" and level.dtype.name in ("uint32", "uint64"):
        scale["encoding"] = "compressed_segmentation"
        scale["compressed_segmentation_block_size"] = [SEGMENTATION_BLOCK_EDGE] * 3
    return scale


def _voxel_offset(level: Volume) -> IntZYX:
    """Return the corner of the first voxel in whole voxels.

    Corners at half a voxel, as of images whose first centre is at 0 nm, are all rounded up, so that
    crops keep their distance to the image.
    """
    return per_axis(
        lambda nm, size: math.floor(nm / size + ROUNDING_ERROR_VOXELS),
        level.offset_nm,
        level.voxel_size,
    )


def _shift_nm(level: Volume) -> NmZYX:
    """Return how far the rounded position is from the exact one, nm."""
    return per_axis(
        lambda voxels, nm, size: (voxels + 0.5) * size - nm,
        _voxel_offset(level),
        level.offset_nm,
        level.voxel_size,
    )


def _check(request: ExportRequest) -> None:
    check_dtype(request, NAME, DTYPES)
    shifts = [_shift_nm(level) for level in request.levels]
    for number, (shift, level) in enumerate(zip(shifts, request.levels, strict=True)):
        if max(per_axis(lambda nm, size: abs(nm) / size, shift, level.voxel_size)) > (
            MAX_SHIFT_VOXELS
        ):
            LOG.warning(
                "%s: precomputed volumes start at whole voxels: in other programs level %d of %d "
                "is shifted by %s nm (z, y, x); asem reads its exact offset",
                request.volume.name,
                number,
                len(shifts),
                format_nm(shift),
            )
            return


def _find_foreign(folder: Path) -> Path | None:
    return find_foreign_in(folder, "info")


PRECOMPUTED = ExportFormat(
    NAME,
    (".precomputed",),
    create_folder("a precomputed export", write_precomputed, _find_foreign),
    check=_check,
    stores_position=True,
    pyramid="copied",
)
