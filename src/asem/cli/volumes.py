"""The verbs that move volumes: import, info, export."""

from pathlib import Path
from typing import Literal

from asem.cli.common import Flag, Json, Signed, Verbose, progress, show, triple


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
    json: Json = False,
    verbose: Verbose = False,
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
    json
        Print the result as JSON.
    verbose
        Say what is going on.
    """
    from asem.workflows.describe import describe_volume
    from asem.workflows.stacks import import_volume

    with progress() as told:
        import_volume(
            source,
            destination,
            voxel_size=triple(voxel_size, "--voxel-size") if voxel_size else None,
            offset_nm=triple(offset_nm, "--offset-nm") if offset_nm else None,
            kind=kind,
            roi=roi,
            overwrite=overwrite,
            progress=told,
        )
    fields = describe_volume(destination)
    del fields["made_by"]
    show(fields, as_json=json)


def info(path: Path, /, *, json: Json = False, verbose: Verbose = False) -> None:
    """Say what an image is: shape, dtype, voxel size, place, pyramid, what made it.

    Parameters
    ----------
    path
        The image, for instance cell.zarr/raw.
    json
        Print the result as JSON.
    verbose
        Say what is going on.
    """
    from asem.workflows.describe import describe_volume

    show(describe_volume(path), as_json=json)


def export(
    source: Path,
    destination: Path,
    /,
    *,
    like: Path | None = None,
    overwrite: Flag = False,
    json: Json = False,
    verbose: Verbose = False,
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
    json
        Print the result as JSON.
    verbose
        Say what is going on.
    """
    from asem.workflows.stacks import export_volume

    with progress() as told:
        planes = export_volume(source, destination, like=like, overwrite=overwrite, progress=told)
    show({"folder": str(destination), "planes": planes}, as_json=json)
