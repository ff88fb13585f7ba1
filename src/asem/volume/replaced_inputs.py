"""Check, after reading, that no input image was replaced, moved or deleted meanwhile.

Images written by asem are identified by a UUID, others by size and mtime of their metadata.
"""

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from asem.volume import ngff
from asem.volume.volume import Volume


def check_not_replaced(volumes: Iterable[Volume | None]) -> None:
    """Raise OSError where an image was replaced, moved or deleted since it was opened.

    Call after all reading, before a result is published as finished. Planes of TIFF files are
    checked when they are read (`asem.volume.plane_stack`).

    Parameters
    ----------
    volumes
        The opened volumes, or views of them at another voxel size; None is skipped.
    """
    for volume in volumes:
        if volume is None:
            continue
        path = Path(volume.name)
        is_image = _is_uuid(volume.identity) or ngff.is_image(path)
        if is_image and _current_identity(path) != volume.identity:
            raise OSError(
                f"{path} was replaced, moved or deleted while it was read, so that the result "
                "mixes two images; run the same command again with --overwrite"
            )


def _is_uuid(identity: str) -> bool:
    try:
        return str(UUID(identity)) == identity
    except ValueError:
        return False


def _current_identity(path: Path) -> str | None:
    """Return the identity of the current image at `path`; None where there is none."""
    try:
        return ngff.read_image_metadata(path).identity
    except (OSError, ValueError):
        return None
