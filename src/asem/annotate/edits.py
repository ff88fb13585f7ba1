"""Edits of an annotator: brush strokes, and accepted or rejected objects.

An edit constrains voxels to foreground or background; a stroke can also erase. Coordinates are
voxels of the whole raw image; where edits overlap, the last one counts. A stroke of radius 1
through three points::

    . o o o o o . .
    o 1 + + + 2 o .      1 2 3   points of the pointer's path
    . o o o o o + o      +       on the lines between them, since a fast mouse skips voxels
    . . . . . o 3 o      o       within the radius
    . . . . . . o .
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from asem.annotate.brush_raster import rasterize_path
from asem.config import shorten
from asem.volume.roi import IntZYX, Roi, add, per_axis, subtract

FOREGROUND, BACKGROUND = STROKE_LABELS = 1, 2
"""Labels that edits constrain voxels to."""
ERASE = 0
"""Label of strokes that remove earlier edits."""
MAX_RADIUS = 1000
"""Maximum radius of a brush, voxels."""
MAX_COORDINATE = 10**6
"""Maximum distance from the origin along an axis, voxels; no volume is longer."""
ALLOWED_POINTS = f"points (z, y, x), integers within {MAX_COORDINATE}, at least one"
ALLOWED_RUNS = f"rows of z, y, x and length, integers within {MAX_COORDINATE}, at least one"

VoxelIndex = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Index of voxels of an array: their z, y and x."""


@dataclass(frozen=True)
class Stroke:
    """Brush stroke: one movement of the pointer on a plane.

    Parameters
    ----------
    label
        1 foreground, 2 background, 0 erase.
    axis
        Normal of the plane: 0 z, 1 y, 2 x.
    radius
        Voxels of the plane, whatever their size in nm. A voxel is covered if the distance of its
        centre to that of a voxel of the path is at most the radius; 0 draws the path alone.
    square
        The brush is a square that extends `radius` voxels to each side; else it is a disk.
    path
        Voxels (z, y, x) of the pointer's path, at least one; straight lines connect them. They may
        be outside the volume.

    Raises
    ------
    ValueError
        A value is of another type or range, or the path leaves its plane.

    Examples
    --------
    >>> stroke = Stroke(label=1, axis=0, radius=0, square=False, path=((5, 1, 0), (5, 3, 1)))
    >>> canvas = np.zeros((1, 4, 3), np.uint8)
    >>> canvas[stroke.covered_voxels(Roi((5, 0, 0), (1, 4, 3)))] = stroke.label
    >>> canvas.tolist()
    [[[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]]]
    """

    label: int
    axis: int
    radius: float
    square: bool
    path: tuple[IntZYX, ...]

    def __post_init__(self) -> None:
        if type(self.label) is not int or self.label not in (ERASE, *STROKE_LABELS):
            raise _value_error(
                "label of a stroke", "0 (erase), 1 (foreground), 2 (background)", self.label
            )
        if type(self.axis) is not int or self.axis not in range(3):
            raise _value_error("axis of a stroke", "0 (z), 1 (y), 2 (x)", self.axis)
        if type(self.radius) not in (int, float) or not 0 <= self.radius <= MAX_RADIUS:
            raise _value_error("radius of a stroke", f"0 to {MAX_RADIUS} voxels", self.radius)
        if type(self.square) is not bool:
            raise _value_error("square of a stroke", "True, False", self.square)
        if not _are_integer_rows(self.path, tuple, 3):
            raise _value_error("path of a stroke", ALLOWED_POINTS, self.path)
        planes = sorted({point[self.axis] for point in self.path})
        if len(planes) > 1:
            raise ValueError(
                f"the path of a stroke has to be in one plane; this one has planes {planes[0]} to "
                f"{planes[-1]} of axis {self.axis}"
            )

    @cached_property
    def box(self) -> Roi:
        """Smallest Roi with all covered voxels."""
        reach = per_axis(lambda axis: 0 if axis == self.axis else int(self.radius), range(3))
        along = list(zip(*self.path, strict=True))
        path = Roi.from_bounds(
            [min(positions) for positions in along], [max(positions) + 1 for positions in along]
        )
        return path.grow(reach)

    def covered_voxels(self, window: Roi) -> VoxelIndex:
        """Return the covered voxels of `window`, as an index into an array of the window."""
        part = window.intersect(self.box)
        z, y, x = np.nonzero(self._rasterize(part) if part.size else np.zeros(part.shape))
        to_z, to_y, to_x = subtract(part.offset, window.offset)
        return z + to_z, y + to_y, x + to_x

    def _rasterize(self, part: Roi) -> npt.NDArray[np.bool_]:
        """Return which voxels of `part`, a rectangle of the plane, are covered, in its shape."""
        in_plane = [axis for axis in range(3) if axis != self.axis]
        covered = rasterize_path(
            np.array(self.path, np.int64)[:, in_plane],
            self.radius,
            square=self.square,
            corner=np.array(part.offset)[in_plane],
            shape=np.array(part.shape)[in_plane],
        )
        return np.expand_dims(covered, self.axis)

    def to_json(self) -> dict[str, Any]:
        """Return the edit as JSON values for `edit_from_json`."""
        return {
            "mark": "stroke",
            "kind": self.label,
            "axis": self.axis,
            "radius": self.radius,
            "square": self.square,
            "path": list(map(list, self.path)),
        }


