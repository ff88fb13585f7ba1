"""Cache format of prepared membrane regions: their arrays, and the checks of what was read."""

from typing import Any

import numpy as np

from asem.annotate.adjacency import Adjacency
from asem.annotate.bins import bin_factors_of
from asem.annotate.fragments import Fragments
from asem.annotate.membrane_energy import (
    MembraneConfig,
    PreparedMembraneRegion,
    check_gaussian_widths,
)
from asem.annotate.prepared_region import Arrays, CacheFormat
from asem.config import NmZYX
from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX, per_axis


def _cache_settings(config: MembraneConfig) -> dict[str, Any]:
    return {"fragments": config.fragments.model_dump(mode="json")}


def _cache_specs(shape: IntZYX, voxel_size: NmZYX) -> dict[str, ArraySpec]:
    bins = per_axis(
        lambda size, factor: -(-size // factor), shape, bin_factors_of(shape, voxel_size)
    )
    return {
        "features": ArraySpec("float32", (None, None)),
        "labels": ArraySpec("int32", bins),
        "ridge": ArraySpec("float32", bins),
        "scale": ArraySpec("float64"),
        "membrane": ArraySpec("float64", (None,)),
        **{name: ArraySpec("int64", (None,)) for name in ("first", "second", "faces")},
    }


def _to_arrays(region: PreparedMembraneRegion) -> Arrays:
    fragments, pairs = region.fragments, region.fragments.adjacency
    return {
        "features": region.features,
        "labels": fragments.labels,
        "ridge": fragments.ridge,
        "scale": np.array(fragments.scale),
        "first": pairs.first,
        "second": pairs.second,
        "faces": pairs.faces,
        "membrane": fragments.membrane,
    }


def _from_arrays(
    arrays: Arrays, shape: IntZYX, voxel_size: NmZYX, config: MembraneConfig
) -> PreparedMembraneRegion | None:
    check_gaussian_widths(shape, voxel_size, config)
    if not _are_consistent(arrays):
        return None
    fragments = Fragments(
        arrays["labels"],
        arrays["ridge"],
        float(arrays["scale"]),
        Adjacency(arrays["first"], arrays["second"], arrays["faces"]),
        arrays["membrane"],
        config.fragments,
    )
    return PreparedMembraneRegion(shape, voxel_size, fragments, arrays["features"], config)


def _are_consistent(arrays: Arrays) -> bool:
    """Return whether the indices in the arrays of a region are valid: kernels do not check them."""
    count = len(arrays["features"])
    labels, first, second = arrays["labels"], arrays["first"], arrays["second"]
    finite = ("features", "ridge", "scale", "membrane")
    if not all(np.isfinite(arrays[name]).all() for name in finite) or not arrays["scale"] > 0:
        return False
    if labels.min(initial=0) < 0 or labels.max(initial=-1) + 1 != count:
        return False
    if not np.bincount(labels.ravel(), minlength=count).all():
        return False
    pair_counts = {len(arrays[name]) for name in ("first", "second", "faces", "membrane")}
    if (
        len(pair_counts) > 1
        or arrays["faces"].min(initial=1) < 1
        or arrays["membrane"].min(initial=0) < 0
    ):
        return False
    return bool(first.min(initial=0) >= 0 and (first < second).all() and (second < count).all())


CACHE_FORMAT = CacheFormat(_cache_settings, _cache_specs, _to_arrays, _from_arrays)
