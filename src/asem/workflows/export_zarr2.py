"""Export an OME-NGFF 0.4 image (Zarr 2), for programs that read no Zarr 3."""

from pathlib import Path
from typing import Any

from yaozarrs import v04

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

NAME = "ome-zarr-0.4"
CHUNK: IntZYX = (64, 128, 128)
_COMPRESSOR = {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1}


def write_zarr2(folder: Path, request: ExportRequest) -> None:
    """Write the levels, then the metadata of the image."""

    def create(number: int, level: Volume) -> Any:
        metadata = {
            "shape": list(level.shape),
            "chunks": list(CHUNK),
            "dtype": level.dtype.newbyteorder("<").str,
            "compressor": _COMPRESSOR,
            "fill_value": 0,
            "dimension_separator": "/",
        }
        return create_store(folder / str(number), "zarr", metadata=metadata)

    copy_levels(request, create)
    update_document(folder / ".zgroup", {"zarr_format": 2})
    update_document(folder / ".zattrs", _image_metadata(request))


def _image_metadata(request: ExportRequest) -> dict[str, Any]:
    volume = request.volume
    multiscale = v04.Multiscale(
        name=request.name,
        axes=[v04.SpaceAxis(name=name, unit="nanometer") for name in "zyx"],
        datasets=[_dataset(number, level) for number, level in enumerate(request.levels)],
    )
    image = v04.Image(multiscales=[multiscale])
    metadata: dict[str, Any] = image.model_dump(mode="json", by_alias=True, exclude_none=True)
    if volume.kind == "labels":
        metadata["image-label"] = {"version": "0.4"}
    elif volume.window is not None:
        black, white = volume.window
        window = {"start": black, "end": white, "min": black, "max": white}
        channel = {"label": request.name, "color": "FFFFFF", "active": True, "window": window}
        metadata["omero"] = {"channels": [channel]}
    return metadata | {MARK: request.provenance(NAME)}


def _dataset(number: int, level: Volume) -> v04.Dataset:
    return v04.Dataset(
        path=str(number),
        coordinateTransformations=[
            v04.ScaleTransformation(scale=list(level.voxel_size)),
            v04.TranslationTransformation(translation=list(level.offset_nm)),
        ],
    )


def _find_foreign(folder: Path) -> Path | None:
    return find_foreign_in(folder, ".zattrs")


ZARR2 = ExportFormat(
    NAME,
    (),
    create_folder("an OME-Zarr 0.4 export", write_zarr2, _find_foreign),
    stores_position=True,
    pyramid="copied",
    is_compressed=True,
)
