"""Measure objects: a function of one block returns columns, and columns of all blocks are merged.

Rows belong to objects, or to pairs of objects: those with equal keys (`ID`, or `ID` and `OTHER_ID`)
are merged.

::

    x         0 1 2   3 4 5      columns    of A         of B         merged
    block A   1 1 4 | 4 4 9      id         1  4         4  9         1  4  9
              1 . 4 | . 9 9      voxels     3  2         2  3         3  4  3    sum
                block B          last_x     1  2         4  5         1  4  5    max

Sums of integers, minima and maxima equal those of the whole volume at once, for every block grid.
Floats are summed in the order of the blocks, whatever the order in which they finish; another block
grid may change the last digits. A measurement that depends on neighbours, such as a surface, reads
them with a halo and counts each one in one block only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.block_results import BlockResults
from asem.image.labels import is_foreground
from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX, Roi

ID = "id"
"""Column of the ids, uint64."""
OTHER_ID = "other_id"
"""Column of the ids of the other objects of pairs, uint64."""
MEASURED_VOXEL_BYTES = 40
"""Memory of each voxel of a block in `BlockObjects`, bytes: up to 8 each for labels, their objects
and an image, and for copies."""
MIN_MERGED_ROWS = 2**20
"""Rows of blocks are merged when they are at least so many, which limits memory."""
Columns = dict[str, npt.NDArray[Any]]
"""Columns of equal length, one row per object or pair: keys uint64, others int64 or float64."""
BlockMeasurement = Callable[[Roi], Mapping[str, npt.NDArray[Any]]]
"""Returns the columns of the objects of a block. Must be picklable: other processes call it."""
Reduction = Literal["sum", "min", "max"]
_UFUNCS: dict[Reduction, np.ufunc] = {"sum": np.add, "min": np.minimum, "max": np.maximum}


@dataclass(frozen=True)
class BlockObjects:
    """Objects of a block, and the object of each voxel.

    Parameters
    ----------
    ids
        Their ids, ascending, (n,).
    rows
        Row in `ids` of each voxel's object; n: background or unlabelled; intp, (voxels,).

    Examples
    --------
    >>> objects = BlockObjects.from_labels(np.array([[[7, 7, 0, 2, 255]]], np.uint8))
    >>> objects.ids.tolist(), objects.count().tolist()
    ([2, 7], [1, 2])
    >>> objects.max(np.array([[[4.0, 6.0, 9.0, 5.0, 9.0]]])).tolist()
    [5.0, 6.0]
    """

    ids: npt.NDArray[np.unsignedinteger]
    rows: npt.NDArray[np.intp]

    @classmethod
    def from_labels(cls, labels: npt.NDArray[Any]) -> "BlockObjects":
        """Find the objects of instances, unsigned, shape (z, y, x)."""
        flat = labels.ravel()
        starts = np.flatnonzero(np.concatenate([np.ones(1, bool), flat[1:] != flat[:-1]]))
        values, run_values = np.unique(flat[starts], return_inverse=True)  # few runs, many voxels
        present = is_foreground(values)
        row_of_value = np.where(present, np.cumsum(present) - 1, np.count_nonzero(present))
        run_lengths = np.diff(starts, append=flat.size)
        return cls(values[present], np.repeat(row_of_value[run_values], run_lengths))

    def numbers(self, shape: IntZYX) -> npt.NDArray[np.uint32]:
        """Return the row of each voxel's object plus 1, 0 where there is none, as an image."""
        numbers = self.rows.astype(np.uint32)
        numbers += 1
        numbers[numbers == len(self.ids) + 1] = 0
        return numbers.reshape(shape)

    def count(self) -> npt.NDArray[np.int64]:
        """Return the voxels of each object, (n,)."""
        counts = np.bincount(self.rows, minlength=len(self.ids) + 1)
        return counts[:-1].astype(np.int64, copy=False)

    def sum(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the sum of an image over each object, int64 or float64, (n,)."""
        return self._reduce("sum", values)

    def min(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the minimum of an image over each object, int64 or float64, (n,)."""
        return self._reduce("min", values)

    def max(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the maximum of an image over each object, int64 or float64, (n,)."""
        return self._reduce("max", values)

    def _reduce(self, reduction: Reduction, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        flat = _to_64_bits(values, "the image").ravel()
        return _reduce_rows(reduction, self.rows, flat, len(self.ids) + 1)[:-1]


def measure_objects(
    output: BlockOutput,
    measure_block: BlockMeasurement,
    reductions: Mapping[str, Reduction],
    *,
    stage: str,
    keys: Sequence[str] = (ID,),
    voxel_bytes: int = MEASURED_VOXEL_BYTES,
) -> Columns:
    """Measure the objects of all blocks, and merge the rows of each object.

    A resumed run measures only the blocks that are not done.

    Parameters
    ----------
    output
        Runs the blocks and stores their columns.
    measure_block
        Returns the columns of `keys` and those that `reductions` names, integers or floats, (n,).
    reductions
        How to merge each column: ``"sum"`` (of integers: below 2^63), ``"min"`` or ``"max"``.
    stage
        Name in the journal, the progress and the results.
    keys
        `ID`, or `ID` and `OTHER_ID` for pairs.
    voxel_bytes
        Memory of each voxel of a block, in bytes.

    Returns
    -------
    dict
        Columns with one row per object or pair, in the order of the keys.

    Raises
    ------
    ValueError
        `measure_block` returns other columns or dtypes.
    """
    blocks = output.write_blocks()
    results = output.store_block_results(
        partial(
            _measure_block, measure_block=measure_block, keys=tuple(keys), names=tuple(reductions)
        ),
        blocks,
        stage=stage,
        block_bytes=voxel_bytes * max(block.size for block in blocks),
    )
    parts = (_load_columns(results, block, keys, reductions) for block in blocks)
    return merge_columns(parts, reductions, keys)


def _measure_block(
    block: Roi, *, measure_block: BlockMeasurement, keys: Sequence[str], names: Sequence[str]
) -> Columns:
    """Measure a block; convert its columns to the stored dtypes."""
    columns = measure_block(block)
    if set(columns) != {*keys, *names}:
        given, needed = (", ".join(sorted(group)) for group in (columns, {*keys, *names}))
        raise ValueError(f"the measurement returned the columns {given}, not {needed}")
    stored = {name: _to_64_bits(columns[name], name) for name in names}
    return {**{key: columns[key].astype(np.uint64) for key in keys}, **stored}


def _to_64_bits(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Convert integers to int64 and floats to float64."""
    dtype = np.float64 if values.dtype.kind == "f" else np.int64
    if not np.can_cast(values.dtype, dtype):
        raise ValueError(f"{name} is {values.dtype}; convert it to int64 or float64")
    return values.astype(dtype, copy=False)


def _load_columns(
    results: BlockResults, block: Roi, keys: Iterable[str], names: Iterable[str]
) -> Columns:
    """Load the columns of a block; raise OSError where they differ in length."""
    specs = {name: ArraySpec("uint64", (None,)) for name in keys}
    specs |= {name: ArraySpec("fi", (None,)) for name in names}
    columns = results.load(block, **specs)
    if len({len(values) for values in columns.values()}) > 1:
        raise results.make_damage_error(block)
    return columns


def merge_columns(
    parts: Iterable[Columns], reductions: Mapping[str, Reduction], keys: Sequence[str] = (ID,)
) -> Columns:
    """Merge the rows with equal keys.

    Memory: the merged rows, and once more as many, or `MIN_MERGED_ROWS`.

    Parameters
    ----------
    parts
        At least one; their order determines that of sums.
    reductions
        How to merge each column.
    keys
        Columns of ids.

    Examples
    --------
    >>> parts = [{"id": np.array([1, 4]), "n": np.array([3, 2])}]
    >>> parts += [{"id": np.array([4, 9]), "n": np.array([2, 3])}]
    >>> {name: values.tolist() for name, values in merge_columns(parts, {"n": "sum"}).items()}
    {'id': [1, 4, 9], 'n': [3, 4, 3]}
    """
    pending: list[Columns] = []
    rows, limit = 0, MIN_MERGED_ROWS
    for part in parts:
        pending.append(part)
        rows += len(part[keys[0]])
        if rows >= limit:
            pending = [_merge_rows(pending, reductions, keys)]
            rows = len(pending[0][keys[0]])
            limit = max(MIN_MERGED_ROWS, 2 * rows)
    return _merge_rows(pending, reductions, keys)


def _merge_rows(
    parts: Sequence[Columns], reductions: Mapping[str, Reduction], keys: Sequence[str]
) -> Columns:
    merged, rows = _find_distinct({key: np.concatenate([p[key] for p in parts]) for key in keys})
    count = len(merged[keys[0]])
    for name, reduction in reductions.items():
        dtypes = {part[name].dtype.name for part in parts}
        if len(dtypes) > 1:
            raise ValueError(f"{name} is {' and '.join(sorted(dtypes))} in different blocks")
        values = np.concatenate([part[name] for part in parts])
        merged[name] = _reduce_rows(reduction, rows, values, count)
    return merged


def _find_distinct(keys: Columns) -> tuple[Columns, npt.NDArray[np.intp]]:
    """Return the distinct rows of key columns, sorted, and for each row its position in them."""
    order = np.lexsort(list(keys.values())[::-1])
    is_first = np.ones(len(order), bool)
    ordered = [values[order] for values in keys.values()]
    is_first[1:] = np.logical_or.reduce([values[1:] != values[:-1] for values in ordered])
    rows = np.empty(len(order), np.intp)
    rows[order] = np.cumsum(is_first) - 1
    return dict(zip(keys, (values[is_first] for values in ordered), strict=True)), rows


def _reduce_rows(
    reduction: Reduction, rows: npt.NDArray[np.intp], values: npt.NDArray[Any], count: int
) -> npt.NDArray[Any]:
    """Return the reduction of the int64 or float64 values of each row, in their order, (count,)."""
    is_float, integers = values.dtype == np.float64, np.iinfo(np.int64)
    low, high = (-np.inf, np.inf) if is_float else (integers.min, integers.max)
    reduced = np.full(count, {"sum": 0, "min": high, "max": low}[reduction], values.dtype)
    _UFUNCS[reduction].at(reduced, rows, values)  # fast where both have the same dtype
    return reduced
