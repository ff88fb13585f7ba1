"""Planes of the image through the centres of objects, and the outlines of their masks, by block.

::

    xy      x ->       xz      x ->       yz      y ->
            y                  z                  z
            v                  v                  v

Each object is read in the job of the block that contains its centre: memory does not depend on the
size of the volume, and no block grid changes a digit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.block_results import BlockResults
from asem.config import NmZYX
from asem.image.cleanup import unlabelled_to_background
from asem.measure.image_patches import read_patch
from asem.measure.mask_parts import save_rows_of_blocks
from asem.system.npz import ArraySpec
from asem.volume.roi import Roi, per_axis
from asem.volume.volume import Volume

PLANES_REACH_NM = 100.0
"""From the centre of an object to the sides of its planes."""
MAX_REACH_VOXELS = 100
"""At most so many voxels from the centre to a side."""
CONTRAST_PERCENTILES = 0.5, 99.5
"""Grey values of black and white, of the three planes of an object."""
PIXEL_BYTES = 16
AXES = {"xy": 0, "xz": 1, "yz": 2}
"""Names of the planes, and the axis across each: its columns and its rows are the other two."""
_ROWS = {"row": ArraySpec("int64", (None,)), "centre_nm": ArraySpec("float64", (None, 3))}
_IMAGES = {
    f"{kind}{name}": ArraySpec(dtype, (None, None, None))
    for name in AXES
    for kind, dtype in (("", "uint8"), ("mask_", "bool"))
}


@dataclass(frozen=True)
class ObjectPlane:
    """A plane through the centre of an object.

    Parameters
    ----------
    name
        Its axes, one of `AXES`: the first is to the right, the second down.
    image
        Grey values, uint8, (rows, columns), 0 outside of the image.
    mask
        Voxels of masks, bool, (rows, columns).
    origin_nm
        World position of the first pixel.
    voxel_size
        Of the image.
    """

    name: str
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    origin_nm: NmZYX
    voxel_size: NmZYX

    @property
    def pixel_nm(self) -> tuple[float, float]:
        """Height and width of a pixel."""
        height, width = np.delete(self.voxel_size, AXES[self.name]).tolist()
        return height, width

    def to_pixels(self, points_nm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return row and column of world positions (m, 3), projected on the plane, (m, 2)."""
        places = (points_nm - np.array(self.origin_nm)) / np.array(self.voxel_size)
        return np.delete(places, AXES[self.name], axis=1)


@dataclass(frozen=True)
class StoredPlanes:
    """Planes of objects, stored by block.

    Parameters
    ----------
    results, blocks
        Where they are.
    raw
        The image.
    """

    results: BlockResults
    blocks: Sequence[Roi]
    raw: Volume

    def load(self) -> Iterator[tuple[int, list[ObjectPlane]]]:
        """Yield row and planes of each object, block by block."""
        for block in self.blocks:
            stored = self.results.load(block, **_ROWS, **_IMAGES)
            if len({len(array) for array in stored.values()}) > 1:
                raise self.results.make_damage_error(block)
            for number, row in enumerate(stored["row"].tolist()):
                planes = _planes_around(self.raw, stored["centre_nm"][number].tolist())
                yield row, [self._get_plane(stored, number, name, planes[name]) for name in AXES]

    def _get_plane(
        self, stored: dict[str, npt.NDArray[Any]], number: int, name: str, roi: Roi
    ) -> ObjectPlane:
        image, mask = stored[name][number], stored[f"mask_{name}"][number]
        return ObjectPlane(name, image, mask, self.raw.position_nm(roi.offset), self.raw.voxel_size)


def store_object_planes(
    output: BlockOutput,
    labels: Volume,
    raw: Volume,
    rows: npt.NDArray[np.intp],
    centres_nm: npt.NDArray[np.float64],
    *,
    stage: str,
) -> StoredPlanes:
    """Read the planes of objects.

    Parameters
    ----------
    output
        Runs the blocks, on the voxels of `labels`.
    labels, raw
        Label image and image of the same voxel size.
    rows
        Objects to read, (m,).
    centres_nm
        World positions of all objects, (n, 3).
    stage
        Name in the journal, the progress and the results.
    """
    voxels = np.rint((centres_nm[rows] - labels.offset_nm) / labels.voxel_size).astype(np.int64)
    voxels = np.clip(voxels, 0, np.array(labels.shape) - 1)
    jobs = output.block_results(f"{stage} centres")
    blocks = save_rows_of_blocks(jobs, output, rows, voxels, centre_nm=centres_nm)
    pixels = sum(roi.size for roi in _planes_around(raw, raw.offset_nm).values())
    results = output.store_block_results(
        partial(_read_planes, labels=labels, raw=raw, jobs=jobs),
        blocks,
        stage=stage,
        block_bytes=PIXEL_BYTES * pixels,
    )
    return StoredPlanes(results, blocks, raw)


def _planes_around(raw: Volume, centre_nm: Sequence[float]) -> dict[str, Roi]:
    """Return the voxels of raw in the planes of an object; they may extend beyond raw."""
    centre = per_axis(
        lambda c, o, size: round((c - o) / size), centre_nm, raw.offset_nm, raw.voxel_size
    )
    reach = per_axis(
        lambda size: min(MAX_REACH_VOXELS, ceil(PLANES_REACH_NM / size)), raw.voxel_size
    )
    middle = Roi(centre, (1, 1, 1))
    z, y, x = reach
    grown = {"xy": (0, y, x), "xz": (z, 0, x), "yz": (z, y, 0)}
    return {name: middle.grow(by) for name, by in grown.items()}


def _read_planes(
    block: Roi, *, labels: Volume, raw: Volume, jobs: BlockResults
) -> dict[str, npt.NDArray[Any]]:
    """Read the planes of the objects whose centres are in a block."""
    found = jobs.load(block, **_ROWS)
    planes: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in _IMAGES}
    for centre in found["centre_nm"]:
        rois = _planes_around(raw, centre.tolist())
        grey = [read_patch(raw, roi).squeeze(AXES[name]) for name, roi in rois.items()]
        for (name, roi), image in zip(rois.items(), stretch_contrast(grey), strict=True):
            mask = unlabelled_to_background(raw.read_aligned(labels, roi)) != 0
            planes[name].append(image)
            planes[f"mask_{name}"].append(mask.squeeze(AXES[name]))
    return {**found, **{name: np.stack(each) for name, each in planes.items()}}


def stretch_contrast(images: Sequence[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.uint8]]:
    """Return images as uint8, with one contrast (`CONTRAST_PERCENTILES`) for all of them.

    Parameters
    ----------
    images
        Grey values, nan outside of the image, which becomes 0.

    Examples
    --------
    >>> stretch_contrast([np.array([[2.0, 4.0, np.nan]], np.float32)])[0].tolist()
    [[0, 255, 0]]
    """
    values = np.concatenate([image[np.isfinite(image)] for image in images])
    low, high = np.percentile(values, CONTRAST_PERCENTILES) if values.size else (0.0, 1.0)
    scale = 255 / max(high - low, 1e-6)
    return [
        np.rint(np.clip((np.nan_to_num(image, nan=low) - low) * scale, 0, 255)).astype(np.uint8)
        for image in images
    ]
