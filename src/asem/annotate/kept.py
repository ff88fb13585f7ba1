"""Prepared regions on disk, so that a window that is opened again need not be prepared again."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.annotate.fragments import Fragments, Touching, bins_of
from asem.annotate.graphcut import Region
from asem.annotate.membranes import MembraneConfig, MembraneRegion
from asem.config import Nm3
from asem.system.npz import Form, read_arrays
from asem.system.own_files import own_folder, replaced_own
from asem.volume.roi import Triple

LOG = logging.getLogger(__name__)
FORM = 2
"""Of the files; others are not read."""


def kept(
    path: Path,
    prepare: Callable[[], Region],
    config: MembraneConfig,
    *,
    shape: Triple,
    voxel_size: Nm3,
) -> Region:
    """Read a region, or prepare and keep it.

    A file that is damaged, of an older form, or of another region is replaced.

    Parameters
    ----------
    path
        Of the file; its name tells the window and how it is divided into fragments. Neither it nor
        the two folders above it may be a symbolic link.
    prepare
        Makes the region.
    config
        Its energy, of which only the fragments matter for the file.
    shape, voxel_size
        Of the region, voxels and nm.
    """
    region = read(path, config, shape, voxel_size) if path.exists() else None
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


def read(
    path: Path, config: MembraneConfig, shape: Triple, voxel_size: Nm3
) -> MembraneRegion | None:
    """Read a region; None where the file is damaged, or of another form or region."""
    factors = bins_of(shape, voxel_size)
    bins = tuple(-(-size // factor) for size, factor in zip(shape, factors, strict=True))
    forms = {
        "form": Form("i"),
        "shape": Form("i", (3,)),
        "voxel_size": Form("float64", (3,)),
        "features": Form("float32", (None, None)),
        "labels": Form("int32", bins),
        "ridge": Form("float32", bins),
        "scale": Form("float64"),
        "membrane": Form("float64", (None,)),
        **{name: Form("int64", (None,)) for name in ("first", "second", "faces")},
    }
    try:
        arrays = read_arrays(path, forms)
    except (OSError, ValueError) as error:
        LOG.info("%s; the region is prepared again", error)
        return None
    there = tuple(arrays["shape"].tolist()), tuple(arrays["voxel_size"].tolist())
    if arrays["form"] != FORM or there != (shape, voxel_size) or not _fit(arrays):
        return None
    touching = Touching(*(arrays[n] for n in ("first", "second", "faces", "membrane")))
    scale = float(arrays["scale"])
    fragments = Fragments(arrays["labels"], arrays["ridge"], scale, touching, config.fragments)
    return MembraneRegion(shape, voxel_size, fragments, arrays["features"], config)


def _fit(arrays: dict[str, npt.NDArray[Any]]) -> bool:
    """Whether the arrays of a region fit together: kernels do not check their indices."""
    number = len(arrays["features"])
    labels, first, second = arrays["labels"], arrays["first"], arrays["second"]
    finite = ("features", "ridge", "scale", "membrane")
    if not all(np.isfinite(arrays[name]).all() for name in finite) or not arrays["scale"] > 0:
        return False
    if labels.min(initial=0) < 0 or labels.max(initial=-1) + 1 != number:
        return False
    if not np.bincount(labels.ravel(), minlength=number).all():
        return False
    pairs = {len(arrays[name]) for name in ("first", "second", "faces", "membrane")}
    if (
        len(pairs) > 1
        or arrays["faces"].min(initial=1) < 1
        or arrays["membrane"].min(initial=0) < 0
    ):
        return False
    return bool(first.min(initial=0) >= 0 and (first < second).all() and (second < number).all())
