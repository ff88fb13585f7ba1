"""Whether an image is still the one that was opened; another one of its name gives other voxels.

An image that asem makes has a UUID, one of another program the size and time of its metadata.
"""

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from asem.volume import ngff
from asem.volume.volume import Volume


def refuse_replaced(volumes: Iterable[Volume | None]) -> None:
    """Raise OSError where an image was replaced, moved or deleted since it was opened.

    Called when all is read, before a result is declared finished. Planes of TIFF files are checked
    when they are read (`asem.volume.planes`).

    Parameters
    ----------
    volumes
        As they were opened, or seen at another voxel size; None is passed over.
    """
    for volume in volumes:
        if volume is None:
            continue
        path = Path(volume.name)
        if (_is_uuid(volume.identity) or ngff.is_image(path)) and _now(path) != volume.identity:
            raise OSError(
                f"{path} was replaced, moved or deleted while it was read, so that the result is "
                "of both; give the same command again with --overwrite"
            )


def _is_uuid(identity: str) -> bool:
    try:
        return str(UUID(identity)) == identity
    except ValueError:
        return False


def _now(path: Path) -> str | None:
    """Return the identity of the image that lies there by now; None where there is none."""
    try:
        return ngff.read_metadata(path).identity
    except (OSError, ValueError):
        return None
