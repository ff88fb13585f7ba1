"""Records of the basins of blocks, and their merge into the basins of a volume.

::

    block A   1 1 2 2 | 3 3 4   block B      2 of A exits to the voxel that has label 3 in B:
                                             they are one basin, whose peak is in B
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_results import BlockResults
from asem.image.basin_contacts import Contacts, collect_contacts
from asem.image.basin_moments import shift_moments, sum_moments
from asem.image.basins import PEAK, BlockBasins, find_contacts, to_volume_indices
from asem.image.component_records import measure_components
from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX, Roi

Record = dict[str, npt.NDArray[Any]]
CONTACT_COLUMNS = ("first", "second", "faces", "normals", "heights")


@dataclass(frozen=True)
class Basins:
    """Basins of a volume, in the order of their peaks in the raveled volume.

    Parameters
    ----------
    label_slices
        For each block, the slice of its local labels in arrays of all local labels.
    basin_of_label
        Basin of each local label, int64.
    sizes
        Voxels of each basin, int64, (n,).
    moments
        Moments of each basin (`asem.image.basin_moments.sum_moments`), indices in the volume,
        int64, (n, 9).
    first_voxels
        Each basin's first voxel, as an index into the raveled volume, int64.
    peaks
        Value of the landscape at each basin's peak, int64.
    contacts
        Contacts of the basins.
    """

    label_slices: dict[Roi, slice]
    basin_of_label: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    moments: npt.NDArray[np.int64]
    first_voxels: npt.NDArray[np.int64]
    peaks: npt.NDArray[np.int64]
    contacts: Contacts


def make_record(
    basins: BlockBasins,
    labels: npt.NDArray[Any],
    landscape: npt.NDArray[np.int32],
    block: Roi,
    shape: IntZYX,
) -> Record:
    """Return the record of a block.

    Parameters
    ----------
    basins
        Its basins.
    labels, landscape
        Of the block, without a margin.
    block, shape
        Position of the block, and shape of the volume.
    """
    local, roots = basins.labels, basins.roots
    sizes, first = measure_components(local, len(roots), block.offset, shape)
    contacts = find_contacts(local, labels, landscape)
    record: Record = {
        "sizes": sizes,
        "first": first,
        "root": roots,
        "exit": basins.exits,
        "peak": landscape.reshape(-1)[roots],
        "label": labels.reshape(-1)[roots],
        "moments": sum_moments(local, len(roots)),
    }
    record |= {f"contact_{name}": getattr(contacts, name) for name in CONTACT_COLUMNS}
    for axis in range(3):
        for end in (0, -1):
            for name, voxels in (("local", local), ("height", landscape)):
                face = np.moveaxis(voxels, axis, 0)[end]
                record[f"{name}{axis}{end}"] = np.ascontiguousarray(face)
    return record


def merge_records(block_results: BlockResults, blocks: Sequence[Roi], shape: IntZYX) -> Basins:
    """Merge the records of all blocks of a volume.

    Parameters
    ----------
    block_results
        The records.
    blocks
        A regular grid, in (z, y, x) order.
    shape
        Of the volume.

    Raises
    ------
    OSError
        A record is missing, damaged or inconsistent.
    """
    slices: dict[Roi, slice] = {}
    tables, contacts, pairs, start = [_empty_table()], [], [], 0
    pending_faces: dict[tuple[int, IntZYX], _Face] = {}
    for block in blocks:
        record = _load_record(block_results, block)
        count = len(record["sizes"])
        slices[block] = slice(start, start + count)
        tables.append(_make_table(record, block, shape, start))
        contacts.append(_contacts_of(record, start))
        for axis in range(3):
            before = pending_faces.pop((axis, block.offset), None)
            if before is not None:
                after = _Face(block, record, start, axis, 0)
                contacts.append(before.find_contacts(after))
                pairs += [before.resolve_exits(after), after.resolve_exits(before)]
            if block.end[axis] < shape[axis]:
                z, y, x = (block.end[a] if a == axis else block.offset[a] for a in range(3))
                pending_faces[axis, (z, y, x)] = _Face(block, record, start, axis, -1)
        start += count
    table = {name: np.concatenate([part[name] for part in tables]) for name in tables[0]}
    exits, targets = np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1)
    table["next"][exits] = targets
    return _join_labels(slices, table, Contacts.concatenate(contacts))


def _empty_table() -> Record:
    table: Record = dict.fromkeys(("sizes", "first", "peak", "root", "next"), np.zeros(0, np.int64))
    return table | {"moments": np.zeros((0, 9), np.int64)}


def _make_table(record: Record, block: Roi, shape: IntZYX, start: int) -> Record:
    """Return the columns of the local labels of a block, in coordinates of the volume."""
    return {
        "sizes": record["sizes"],
        "first": record["first"],
        "peak": record["peak"].astype(np.int64),
        "root": to_volume_indices(record["root"], block, shape),
        "next": np.arange(start, start + len(record["sizes"])),
        "moments": shift_moments(record["sizes"], record["moments"], block.offset),
    }


def _join_labels(slices: dict[Roi, slice], table: Record, contacts: Contacts) -> Basins:
    """Follow the exits of local labels to their peaks."""
    ends = table["next"]
    for _ in range(len(ends).bit_length()):  # each time, twice as far
        ends = ends[ends]
    peaks = np.flatnonzero(ends == np.arange(len(ends)))
    peaks = peaks[np.argsort(table["root"][peaks])]
    basin_of_peak = np.zeros(len(ends), np.int64)
    basin_of_peak[peaks] = np.arange(len(peaks))
    basin_of_label = basin_of_peak[ends]
    sizes, moments = np.zeros(len(peaks), np.int64), np.zeros((len(peaks), 9), np.int64)
    first_voxels = np.full(len(peaks), np.iinfo(np.int64).max)
    np.add.at(sizes, basin_of_label, table["sizes"])
    np.add.at(moments, basin_of_label, table["moments"])
    np.minimum.at(first_voxels, basin_of_label, table["first"])
    return Basins(
        slices,
        basin_of_label,
        sizes,
        moments,
        first_voxels,
        table["peak"][peaks],
        contacts.relabel(basin_of_label),
    )


@dataclass(frozen=True)
class _Face:
    """One face of a block, whose record it holds.

    Parameters
    ----------
    block, record
        The block and its record.
    start
        Index of its first local label in arrays of all local labels.
    axis, end
        Axis across the face; 0: the first plane, -1: the last one.
    """

    block: Roi
    record: Record
    start: int
    axis: int
    end: int

    @property
    def local(self) -> npt.NDArray[Any]:
        """Local labels."""
        return self.record[f"local{self.axis}{self.end}"]

    @property
    def height(self) -> npt.NDArray[Any]:
        """Landscape."""
        return self.record[f"height{self.axis}{self.end}"]

    def resolve_exits(self, other: "_Face") -> npt.NDArray[np.int64]:
        """Return the labels that leave through this face, and those of the voxels they exit to.

        Both are indices into arrays of all local labels, shape (2, n).
        """
        direction = self.axis if self.end == 0 else 6 - self.axis
        exits = np.flatnonzero(self.record["exit"] == direction)
        voxels = np.unravel_index(self.record["root"][exits], self.block.shape)
        u, v = (voxels[axis] for axis in range(3) if axis != self.axis)
        targets = other.local[u, v].astype(np.int64) - 1
        return np.stack([exits + self.start, targets + other.start])

    def find_contacts(self, other: "_Face") -> Contacts:
        """Return the contacts of voxels of one label across two faces that touch."""
        both = (self.local != 0) & (other.local != 0)
        first, second = (face.local[both].astype(np.int64) - 1 for face in (self, other))
        equal = self.record["label"][first] == other.record["label"][second]
        heights = np.minimum(self.height[both], other.height[both])[equal]
        axes = np.full(len(heights), self.axis)
        return collect_contacts(
            first[equal] + self.start, second[equal] + other.start, axes, heights
        )


def _contacts_of(record: Record, start: int) -> Contacts:
    first, second, *others = (record[f"contact_{name}"] for name in CONTACT_COLUMNS)
    return Contacts(first + start, second + start, *others)


def _load_record(records: BlockResults, block: Roi) -> Record:
    """Load the record of a block; raise OSError where its arrays are inconsistent."""
    specs = {name: ArraySpec("int64", (None,)) for name in ("sizes", "first", "root")}
    specs |= {"exit": ArraySpec("uint8", (None,)), "peak": ArraySpec("int32", (None,))}
    specs["label"] = ArraySpec("iu", (None,))
    specs["moments"] = ArraySpec("int64", (None, 9))
    for name in CONTACT_COLUMNS:
        row = (3,) if name in ("faces", "normals") else ()
        specs[f"contact_{name}"] = ArraySpec("int64", (None, *row))
    for axis in range(3):
        face = block.shape[:axis] + block.shape[axis + 1 :]
        for end in (0, -1):
            specs[f"local{axis}{end}"] = ArraySpec("uint32", face)
            specs[f"height{axis}{end}"] = ArraySpec("int32", face)
    record = records.load(block, **specs)
    if not _is_consistent(record, block):
        raise records.make_damage_error(block)
    return record


def _is_consistent(record: Record, block: Roi) -> bool:
    count, contacts = len(record["sizes"]), len(record["contact_first"])
    columns = ("first", "root", "exit", "peak", "label", "moments")
    return (
        all(len(record[name]) == count for name in columns)
        and all(len(record[f"contact_{name}"]) == contacts for name in CONTACT_COLUMNS)
        and all(_is_within(record[f"contact_{name}"], count) for name in ("first", "second"))
        and all(_is_within(face, count + 1) for name, face in record.items() if name[:5] == "local")
        and _is_within(record["root"], block.size)
        and _is_within(record["exit"], PEAK + 4)
    )


def _is_within(values: npt.NDArray[Any], stop: int) -> bool:
    return not values.size or (values.min() >= 0 and values.max() < stop)
