"""Cache of prepared regions on disk (.npz), keyed by raw, window and settings of the energy."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from asem.annotate.prepared_region import CacheFormat, PreparedRegion
from asem.config import Config, NmZYX
from asem.system.nofollow_files import make_folder_nofollow, replace_file_nofollow
from asem.system.npz import ArraySpec, read_npz
from asem.volume.roi import Roi

LOG = logging.getLogger(__name__)
FORMAT_VERSION = 2
"""Version of the files; files of other versions are replaced."""


@dataclass(frozen=True)
class CachedRegion:
    """A region that may be in the cache.

    Parameters
    ----------
    raw_identity
        Identity of the raw image, JSON values.
    window
        The region, in the voxels of raw.
    voxel_size
        nm.
    config
        Settings of the energy.
    format
        How regions of this energy are stored.
    """

    raw_identity: str | dict[str, Any]
    window: Roi
    voxel_size: NmZYX
    config: Config
    format: CacheFormat

    @property
    def file_name(self) -> str:
        """Name of its file: a hash of everything that a prepared region depends on."""
        request = {
            "raw": self.raw_identity,
            "window": str(self.window),
            **self.format.settings(self.config),
        }
        return f"{sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]}.npz"


def read_or_prepare_region(
    folder: Path, entry: CachedRegion, prepare: Callable[[], PreparedRegion]
) -> PreparedRegion:
    """Read a region from the cache, or prepare and store it.

    A file that is damaged, of another version or of another region is replaced.

    Parameters
    ----------
    folder
        Of the cache. Neither the file, nor this folder, nor its parent may be a symbolic link.
    entry
        Which region.
    prepare
        Prepares the region.

    Raises
    ------
    ValueError
        The region cannot be prepared.
    """
    path = folder / entry.file_name
    region = read_region(path, entry) if path.exists() else None
    if region is not None:
        return region
    region = prepare()
    try:
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        make_folder_nofollow(folder.parent)
        make_folder_nofollow(folder)
        write_region(path, region, entry)
    except OSError as error:
        LOG.warning("%s cannot be cached; the region is prepared again next time: %s", path, error)
    return region


def write_region(path: Path, region: PreparedRegion, entry: CachedRegion) -> None:
    """Write a region atomically."""
    arrays: dict[str, Any] = entry.format.to_arrays(region)
    with replace_file_nofollow(path) as file:
        np.savez(
            file,
            form=FORMAT_VERSION,
            shape=region.shape,
            voxel_size=entry.voxel_size,
            **arrays,
        )


def read_region(path: Path, entry: CachedRegion) -> PreparedRegion | None:
    """Read a region; None where the file is damaged, or of another version or region."""
    shape, voxel_size = entry.window.shape, entry.voxel_size
    specs = {
        "form": ArraySpec("i"),
        "shape": ArraySpec("i", (3,)),
        "voxel_size": ArraySpec("float64", (3,)),
        **entry.format.specs(shape, voxel_size),
    }
    try:
        arrays = read_npz(path, specs)
    except (OSError, ValueError) as error:
        LOG.info("%s; the region is prepared again", error)
        return None
    stored = tuple(arrays["shape"].tolist()), tuple(arrays["voxel_size"].tolist())
    if arrays["form"] != FORMAT_VERSION or stored != (shape, voxel_size):
        return None
    return entry.format.from_arrays(arrays, shape, voxel_size, entry.config)
