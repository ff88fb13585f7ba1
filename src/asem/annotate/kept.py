"""Prepared regions on disk, so that a window that is opened again need not be prepared again."""

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from asem.annotate.fragments import Fragments, Touching
from asem.annotate.graphcut import Region
from asem.annotate.membranes import MembraneConfig, MembraneRegion
from asem.own_files import own_folder, replaced_own

LOG = logging.getLogger(__name__)
FORM = 2
"""Of the files; others are not read."""


def kept(path: Path, prepare: Callable[[], Region], config: MembraneConfig) -> Region:
    """Read a region, or prepare and keep it.

    A file that is damaged, or of an older form, is replaced.

    Parameters
    ----------
    path
        Of the file; its name tells the window and how it is divided into fragments. Neither it nor
        the two folders above it may be a symbolic link.
    prepare
        Makes the region.
    config
        Its energy, of which only the fragments matter for the file.
    """
    region = read(path, config) if path.exists() else None
    if region is not None:
        return region
    made = prepare()
    if isinstance(made, MembraneRegion):
        try:
            path.parent.parent.parent.mkdir(parents=True, exist_ok=True)
            own_folder(path.parent.parent)
            own_folder(path.parent)
            write(path, made)
        except OSError as error:
            LOG.warning("%s cannot be kept for the next time: %s", path, error)
    return made


def write(path: Path, region: MembraneRegion) -> None:
    """Write a region as a whole."""
    fragments = region.fragments
    with replaced_own(path) as file:
        np.savez(
            file,
            form=FORM,
            shape=region.shape,
            voxel_size=region.voxel_size,
            features=region.features,
            labels=fragments.labels,
            ridge=fragments.ridge,
            scale=fragments.scale,
            **vars(fragments.touching),
        )


def read(path: Path, config: MembraneConfig) -> MembraneRegion | None:
    """Read a region; None where the file is damaged or of another form."""
    try:
        with path.open("rb") as file, np.load(file) as stored:
            arrays = dict(stored.items())
        if arrays["form"] != FORM:
            return None
        touching = Touching(*(arrays[n] for n in ("first", "second", "faces", "membrane")))
    except (EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return MembraneRegion(
        tuple(arrays["shape"].tolist()),
        tuple(arrays["voxel_size"].tolist()),
        Fragments(
            arrays["labels"], arrays["ridge"], float(arrays["scale"]), touching, config.fragments
        ),
        arrays["features"],
        config,
    )
