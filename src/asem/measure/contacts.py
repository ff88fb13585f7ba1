"""Contacts: pairs of objects within reach, their gap and the area within reach.

Of an object and another one, for a search distance w and a voxel size s::

    gap      the distance between the boxes of their nearest voxels, 0 where they touch or overlap
    area     of the surface that belongs to voxels of the object (`asem.measure.surfaces`) whose gap
             to the other object is at most w, and whose point (`asem.measure.surface_points`) is at
             a distance d from one of the other object, d^2 <= w^2 + |s|^2 / 4, or in it

    a a . . b b      the gap of voxels is 2 voxels between a and b (`asem.measure.contact_gaps`)
    a a . . . b
    a a . . . c

The corners of boxes are up to half a voxel outside of a tilted surface, so that gaps of two tilted
surfaces are up to one voxel too small. Points are on the smooth surface, 0.6 voxels from the next
one: half the diagonal of a voxel is the error of their distance where surfaces touch.

Pairs whose gap is within the search distance, all of them and not only those of the nearest other
object, have a row; those of one image have two, one for the surface of each object. The others may
be of another image, where objects may overlap. Unlabelled voxels and voxels outside of an image are
background.

Each block counts the voxels of its objects, and reads the others around them: the results are the
same for every block grid.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.measure.contact_pairs import find_boxes, find_pairs
from asem.measure.object_columns import ID, OTHER_ID, BlockObjects, Columns, Reduction
from asem.measure.surface_cells import HALO, find_voxel_areas
from asem.measure.surface_points import find_border
from asem.measure.surfaces import area_unit_nm2, read_with_mirrored_halo
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import IntZYX, Roi, add, negate, per_axis, subtract
from asem.volume.volume import Volume

CONTACT_KEYS = (ID, OTHER_ID)
CONTACT_REDUCTIONS: Mapping[str, Reduction] = {"squared_gap": "min", "area": "sum"}
"""Columns of `ContactSearch.measure`, float64 (nm^2) and int64, and how they merge."""
CONTACT_VOXEL_BYTES = 64
"""Memory of each voxel of a block, with its halo, while contacts are found, bytes."""
RELATIVE_TOLERANCE = 1e-6
"""Of search distances, as of voxel sizes: a gap of 3 x 5.24 nm is within 15.72 nm."""
NO_POINT = -1
"""Row of voxels without a point on the surface."""
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

    Examples
    --------
    >>> labels = Volume(np.array([[[1, 0, 0, 2]]], np.uint8), (5.0, 5.0, 5.0), kind="labels")
    >>> found = ContactSearch(labels, None, within_nm=10.0).measure(labels.roi)
    >>> sorted(zip(*(found[name].tolist() for name in ("id", "other_id", "squared_gap"))))
    [(1, 2, 100.0), (2, 1, 100.0)]
    """

    objects: Volume
    others: Volume | None
    within_nm: float

    @property
    def halo(self) -> IntZYX:
        """Voxels around a block in which other objects are found."""
        return reach_in_voxels(self.within_nm, self.objects.voxel_size)

    def box_bytes(self, block: Roi) -> int:
        """Return the memory that a block takes, with its surroundings, bytes."""
        margin = add(self.halo, (HALO, HALO, HALO))
        return block.grow(margin).size * CONTACT_VOXEL_BYTES

    def measure(self, block: Roi) -> Columns:
        """Return the columns `CONTACT_KEYS` and `CONTACT_REDUCTIONS` of a block.

        Parameters
        ----------
        block
            In voxels of `objects`.
        """
        others = self.others or self.objects
        shift = self.objects.roi_of(others).offset
        around = others.roi.shift(shift).intersect(block.grow(self.halo))
        if around.size == 0:
            return _make_columns(np.zeros((0, 2), np.uint64), np.zeros(0), np.zeros(0, np.int64))
        other = _LabelledBox.read(others, around, shift)
        own = other if self.others is None else _LabelledBox.read(self.objects, block)
        return _find_contacts(own, other, block, self.objects.voxel_size, self.within_nm)


def _make_columns(
    ids: npt.NDArray[np.uint64], squared_gap: npt.NDArray[Any], area: npt.NDArray[np.int64]
) -> Columns:
    return {ID: ids[:, 0], OTHER_ID: ids[:, 1], "squared_gap": squared_gap, "area": area}


