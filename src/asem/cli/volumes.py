"""The verbs that move volumes: import, info, export."""

from pathlib import Path
from typing import Literal

from asem.cli.common import (
    HERE,
    PLAIN,
    Flag,
    Shown,
    Signed,
    Workers,
    executing,
    progress,
    show,
    triple,
)


def import_(
    source: Path,
    destination: Path,
    /,
    *,
    voxel_size: str | None = None,
    offset_nm: Signed = None,
    kind: Literal["image", "labels"] | None = None,
    roi: str | None = None,
    overwrite: Flag = False,
    workers: Workers = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Store a TIFF stack as an OME-Zarr image with its pyramid.

    Parameters
    ----------
    source
        A folder with one TIFF file a plane, a TIFF file with many pages, or an OME-Zarr image.
    destination
        The image to write, for instance cell.zarr/raw or cell.zarr/labels/mito.
    voxel_size
        Size of a voxel in nm, z,y,x (or one number); TIFF needs it.
    offset_nm
        World position of the first voxel's centre in nm, z,y,x.
    kind
        image (default) or labels: unsigned ids, 0 background, the largest value unknown.
    roi
        Import only these voxels, z0:z1,y0:y1,x0:x1; export puts them back in place.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.workflows.describe import describe_volume
    from asem.workflows.importing import import_volume

    with executing(workers) as executor, progress() as told:
        import_volume(
            source,
            destination,
            voxel_size=triple(voxel_size, "--voxel-size") if voxel_size else None,
            offset_nm=triple(offset_nm, "--offset-nm") if offset_nm else None,
            kind=kind,
            roi=roi,
            overwrite=overwrite,
            executor=executor,
            progress=told,
        )
    fields = describe_volume(destination)
    del fields["made_by"]
    show(fields, as_json=shown.json)


def info(path: Path, /, *, shown: Shown = PLAIN) -> None:
    """Say what an image is: shape, dtype, voxel size, place, pyramid, what made it.

    Parameters
    ----------
    path
        The image, for instance cell.zarr/raw.
    """
    from asem.workflows.describe import describe_volume

    show(describe_volume(path), as_json=shown.json)


def export(
    source: Path,
    destination: Path,
    /,
    *,
    like: Path | None = None,
    overwrite: Flag = False,
    shown: Shown = PLAIN,
) -> None:
    """Write an image as TIFF planes on the grid it was cut from; zero where there is nothing.

    Parameters
    ----------
    source
        The image to export.
    destination
        The folder to make.
    like
        Take the original grid of this image instead.
    overwrite
        Replace the folder of TIFF planes at DESTINATION.
    """
    from asem.workflows.exporting import export_volume

    with progress() as told:
        planes = export_volume(source, destination, like=like, overwrite=overwrite, progress=told)
    show({"folder": str(destination), "planes": planes}, as_json=shown.json)
