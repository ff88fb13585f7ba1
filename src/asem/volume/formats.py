"""What can be opened, by looking at it."""

from pathlib import Path

from asem.config import Nm3
from asem.provenance import files_identity
from asem.volume import ngff, tiff
from asem.volume.volume import Kind, Volume


def open_volume(path: Path) -> Volume:
    """Open a volume that states its voxel size: an OME-NGFF image group.

    Raises
    ------
    FileNotFoundError
        There is nothing at `path`.
    ValueError
        It is no finished image; TIFF is to be imported first.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    if is_tiff(path):
        raise ValueError(f"{path} is TIFF, which lacks a voxel size; first `asem import` it")
    return ngff.open_image(path)


def open_labels(path: Path) -> Volume:
    """Open a volume that holds labels; ValueError where it is an image."""
    labels = open_volume(path)
    if labels.kind != "labels":
        raise ValueError(f"{path} is an image; import labels with --kind labels")
    return labels


def refuse_labels(volume: Volume) -> None:
    """Raise ValueError where a volume holds labels instead of grey values."""
    if volume.kind == "labels":
        raise ValueError(f"{volume.name} holds labels; name an image")


def open_source(
    path: Path,
    *,
    voxel_size: Nm3 | None = None,
    offset_nm: Nm3 | None = None,
    kind: Kind | None = None,
) -> Volume:
    """Open anything that `asem import` takes: TIFF, or an image with its own metadata.

    Parameters
    ----------
    path
        A folder of TIFF planes, a TIFF file, or an OME-NGFF image group.
    voxel_size
        nm; required for TIFF, refused for a source that states its own.
    offset_nm
        World position of the centre of the first voxel, nm; 0 for TIFF if not given.
    kind
        ``"image"`` (TIFF's default) or ``"labels"``.

    Raises
    ------
    FileNotFoundError
        There is nothing at `path`.
    ValueError
        It cannot be read, or its voxel size is missing or given twice.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    if not is_tiff(path):
        volume = ngff.open_image(path)
        if voxel_size is not None or offset_nm is not None:
            raise ValueError(f"{path} states its own voxel size and offset; give none")
        return volume if kind is None else volume.like(volume.array, kind=kind)
    stack = tiff.open_planes(path) if path.is_dir() else tiff.open_pages(path)
    if voxel_size is None:
        raise ValueError(f"{path} is TIFF, which lacks a voxel size; give --voxel-size z,y,x in nm")
    return Volume(
        stack,
        voxel_size,
        offset_nm or (0.0, 0.0, 0.0),
        kind=kind or "image",
        identity=files_identity(path, dict.fromkeys(plane.path for plane in stack.planes)),
        name=str(path),
    )


def is_tiff(path: Path) -> bool:
    """Whether `path` is a TIFF file or a folder with TIFF files in it."""
    if path.is_file():
        return path.suffix.lower() in tiff.SUFFIXES
    return any(entry.suffix.lower() in tiff.SUFFIXES for entry in path.iterdir())
