"""The step of `asem evaluate` for thin annotations: how much of each centre line is covered.

An object is measured with the block of its first voxel, in its whole bounding box::

    block A  |. . . # #|# # . .|  block B       read with block A: the box of the object, and the
             |. . . . .|. # . .|                other side within the distance around it
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.measure_blocks import Arrays
from asem.measure.centre_line_coverage import (
    MAX_BOX_VOXELS,
    count_covered,
    find_centre_line,
    line_halo,
    select_object,
)
from asem.measure.object_overlap import ObjectOverlap, ObjectTable
from asem.measure.object_scores import ScoredObjects
from asem.measure.score_counts import NOT_SCORED
from asem.system.npz import ArraySpec
from asem.volume.roi import Roi, negate, per_axis
from asem.workflows.evaluation_inputs import ScoredPair, clear_unlabelled
from asem.workflows.evaluation_stages import BlockRunner

SHARED_MARGIN = 64
"""Voxels around a block that are read at once for objects that reach into other blocks."""
LINE_VOXEL_BYTES = 40
"""Memory in bytes of each voxel of a box that is read."""
SIDES = ("predicted", "truth")
NAMES = ("rows", "covered", "length")


@dataclass(frozen=True)
class LineCounts:
    """Centre lines of the objects of one side.

    Parameters
    ----------
    covered, length
        Voxels of each centre line that are covered, and that are scored; int64, (n,); 0 for objects
        that do not count, or whose bounding box is too large.
    too_large
        Number of objects of more than `asem.measure.centre_line_coverage.MAX_BOX_VOXELS`.
    """

    covered: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    too_large: int


def measure_lines(
    runner: BlockRunner, overlap: ObjectOverlap, objects: ScoredObjects, distance_nm: float
) -> tuple[LineCounts, LineCounts]:
    """Measure the centre lines of the objects that count: of the prediction, and of the truth."""
    tables = (overlap.predicted, overlap.truth)
    sizes = [np.prod(table.high - table.low, axis=1) for table in tables]
    counts = (objects.predicted_counts, objects.truth_counts)
    chosen = [kept & (size <= MAX_BOX_VOXELS) for kept, size in zip(counts, sizes, strict=True)]
    lines = [
        LineCounts(
            covered=np.zeros(len(table), np.int64),
            length=np.zeros(len(table), np.int64),
            too_large=int(np.count_nonzero(kept & ~small)),
        )
        for table, kept, small in zip(tables, counts, chosen, strict=True)
    ]
    measure = partial(
        _measure_block_lines,
        pair=runner.pair,
        sides=tuple(
            _select_objects(table, np.flatnonzero(rows), runner.pair)
            for table, rows in zip(tables, chosen, strict=True)
        ),
        distance_nm=distance_nm,
    )

    def is_consistent(arrays: Arrays) -> bool:
        return all(
            len({len(arrays[f"{side}_{name}"]) for name in NAMES}) == 1
            and arrays[f"{side}_rows"].min(initial=0) >= 0
            and arrays[f"{side}_rows"].max(initial=-1) < len(line.length)
            for side, line in zip(SIDES, lines, strict=True)
        )

    specs = {f"{side}_{name}": ArraySpec("int64", (None,)) for side in SIDES for name in NAMES}
    results = runner.run(
        "centre lines",
        measure,
        halo=per_axis(
            lambda h: h + SHARED_MARGIN, line_halo(distance_nm, runner.pair.predicted.voxel_size)
        ),
        voxel_bytes=LINE_VOXEL_BYTES,
        specs=lambda _: specs,
        is_consistent=is_consistent,
    )
    for _, arrays in results:
        for side, line in zip(SIDES, lines, strict=True):
            line.covered[arrays[f"{side}_rows"]] = arrays[f"{side}_covered"]
            line.length[arrays[f"{side}_rows"]] = arrays[f"{side}_length"]
    return lines[0], lines[1]


@dataclass(frozen=True)
class _SideObjects:
    """Objects of one side that are measured: rows in the table, first voxels and boxes, (n, 3)."""

    rows: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    are_instances: bool

    def in_block(self, block: Roi) -> npt.NDArray[np.intp]:
        """Return the objects whose first voxel is in a block."""
        inside = (self.first >= block.offset) & (self.first < block.end)
        return np.flatnonzero(inside.all(axis=1))


def _select_objects(
    table: ObjectTable, rows: npt.NDArray[np.intp], pair: ScoredPair
) -> _SideObjects:
    first = np.stack(np.unravel_index(table.first_voxels[rows], pair.predicted.shape), axis=1)
    return _SideObjects(rows, first, table.low[rows], table.high[rows], table.are_instances)


@dataclass(frozen=True)
class _BoxArrays:
    """Objects of both sides in a box, and the scored voxels."""

    box: Roi
    sides: tuple[npt.NDArray[Any], npt.NDArray[Any]]
    scored: npt.NDArray[np.bool_]

    @classmethod
    def read(cls, pair: ScoredPair, box: Roi) -> "_BoxArrays":
        labels = pair.read_labels(box)
        scored = pair.make_truth(labels, box) != NOT_SCORED
        return cls(box, (pair.read_objects(box), clear_unlabelled(labels)), scored)

    def crop(self, box: Roi) -> "_BoxArrays":
        part = box.shift(negate(self.box.offset)).slices
        return _BoxArrays(box, (self.sides[0][part], self.sides[1][part]), self.scored[part])


def _measure_block_lines(
    block: Roi, *, pair: ScoredPair, sides: tuple[_SideObjects, ...], distance_nm: float
) -> Arrays:
    """Measure the centre lines of the objects whose first voxel is in a block."""
    results: dict[str, npt.NDArray[np.int64]] = {}
    reader = _BoxReader(pair, block, distance_nm)
    for index, side in enumerate(SIDES):
        chosen = sides[index].in_block(block)
        counts = np.zeros((2, len(chosen)), np.int64)
        for column, (number, arrays) in enumerate(reader.read(sides[index], chosen)):
            counts[:, column] = _measure_line(
                arrays, sides[index], number, index, pair, distance_nm
            )
        results[f"{side}_rows"] = sides[index].rows[chosen].astype(np.int64)
        results[f"{side}_covered"], results[f"{side}_length"] = counts
    return results


@dataclass
class _BoxReader:
    """Reads the boxes of objects with the distance around them: most from one larger box."""

    pair: ScoredPair
    block: Roi
    distance_nm: float
    shared: _BoxArrays | None = None

    def read(
        self, objects: _SideObjects, chosen: npt.NDArray[np.intp]
    ) -> Iterator[tuple[int, _BoxArrays]]:
        """Yield each object and the arrays of its box, grown by the distance."""
        halo = line_halo(self.distance_nm, self.pair.predicted.voxel_size)
        margin = per_axis(lambda h: h + SHARED_MARGIN, halo)
        shared_box = self.block.grow(margin).intersect(self.pair.roi)
        for number in chosen:
            box = Roi.from_bounds(*_corners(objects, number)).grow(halo).intersect(self.pair.roi)
            if not shared_box.contains(box):
                yield int(number), _BoxArrays.read(self.pair, box)
                continue
            if self.shared is None:
                self.shared = _BoxArrays.read(self.pair, shared_box)
            yield int(number), self.shared.crop(box)


def _corners(objects: _SideObjects, number: int) -> tuple[list[int], list[int]]:
    return objects.low[number].tolist(), objects.high[number].tolist()


def _measure_line(
    arrays: _BoxArrays,
    objects: _SideObjects,
    number: int,
    side: int,
    pair: ScoredPair,
    distance_nm: float,
) -> tuple[int, int]:
    """Return the covered and the scored voxels of the centre line of one object."""
    inner = Roi.from_bounds(*_corners(objects, number)).shift(negate(arrays.box.offset))
    own = arrays.sides[side][inner.slices]
    first = per_axis(lambda a, b: int(a - b), objects.first[number], objects.low[number])
    mask = select_object(own, int(own[first]), None if objects.are_instances else first)
    line = np.zeros(arrays.box.shape, np.bool_)
    line[inner.slices] = find_centre_line(mask, pair.predicted.voxel_size)
    line &= arrays.scored
    covered = count_covered(
        line, arrays.sides[1 - side] != 0, distance_nm, pair.predicted.voxel_size
    )
    return covered, int(np.count_nonzero(line))
