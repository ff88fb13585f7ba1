"""Contacts: pairs of objects within reach, their gap and the area within reach.

::

    a a . . b b      the gap of voxels is the distance of their boxes: 2 voxels between a and b
    a a . . . b      (`asem.measure.contact_gaps`), 0 where they touch or overlap
    a a . . . c

Of an object and another one, for a search distance::

    gap      minimum over all pairs of their voxels
    area     of the surface that belongs to voxels of the object (`asem.measure.surfaces`) whose gap
             to the other object is at most the search distance

Pairs whose gap is within the search distance, all of them and not only those of the nearest other
object, have a row; those of one image have two, one for the surface of each object. The others may
be of another image, where objects may overlap. Unlabelled voxels and voxels outside of an image are
background.

Each block counts the voxels of its objects, and reads the others around them: the results are the
same for every block grid.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.measure.contact_gaps import find_boxes, find_pairs
from asem.measure.object_columns import ID, OTHER_ID, BlockObjects, Columns, Reduction
from asem.measure.surfaces import Areas, area_unit_nm2, find_areas, read_with_mirrored_halo
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import IntZYX, Roi, add, per_axis
from asem.volume.volume import Volume

CONTACT_KEYS = (ID, OTHER_ID)
CONTACT_REDUCTIONS: Mapping[str, Reduction] = {"squared_gap": "min", "area": "sum"}
"""Columns of `ContactSearch.measure`, float64 (nm^2) and int64, and how they merge."""
CONTACT_VOXEL_BYTES = 64
"""Memory of each voxel of a block, with its halo, while contacts are found, bytes."""
RELATIVE_TOLERANCE = 1e-6
"""Of search distances, as of voxel sizes: a gap of 3 x 5.24 nm is within 15.72 nm."""
MIN_TILE, MAX_TILE = 32, 128
"""Edges of the boxes whose objects are compared, voxels; larger ones for larger distances."""


def reach_in_voxels(within_nm: float, voxel_size: NmZYX) -> IntZYX:
    """Return the largest difference of indices along each axis of voxels within a gap.

    Examples
    --------
    >>> reach_in_voxels(0.0, (5.0, 5.0, 5.0)), reach_in_voxels(10.0, (5.24, 5.0, 4.0))
    ((1, 1, 1), (2, 3, 3))
    """
    return per_axis(lambda size: int(within_nm * (1 + RELATIVE_TOLERANCE) / size) + 1, voxel_size)


@dataclass(frozen=True)
class ContactSearch:
    """Finds the contacts of the objects of a volume, block by block. It can be pickled.

    Parameters
    ----------
    objects
        Labels of the objects.
    others
        Labels of the other objects, on the same lattice; None: those of `objects`.
    within_nm
        Search distance, nm.
    """

    objects: Volume
    others: Volume | None
    within_nm: float

    @property
    def halo(self) -> IntZYX:
        """Voxels around a block in which other objects are found."""
        return reach_in_voxels(self.within_nm, self.objects.voxel_size)

    def measure(self, block: Roi) -> Columns:
        """Return the columns `CONTACT_KEYS` and `CONTACT_REDUCTIONS` of a block.

        Parameters
        ----------
        block
            In voxels of `objects`.
        """
        areas = find_areas(read_with_mirrored_halo(self.objects, block), self.objects.voxel_size)
        others = self.objects.read_aligned(self.others or self.objects, block.grow(self.halo))
        return find_contacts(
            self.objects.read(block),
            others,
            areas,
            is_border=(areas > 0) | _find_faces(block, self.objects.shape),
            voxel_size=self.objects.voxel_size,
            within_nm=self.within_nm,
            is_same_image=self.others is None,
        )


def find_contacts(
    labels: npt.NDArray[np.generic],
    others: npt.NDArray[np.generic],
    areas: Areas,
    *,
    is_border: npt.NDArray[np.bool_],
    voxel_size: NmZYX,
    within_nm: float,
    is_same_image: bool,
) -> Columns:
    """Return the columns `CONTACT_KEYS` and `CONTACT_REDUCTIONS` of the objects of a block.

    Parameters
    ----------
    labels
        The block, unsigned, (z, y, x).
    others
        Other labels of the block with `reach_in_voxels` voxels around it, unsigned.
    areas
        Of `labels` (`asem.measure.surfaces.find_areas`).
    is_border
        At least the voxels that have a face in common with a voxel outside of their object: of
        those of an object that does not overlap another one, one is nearest to it.
    voxel_size, within_nm
        Voxel size and search distance, nm.
    is_same_image
        Whether equal ids in `labels` and `others` mean the same object, which is no pair.

    Examples
    --------
    >>> labels = np.array([[[1, 0, 0, 2]]], np.uint8)
    >>> others, areas = np.pad(labels, 3), np.array([[[9, 0, 0, 8]]], np.uint32)
    >>> found = find_contacts(labels, others, areas, is_border=labels > 0, is_same_image=True,
    ...     voxel_size=(5.0, 5.0, 5.0), within_nm=10.0)
    >>> sorted(zip(*(values.tolist() for values in found.values()), strict=True))
    [(1, 2, 100.0, 9), (2, 1, 100.0, 8)]
    """
    reach = reach_in_voxels(within_nm, voxel_size)
    limit = (within_nm * (1 + RELATIVE_TOLERANCE)) ** 2
    geometry = np.array(voxel_size), np.array(reach), limit
    own, other = BlockObjects.from_labels(labels), BlockObjects.from_labels(others)
    rows, numbers = own.rows.reshape(labels.shape), other.numbers(others.shape)
    same = _find_numbers(own, other) if is_same_image else np.zeros(len(own.ids), np.int64)
    is_counted = is_border & (rows < len(own.ids))
    if not is_same_image:
        core = numbers[Roi(reach, per_axis(int, labels.shape)).slices]
        is_counted |= (core > 0) & (rows < len(own.ids))  # objects that overlap
    pairs, gaps = [np.zeros((0, 3), np.int64)], [np.zeros(0)]
    for tile in _split_into_tiles(Roi.of_shape(labels.shape), reach):
        voxels = np.argwhere(is_counted[tile.slices])
        if len(voxels) == 0:
            continue
        at = tuple((voxels + tile.offset).T)
        box = numbers[Roi(tile.offset, add(tile.shape, add(reach, reach))).slices]
        boxes, owner = find_boxes(box, len(other.ids)), rows[at]
        found = find_pairs(
            box,
            boxes,
            voxels + reach,
            np.stack([owner, same[owner]], 1),
            areas[at].astype(np.int64),
            geometry,
        )
        pairs.append(found[0])
        gaps.append(found[1])
    owner, number, area = np.concatenate(pairs).T
    return {
        ID: own.ids[owner],
        OTHER_ID: other.ids[number - 1],
        "squared_gap": np.concatenate(gaps),
        "area": area,
    }


def _find_faces(block: Roi, shape: IntZYX) -> npt.NDArray[np.bool_]:
    """Return the voxels of a block at the faces of a volume: others may be outside of it."""
    faces = np.zeros(block.shape, bool)
    for axis in range(3):
        along = np.moveaxis(faces, axis, 0)
        along[0] |= block.offset[axis] == 0
        along[-1] |= block.end[axis] == shape[axis]
    return faces


def _find_numbers(own: BlockObjects, other: BlockObjects) -> npt.NDArray[np.int64]:
    """Return the number in `other` of each object of `own`, all of which it has, (n,)."""
    return np.searchsorted(other.ids, own.ids).astype(np.int64) + 1


def _split_into_tiles(block: Roi, reach: IntZYX) -> Iterator[Roi]:
    """Split a block into boxes of twice the reach, within limits."""
    edge = min(max(2 * max(reach), MIN_TILE), MAX_TILE)
    yield from split_into_blocks(block, (edge, edge, edge))


def derive_contacts(merged: Columns, voxel_size: NmZYX) -> Columns:
    """Return the columns of the table of contacts, (n,): ids, ``gap_nm`` and ``area_um2``.

    Parameters
    ----------
    merged
        Merged columns of `ContactSearch.measure`.
    voxel_size
        nm along (z, y, x).
    """
    return {
        "object_id": merged[ID],
        "other_id": merged[OTHER_ID],
        "gap_nm": np.sqrt(merged["squared_gap"]),
        "area_um2": merged["area"] * (area_unit_nm2(voxel_size) / 1e6),
    }


def find_nearest(ids: npt.NDArray[np.uint64], contacts: Columns) -> npt.NDArray[np.float64]:
    """Return the gap between each object and the nearest other one, nm; NaN: none within reach.

    Parameters
    ----------
    ids
        Ids of the objects, ascending, (n,).
    contacts
        Columns of `derive_contacts`.
    """
    distances = np.full(len(ids), np.inf)
    np.minimum.at(distances, np.searchsorted(ids, contacts["object_id"]), contacts["gap_nm"])
    return np.where(np.isfinite(distances), distances, np.nan)
