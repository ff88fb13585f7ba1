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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.measure.contact_gaps import find_boxes, find_pairs
from asem.measure.object_columns import ID, OTHER_ID, BlockObjects, Columns, Reduction
from asem.measure.surface_cells import HALO, find_voxel_areas
from asem.measure.surface_points import NO_POINT, find_surface_points
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
        part = others.roi.shift(shift).intersect(block.grow(self.halo))
        if part.size == 0:
            empty = np.zeros(0, np.uint64)
            return {
                ID: empty,
                OTHER_ID: empty,
                "squared_gap": np.zeros(0),
                "area": empty.view("i8"),
            }
        return find_contacts(
            read_with_mirrored_halo(self.objects, block),
            read_with_mirrored_halo(others, part.shift(negate(shift))),
            others_roi=part.shift(negate(block.offset)),
            voxel_size=self.objects.voxel_size,
            within_nm=self.within_nm,
            is_same_image=self.others is None,
        )


def find_contacts(
    labels: npt.NDArray[np.generic],
    others: npt.NDArray[np.generic],
    *,
    others_roi: Roi,
    voxel_size: NmZYX,
    within_nm: float,
    is_same_image: bool,
) -> Columns:
    """Return the columns `CONTACT_KEYS` and `CONTACT_REDUCTIONS` of the objects of a block.

    Parameters
    ----------
    labels
        The block with a halo (`asem.measure.surfaces.read_with_mirrored_halo`), unsigned.
    others
        Other labels within `reach_in_voxels` of the block, with the same halo, unsigned.
    others_roi
        Extent of `others` without the halo, in voxels of the block.
    voxel_size, within_nm
        Voxel size and search distance, nm.
    is_same_image
        Whether equal ids in `labels` and `others` mean the same object, which is no pair.

    Examples
    --------
    >>> labels = np.pad(np.array([[[1, 0, 0, 2]]], np.uint8), HALO)
    >>> found = find_contacts(labels, labels, others_roi=Roi((0, 0, 0), (1, 1, 4)),
    ...     voxel_size=(5.0, 5.0, 5.0), within_nm=10.0, is_same_image=True)
    >>> sorted(zip(*(found[name].tolist() for name in ("id", "other_id", "squared_gap"))))
    [(1, 2, 100.0), (2, 1, 100.0)]
    """
    size, reach = np.array(voxel_size), reach_in_voxels(within_nm, voxel_size)
    own = _LabelledPoints.find(labels, size)
    block = Roi.of_shape(own.numbers.shape)
    other = _LabelledPoints.find(others, size).pad(others_roi, block.grow(reach))
    areas = find_voxel_areas(own.padded, size, area_unit_nm2(voxel_size))
    same = np.searchsorted(other.ids, own.ids) + 1 if is_same_image else np.zeros(len(own.ids))
    is_counted = own.find_outer() | _find_overlap(own, other, reach, is_same_image=is_same_image)
    pairs, gaps = [np.zeros((0, 3), np.int64)], [np.zeros(0)]
    for tile in _split_into_tiles(block, reach):
        places = np.argwhere(is_counted[tile.slices])
        if len(places) == 0:
            continue
        at = tuple((places + tile.offset).T)
        owner = own.numbers[at].astype(np.int64) - 1
        facts = np.stack([owner, same[owner], areas[at]], 1).astype(np.int64)
        box = Roi(tile.offset, add(tile.shape, add(reach, reach))).slices
        found = find_pairs(
            other.numbers[box],
            (other.index[box], other.offsets),
            find_boxes(other.numbers[box], len(other.ids)),
            (places + reach, facts, own.offsets[own.index[at]]),
            (size, np.array(reach), *_squared_limits(within_nm, voxel_size)),
        )
        pairs.append(found[0])
        gaps.append(found[1])
    owner, number, area = np.concatenate(pairs).T
    squared_gap = np.concatenate(gaps)
    ids = {ID: own.ids[owner], OTHER_ID: other.ids[number - 1]}
    return {**ids, "squared_gap": squared_gap, "area": area}


@dataclass(frozen=True)
class _LabelledPoints:
    """The objects of a box, and the points on their surface.

    `padded` are numbers of objects from 1 (row in `ids` plus 1) with a halo, `numbers` those of the
    box; `index` and `offsets` are those of `find_surface_points`.
    """

    ids: npt.NDArray[np.unsignedinteger]
    padded: npt.NDArray[np.uint32]
    numbers: npt.NDArray[np.uint32]
    index: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.float64]

    @classmethod
    def find(
        cls, labels: npt.NDArray[np.generic], voxel_size: npt.NDArray[np.float64]
    ) -> "_LabelledPoints":
        objects = BlockObjects.from_labels(labels)
        padded = objects.numbers(per_axis(int, labels.shape))
        core = (slice(HALO, -HALO),) * 3
        index, offsets = find_surface_points(padded, voxel_size)
        no_point = np.zeros((1, 3))  # what the index of voxels without a point, -1, selects
        return cls(objects.ids, padded, padded[core], index, np.concatenate([offsets, no_point]))

    def pad(self, roi: Roi, box: Roi) -> "_LabelledPoints":
        """Return the same objects in a larger box, without objects outside of `roi`."""
        before, after = subtract(roi.offset, box.offset), subtract(box.end, roi.end)
        widths = per_axis(lambda a, b: (a, b), before, after)
        return replace(
            self,
            numbers=np.pad(self.numbers, widths),
            index=np.pad(self.index, widths, constant_values=NO_POINT),
        )

    def find_outer(self) -> npt.NDArray[np.bool_]:
        """Return the voxels of objects that have a neighbour outside of the object or the box.

        Of the voxels of an object, one of these is nearest to an object that does not overlap it.
        """
        inner = np.zeros(self.numbers.shape, bool)
        inner[1:-1, 1:-1, 1:-1] = self.index[1:-1, 1:-1, 1:-1] == NO_POINT
        return (self.numbers > 0) & ~inner


def _find_overlap(
    own: _LabelledPoints, other: _LabelledPoints, reach: IntZYX, *, is_same_image: bool
) -> npt.NDArray[np.bool_]:
    """Return the voxels at which objects overlap, of the shape of `own`."""
    if is_same_image:
        return np.zeros(own.numbers.shape, bool)
    core = Roi(reach, per_axis(int, own.numbers.shape)).slices
    return (own.numbers > 0) & (other.numbers[core] > 0)


def _squared_limits(within_nm: float, voxel_size: NmZYX) -> tuple[float, float, float]:
    """Return squares: of the largest gap, of a gap at which points are near, of their distance.

    Boxes have a diagonal of sqrt(3) voxels or less between gap and centres, points are less than
    one voxel from the centre: 4 voxels between a gap and the distance of points are enough.
    """
    squared = (within_nm * (1 + RELATIVE_TOLERANCE)) ** 2
    near = within_nm - 4 * max(voxel_size)
    half_diagonal = sum(size**2 for size in voxel_size) / 4
    return squared, near**2 if near > 0 else -1.0, squared + half_diagonal


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
