"""Check, after reading, that no input was replaced, moved or deleted meanwhile.

Images written by asem are identified by a UUID, other local sources by size and mtime of their
files, remote ones by a digest of their metadata.
"""

from collections.abc import Iterable

from asem.volume.address import Address
from asem.volume.formats.detect import is_of_planes, open_source_image
from asem.volume.formats.source_image import SourceOptions
from asem.volume.volume import Volume


def check_not_replaced(volumes: Iterable[Volume | None]) -> None:
    """Raise OSError where an input was replaced, moved or deleted since it was opened.

    Call after all reading, before a result is published as finished. Planes of files are checked
    when they are read (`asem.volume.plane_stack`).

    Parameters
    ----------
    volumes
        The opened volumes, or views of them at another voxel size; None, and a volume without an
        identity, are skipped.
    """
    for volume in volumes:
        if volume is not None and volume.identity and _is_replaced(volume):
            raise OSError(
                f"{volume.name} was replaced, moved or deleted while it was read, so that the "
                "result mixes two images; run the same command again with --overwrite"
            )


def _is_replaced(volume: Volume) -> bool:
    address, options = Address.parse(volume.name), SourceOptions(channel=volume.channel)
    try:
        if is_of_planes(address):
            return False
        return open_source_image(address, options, volume.kind).identity != volume.identity
    except (OSError, ValueError):
        return True
