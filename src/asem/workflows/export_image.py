"""Export an OME-NGFF 0.5 image, as asem writes all its images; resumed after an interruption."""

from pathlib import Path

from asem.blocks.output_image import create_image
from asem.volume.address import local_paths
from asem.workflows.export_request import STAGE, ExportFormat, ExportRequest

NAME = "ome-zarr-0.5"
COPIES = 2
"""Copies of a block in memory: read, and encoded."""


def create_ome_zarr(destination: Path, request: ExportRequest, overwrite: bool) -> None:
    """Copy an image; its pyramid is computed again.

    Parameters
    ----------
    destination
        The image group.
    request
        The image.
    overwrite
        Replace an image at `destination`.
    """
    volume = request.volume
    with create_image(
        destination,
        volume.zeros(volume.roi, padding=volume.padding),
        command="export",
        request={"source": volume.identity, "format": NAME},
        sources=local_paths(request.source),
        inputs=[volume],
        overwrite=overwrite,
        progress=request.progress,
    ) as output:
        output.fill(volume.read, stage=STAGE, voxel_bytes=COPIES * volume.dtype.itemsize)


OME_ZARR = ExportFormat(
    NAME,
    (".zarr",),
    create_ome_zarr,
    stores_position=True,
    pyramid="computed",
    is_compressed=True,
)
