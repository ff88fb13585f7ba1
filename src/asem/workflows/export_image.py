"""Export an OME-NGFF 0.5 image, as asem writes all its images; resumed after an interruption."""

from pathlib import Path

from asem.blocks.output_image import create_image
from asem.workflows.export_request import STAGE, ExportRequest

NAME = "ome-zarr-0.5"
SUFFIXES = (".zarr",)
COPIES = 2
"""Copies of a block in memory: read, and encoded."""


def export_image(
    destination: Path, request: ExportRequest, *, sources: list[Path], overwrite: bool
) -> None:
    """Copy an image; its pyramid is computed again.

    Parameters
    ----------
    destination
        The image group.
    request
        The image.
    sources
        Local paths of the image, which must not be overwritten.
    overwrite
        Replace an image at `destination`.
    """
    volume = request.volume
    with create_image(
        destination,
        volume.zeros(volume.roi, padding=volume.padding),
        command="export",
        request={"source": volume.identity, "format": NAME},
        sources=sources,
        inputs=[volume],
        overwrite=overwrite,
        progress=request.progress,
    ) as output:
        output.fill(volume.read, stage=STAGE, voxel_bytes=COPIES * volume.dtype.itemsize)
