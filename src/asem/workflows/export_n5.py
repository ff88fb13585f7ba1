"""Export an N5 group: levels ``s0``, ``s1``, ... with the metadata of COSEM and of n5-viewer.

::

    attributes.json       n5, multiscales, pixelResolution, scales
    s0/ s1/               attributes.json: transform (z, y, x), pixelResolution (x, y, z)

``translate`` of a transform is the centre of the first voxel. (OpenOrganelle's metadata; wiki of
saalfeldlab/n5-ij.) Labels have an annotation of CellMap, in the group and in each array
(janelia-cellmap/cellmap-schemas): 0 is absent, the largest value of the dtype unknown.
"""

import logging
from pathlib import Path
from typing import Any

import tensorstore as ts

from asem.volume.label_views import unlabelled_id
from asem.volume.roi import IntZYX
from asem.volume.volume import Volume
from asem.workflows.export_levels import (
    MARK,
    copy_levels,
    create_store,
    find_foreign_in,
    update_document,
)
from asem.workflows.export_request import ExportFormat, ExportRequest, create_folder

LOG = logging.getLogger(__name__)
NAME = "n5"
ATTRIBUTES = "attributes.json"
N5_VERSION = "2.0.0"
CHUNK: IntZYX = (64, 128, 128)


def write_n5(folder: Path, request: ExportRequest) -> None:
    """Write the levels, then the attributes of the group."""

    def create(number: int, level: Volume) -> Any:
        metadata = {
            "dimensions": list(level.shape[::-1]),
            "blockSize": list(CHUNK[::-1]),
            "dataType": level.dtype.name,
            "compression": {"type": "gzip"},
        }
        store = create_store(folder / f"s{number}", "n5", metadata=metadata)
        return store[ts.d[2, 1, 0].transpose[:]]

    copy_levels(request, create)
    for number, level in enumerate(request.levels):
        placement = {"transform": _transform(level), "pixelResolution": _pixel_resolution(level)}
        update_document(folder / f"s{number}" / ATTRIBUTES, placement | _label_attributes(request))
    update_document(folder / ATTRIBUTES, _group_attributes(request))


def _group_attributes(request: ExportRequest) -> dict[str, Any]:
    finest, datasets = request.levels[0], []
    for number, level in enumerate(request.levels):
        datasets.append({"path": f"s{number}", "transform": _transform(level)})
    ratios = [
        [size / first for size, first in zip(level.voxel_size, finest.voxel_size, strict=True)]
        for level in request.levels
    ]
    return {
        "n5": N5_VERSION,
        "multiscales": [{"name": request.name, "datasets": datasets}],
        "pixelResolution": _pixel_resolution(finest),
        "scales": [[round(ratio, 6) for ratio in reversed(zyx)] for zyx in ratios],
        MARK: request.provenance(NAME),
        **_label_attributes(request),
    }


def _label_attributes(request: ExportRequest) -> dict[str, Any]:
    """Return CellMap's annotation, by which `find_kind` recognizes labels; empty for images."""
    volume = request.volume
    if volume.kind != "labels":
        return {}
    encoding = {"absent": 0, "unknown": unlabelled_id(volume.dtype)}
    annotation = {
        "class_name": request.name,
        "complement_counts": {},
        "annotation_type": {"type": "instance_segmentation", "encoding": encoding},
    }
    return {"cellmap": {"annotation": annotation}}


def _transform(level: Volume) -> dict[str, Any]:
    return {
        "axes": ["z", "y", "x"],
        "scale": list(level.voxel_size),
        "translate": list(level.offset_nm),
        "units": ["nm"] * 3,
    }


def _pixel_resolution(level: Volume) -> dict[str, Any]:
    return {"dimensions": list(level.voxel_size[::-1]), "unit": "nm"}


def _warn_of_position(request: ExportRequest) -> None:
    if any(request.volume.offset_nm):
        LOG.warning(
            "%s: neuroglancer shows N5 at position 0; precomputed and OME-Zarr have their position "
            "in it",
            request.volume.name,
        )


def _find_foreign(folder: Path) -> Path | None:
    return find_foreign_in(folder, ATTRIBUTES)


N5 = ExportFormat(
    NAME,
    (".n5",),
    create_folder("an N5 export", write_n5, _find_foreign),
    check=_warn_of_position,
    stores_position=True,
    pyramid="copied",
    is_compressed=True,
)