@dataclass(frozen=True, eq=False)
class ObjectDecision:
    """Accepted or rejected object: its voxels, and their label.

    Parameters
    ----------
    label
        1 foreground, 2 background.
    runs
        (n, 4), at least one: z, y and x of the first voxel of a run along x, and its length. Stored
        as int32, read-only.

    Raises
    ------
    ValueError
        A value is of another type or range.
    """

    label: int
    runs: npt.NDArray[np.integer]

    def __post_init__(self) -> None:
        if type(self.label) is not int or self.label not in STROKE_LABELS:
            raise _value_error("label of an object", "1 (foreground), 2 (background)", self.label)
        runs = self.runs
        is_table = runs.dtype.kind in "iu" and runs.ndim == 2 and runs.shape[1:] == (4,)
        if (
            not (is_table and runs.size)
            or runs.min() < -MAX_COORDINATE
            or runs.max() > MAX_COORDINATE
            or runs[:, 3].min() < 1
        ):
            raise _value_error("runs of an object", ALLOWED_RUNS, runs.tolist())
        stored = runs.astype(np.int32)
        stored.flags.writeable = False
        object.__setattr__(self, "runs", stored)

    @classmethod
    def from_mask(cls, label: int, mask: npt.NDArray[np.bool_], offset: IntZYX) -> Self:
        """Return the decision on the object of a mask.

        Parameters
        ----------
        label
            1 foreground, 2 background.
        mask
            Shape (z, y, x), True in the object.
        offset
            Position of the array's first voxel in raw.

        Raises
        ------
        ValueError
            The mask has another type or number of axes, or no voxel is True.

        Examples
        --------
        >>> mask = np.array([[[0, 1, 1, 0, 1]]], bool)
        >>> ObjectDecision.from_mask(1, mask, (7, 0, 10)).runs.tolist()
        [[7, 0, 11, 2], [7, 0, 14, 1]]
        """
        if mask.dtype != np.bool_ or mask.ndim != 3 or not mask.any():
            given = f"{mask.dtype} of shape {mask.shape}, {np.count_nonzero(mask)} not 0"
            raise _value_error("mask of an object", "bool, three axes, True somewhere", given)
        ends = np.diff(mask.view(np.int8), axis=2, prepend=0, append=0)
        first, behind = np.argwhere(ends == 1), np.argwhere(ends == -1)
        return cls(label, np.column_stack([first + offset, behind[:, 2] - first[:, 2]]))

    @cached_property
    def box(self) -> Roi:
        """Smallest Roi with all covered voxels."""
        z, y, x, length = self.runs.T
        last = (int(z.max()), int(y.max()), int((x + length).max()) - 1)
        return Roi.from_bounds((int(z.min()), int(y.min()), int(x.min())), add(last, (1, 1, 1)))

    def covered_voxels(self, window: Roi) -> VoxelIndex:
        """Return the covered voxels of `window`, as an index into an array of the window."""
        z, y, x, length = self.runs.T.astype(np.intp)
        z, y, x = per_axis(lambda along, offset: along - offset, (z, y, x), window.offset)
        first, behind = np.maximum(x, 0), np.minimum(x + length, window.shape[2])
        inside = (z >= 0) & (z < window.shape[0]) & (y >= 0) & (y < window.shape[1])
        inside &= first < behind
        lengths = (behind - first)[inside]
        if lengths.sum() > window.size:  # runs overlap
            sums = np.zeros((*window.shape[:2], window.shape[2] + 1), np.int32)
            np.add.at(sums, (z[inside], y[inside], first[inside]), 1)
            np.add.at(sums, (z[inside], y[inside], behind[inside]), -1)
            z, y, x = np.nonzero(sums.cumsum(axis=2)[:, :, :-1] > 0)
            return z, y, x
        z, y, first = per_axis(lambda along: np.repeat(along[inside], lengths), (z, y, first))
        return z, y, first + _concatenated_ranges(lengths)

    def to_json(self) -> dict[str, Any]:
        """Return the edit as JSON values for `edit_from_json`."""
        return {"mark": "decision", "kind": self.label, "runs": self.runs.tolist()}


Edit = Stroke | ObjectDecision


def edit_from_json(value: Any) -> Edit:
    """Return the edit of the JSON values that `to_json` returns.

    Raises
    ------
    ValueError
        The values are no edit; one line.
    """
    match value:
        case {
            "mark": "stroke",
            "kind": kind,
            "axis": axis,
            "radius": radius,
            "square": square,
            "path": path,
        } if len(value) == 6:
            if not _are_integer_rows(path, list, 3):
                raise _value_error("path of a stroke", ALLOWED_POINTS, path)
            return Stroke(kind, axis, radius, square, tuple((z, y, x) for z, y, x in path))
        case {"mark": "decision", "kind": kind, "runs": runs} if len(value) == 3:
            if not _are_integer_rows(runs, list, 4):
                raise _value_error("runs of an object", ALLOWED_RUNS, runs)
            return ObjectDecision(kind, np.array(runs))
    raise _value_error("keys of an edit", "those of a stroke or object, and mark: its type", value)


def _concatenated_ranges(lengths: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the concatenation of the ranges 0, 1, ... of several lengths.

    Examples
    --------
    >>> _concatenated_ranges(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    before: npt.NDArray[np.int64] = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) - np.repeat(before, lengths)


def _are_integer_rows(rows: Any, row_type: type, length: int) -> bool:
    """Return whether `rows`, at least one, all of `row_type`, are integers of allowed size.

    Types are compared, since True == 1 == 1.0.
    """
    types = {type(rows), *map(type, rows)} if isinstance(rows, (list, tuple)) else set()
    if types != {row_type} or not rows:
        return False
    numbers = list(chain.from_iterable(rows))
    are_integers = set(map(len, rows)) == {length} and set(map(type, numbers)) == {int}
    return are_integers and min(numbers) >= -MAX_COORDINATE and max(numbers) <= MAX_COORDINATE


def _value_error(what: str, allowed: str, given: Any) -> ValueError:
    return ValueError(f"{what}: {allowed} (given: {shorten(given)})")