@dataclass(frozen=True)
class _LabelledBox:
    """The objects of a box: `roi`, in the voxels of the objects whose contacts are found.

    `padded` are numbers of objects, from 1 (row in `ids` plus 1), with a halo; `index` is the row
    of each border voxel in `offsets` of points (n, 3), and `is_known` says which have been found.
    """

    roi: Roi
    ids: npt.NDArray[np.unsignedinteger]
    padded: npt.NDArray[np.uint32]
    index: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.float64]
    is_known: npt.NDArray[np.bool_]

    @classmethod
    def read(cls, volume: Volume, roi: Roi, shift: IntZYX = (0, 0, 0)) -> "_LabelledBox":
        """Read a box of a volume whose first voxel is at `shift`."""
        labels = read_with_mirrored_halo(volume, roi.shift(negate(shift)))
        objects = BlockObjects.from_labels(labels)
        padded = objects.numbers(per_axis(int, labels.shape))
        border = find_border(padded)
        count, index = np.count_nonzero(border), np.full(border.shape, NO_POINT, np.int32)
        index[border] = np.arange(count)
        return cls(roi, objects.ids, padded, index, np.empty((count, 3)), np.zeros(count, np.bool_))

    def select(self, box: Roi) -> tuple[slice, slice, slice]:
        """Return the index of a box in `index`."""
        return box.shift(negate(self.roi.offset)).slices

    def numbers(self, box: Roi) -> npt.NDArray[np.uint32]:
        """Return the numbers in a box, without halo."""
        return self.padded[HALO:-HALO, HALO:-HALO, HALO:-HALO][self.select(box)]

    def padded_numbers(self, box: Roi) -> npt.NDArray[np.uint32]:
        """Return the numbers in a box, with halo, contiguous."""
        halo = (HALO, HALO, HALO)
        shifted = box.shift(subtract(halo, self.roi.offset))
        return np.ascontiguousarray(self.padded[shifted.grow(halo).slices])


def _find_contacts(
    own: _LabelledBox, other: _LabelledBox, block: Roi, voxel_size: NmZYX, within_nm: float
) -> Columns:
    """Return the columns of the objects of a block; `own` is `other` for those of one image.

    Areas and points are only found in tiles with another object within reach.
    """
    reach = reach_in_voxels(within_nm, voxel_size)
    is_counted = _find_counted(own, other, block)
    pairs, gaps = [np.zeros((0, 3), np.int64)], [np.zeros(0)]
    for tile in _split_into_tiles(block, reach):
        places = np.argwhere(is_counted[tile.shift(negate(block.offset)).slices])
        around = tile.grow(reach).intersect(other.roi)
        if len(places) == 0 or around.size == 0:
            continue
        others = other.padded_numbers(around)
        boxes = find_boxes(others, len(other.ids))
        if np.count_nonzero(boxes[:, 1, 0] >= 0) <= (own is other):  # no other object
            continue
        padded, at = own.padded_numbers(tile), tuple(places.T)
        owner = own.numbers(tile)[at].astype(np.int64) - 1
        same = owner + 1 if own is other else np.zeros_like(owner)
        areas = find_voxel_areas(padded, np.array(voxel_size), area_unit_nm2(voxel_size))[at]
        row = own.index[own.select(tile)][at]
        first = np.array(subtract(tile.offset, around.offset))
        found = find_pairs(
            (padded, own.offsets, own.is_known),
            (others, other.offsets, other.is_known),
            np.ascontiguousarray(other.index[other.select(around)]),  # of one type
            boxes,
            (places + first, np.stack([owner, same, areas, row], 1).astype(np.int64), first),
            (np.array(voxel_size), np.array(reach), *_squared_limits(within_nm, voxel_size)),
        )
        pairs.append(found[0])
        gaps.append(found[1])
    owner, number, area = np.concatenate(pairs).T
    ids = np.stack([own.ids[owner], other.ids[number - 1]], 1).astype(np.uint64)
    return _make_columns(ids, np.concatenate(gaps), area)


def _find_counted(own: _LabelledBox, other: _LabelledBox, block: Roi) -> npt.NDArray[np.bool_]:
    """Return the voxels of which gaps and areas are found, of the shape of a block.

    Of the voxels of an object, one at its border is nearest to an object that does not overlap it.
    Those at the end of an image, beyond which an object of another image may be, are no border.
    """
    border: npt.NDArray[np.bool_] = own.index[own.select(block)] != NO_POINT
    if own is other:
        return border
    is_inner = np.zeros(block.shape, bool)
    is_inner[1:-1, 1:-1, 1:-1] = ~border[1:-1, 1:-1, 1:-1]
    part = block.intersect(other.roi)
    if part.size:
        is_inner[own.select(part)] &= other.numbers(part) == 0
    return (own.numbers(block) > 0) & ~is_inner


def _squared_limits(within_nm: float, voxel_size: NmZYX) -> tuple[float, float, float, float]:
    """Return squared distances that decide which voxels and points are within reach.

    They are: the largest gap; the gap up to which points are near in any case; the largest distance
    of points; that of the centres of their voxels. Boxes have a diagonal of sqrt(3) voxels or less
    between gap and centres, points are less than one voxel from the centre: 4 voxels between a gap
    and the distance of points are enough, and 2 between centres and points.
    """
    squared, largest = (within_nm * (1 + RELATIVE_TOLERANCE)) ** 2, max(voxel_size)
    near = within_nm - 4 * largest
    points = squared + sum(size**2 for size in voxel_size) / 4
    return squared, near**2 if near > 0 else -1.0, points, (math.sqrt(points) + 2 * largest) ** 2


def _split_into_tiles(block: Roi, reach: IntZYX) -> Iterator[Roi]:
    """Split a block into boxes of twice the reach, within limits."""
    edge = min(max(2 * max(reach), MIN_TILE), MAX_TILE)
    yield from split_into_blocks(block, (edge, edge, edge), origin=block.offset)


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
