"""The record of the components of a block: sizes, first voxels, labels, and faces to merge."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX, Roi


def record_components(
    labels: npt.NDArray[Any], components: npt.NDArray[Any], block: Roi, shape: IntZYX
) -> dict[str, npt.NDArray[Any]]:
    """Return the record of the components of a block.

    Parameters
    ----------
    labels, components
        Labels of the block, and their components numbered from 1, shape (z, y, x).
    block
        In the voxels of a volume.
    shape
        Of the volume.

    Returns
    -------
    dict
        ``sizes``, ``first`` (index into the raveled volume) and ``label`` of each component, (n,),
        and the components at the six faces of the block.
    """
    sizes, first = measure_components(
        components, int(components.max(initial=0)), block.offset, shape
    )
    faces = {
        f"face{axis}{end}": np.ascontiguousarray(np.moveaxis(components, axis, 0)[end])
        for axis in range(3)
        for end in (0, -1)
    }
    first_index = np.unravel_index(_to_block_indices(first, block, shape), block.shape)
    return {"sizes": sizes, "first": first, "label": labels[first_index]} | faces


def component_specs(block: Roi) -> dict[str, ArraySpec]:
    """Return the arrays of the record of a block: sizes, first voxels, labels and faces."""
    specs = {name: ArraySpec("int64", (None,)) for name in ("sizes", "first")}
    specs["label"] = ArraySpec("iu", (None,))
    for axis in range(3):
        face = block.shape[:axis] + block.shape[axis + 1 :]
        specs |= {f"face{axis}{end}": ArraySpec("iu", face) for end in (0, -1)}
    return specs


def is_component_record(record: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Return whether the arrays of a record are consistent."""
    count = len(record["sizes"])
    faces = [values for name, values in record.items() if name.startswith("face")]
    is_consistent = count == len(record["first"]) == len(record["label"])
    return is_consistent and all(face.min() >= 0 and face.max() <= count for face in faces)


def _to_block_indices(
    first: npt.NDArray[np.int64], block: Roi, shape: IntZYX
) -> npt.NDArray[np.intp]:
    """Convert indices into the raveled volume to indices into the raveled block."""
    in_volume = np.array(np.unravel_index(first, shape)).reshape(3, -1)
    in_block = in_volume - np.array(block.offset)[:, None]
    return np.asarray(np.ravel_multi_index((in_block[0], in_block[1], in_block[2]), block.shape))


@njit(cache=True)
def measure_components(components, count, offset, shape):  # type: ignore[no-untyped-def]
    """Count the voxels of each component of a block and find its first one in the volume.

    Parameters
    ----------
    components
        Components 1 to `count`, unsigned, (z, y, x); 0 is background.
    count
        Their number.
    offset, shape
        Of the block, and of the volume.

    Returns
    -------
    sizes, first
        Number of voxels, and index of the first voxel in the raveled volume; int64, (count,).
    """
    sizes = np.zeros(count, np.int64)
    first = np.zeros(count, np.int64)
    for i in range(components.shape[0]):
        for j in range(components.shape[1]):
            row = (np.int64(offset[0] + i) * shape[1] + offset[1] + j) * shape[2] + offset[2]
            for k in range(components.shape[2]):
                component = components[i, j, k]
                if component:
                    if sizes[component - 1] == 0:
                        first[component - 1] = row + k
                    sizes[component - 1] += 1
    return sizes, first
