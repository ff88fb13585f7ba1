"""What an annotator marks: strokes of a brush, and verdicts on objects that a cut has found.

A mark binds voxels to foreground or background; a stroke can also erase. Marks are in raw's voxels,
whatever part of it is looked at; of two marks on a voxel the later one holds. A stroke of radius 1
through three points::

    . o o o o o . .
    o 1 + + + 2 o .      1 2 3   points that the pointer passed
    . o o o o o + o      +       filled in, since a fast mouse leaves voxels out
    . . . . . o 3 o      o       within the radius
    . . . . . . o .
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import excerpt
from asem.volume.roi import Roi, Triple, add, subtract

FOREGROUND, BACKGROUND = KINDS = 1, 2
"""Codes of what strokes and verdicts bind voxels to."""
ERASE = 0
"""Code of strokes that take away what was drawn before."""
MOST_RADIUS = 1000
"""Voxels; no brush is wider."""
FARTHEST = 10**6
"""Voxels from the origin along an axis; no volume is longer."""
POINTS = f"points (z, y, x), whole numbers within {FARTHEST}, one at least"
RUNS = f"rows of z, y, x and length, whole numbers within {FARTHEST}, one at least"

Index = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Voxels of an array: their z, y and x."""


@dataclass(frozen=True)
class Stroke:
    """What one movement of the pointer draws on a plane.

    Parameters
    ----------
    kind
        1 foreground, 2 background, 0 erase.
    axis
        Normal of the plane: 0 z, 1 y, 2 x.
    radius
        Voxels of the plane, whatever their size in nm. A voxel is covered where its centre is no
        farther from the centre of a voxel of the path; 0 draws the path alone.
    square
        The brush is a square that reaches `radius` voxels to each side; else it is round.
    path
        Voxels (z, y, x) that the pointer passed, at least one; straight lines join them. They may
        lie outside the volume.

    Raises
    ------
    ValueError
        A value is of another type or range, or the path leaves its plane.

    Examples
    --------
    >>> stroke = Stroke(kind=1, axis=0, radius=0, square=False, path=((5, 1, 0), (5, 3, 1)))
    >>> canvas = np.zeros((1, 4, 3), np.uint8)
    >>> canvas[stroke.covered(Roi((5, 0, 0), (1, 4, 3)))] = stroke.kind
    >>> canvas.tolist()
    [[[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]]]
    """

    kind: int
    axis: int
    radius: float
    square: bool
    path: tuple[Triple, ...]

    def __post_init__(self) -> None:
        if type(self.kind) is not int or self.kind not in (ERASE, *KINDS):
            raise _fault("kind of a stroke", "0 (erase), 1 (foreground), 2 (background)", self.kind)
        if type(self.axis) is not int or self.axis not in range(3):
            raise _fault("axis of a stroke", "0 (z), 1 (y), 2 (x)", self.axis)
        if type(self.radius) not in (int, float) or not 0 <= self.radius <= MOST_RADIUS:
            raise _fault("radius of a stroke", f"0 to {MOST_RADIUS} voxels", self.radius)
        if type(self.square) is not bool:
            raise _fault("square of a stroke", "True, False", self.square)
        if not _are_whole(self.path, tuple, 3):
            raise _fault("path of a stroke", POINTS, self.path)
        planes = sorted({point[self.axis] for point in self.path})
        if len(planes) > 1:
            raise ValueError(
                f"the path of a stroke has to lie in one plane; this one passes planes {planes[0]} "
                f"to {planes[-1]} of axis {self.axis}"
            )

    @cached_property
    def box(self) -> Roi:
        """The smallest Roi that holds what it covers."""
        z, y, x = (0 if axis == self.axis else int(self.radius) for axis in range(3))
        along = list(zip(*self.path, strict=True))
        path = Roi.between([min(places) for places in along], [max(places) + 1 for places in along])
        return path.grow((z, y, x))

    def covered(self, window: Roi) -> Index:
        """Return the voxels of `window` that it covers, as an index into an array of the window."""
        part = window.intersect(self.box)
        z, y, x = np.nonzero(self._swept(part) if part.size else np.zeros(part.shape))
        to_z, to_y, to_x = subtract(part.offset, window.offset)
        return z + to_z, y + to_y, x + to_x

    def _swept(self, part: Roi) -> npt.NDArray[np.bool_]:
        """Return which voxels of `part`, a piece of the plane, are covered, in its shape.

        Nothing but the path within reach of `part` is drawn, so that neither the length of the path
        nor the radius costs more than the piece and what lies within reach of it.
        """
        across = [axis for axis in range(3) if axis != self.axis]
        reach = int(self.radius)
        corner, size = np.array(part.offset)[across] - reach, np.array(part.shape)[across]
        drawn = np.zeros(size + 2 * reach, np.bool_)
        rows = np.zeros(len(drawn), np.bool_)
        _draw_lines(np.array(self.path, np.int64)[:, across] - corner, drawn, rows)
        steps = np.arange(reach + 1)
        halves = np.sqrt(self.radius**2 - steps**2).astype(np.int64)
        changes = np.zeros((size[0] + 1, size[1]), np.int32)
        if self.square:
            halves[:] = reach
        _add_runs(drawn, np.flatnonzero(rows), halves, changes)
        return np.expand_dims(changes.cumsum(axis=0)[:-1] > 0, self.axis)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, which `mark_of` reads."""
        return {
            "mark": "stroke",
            "kind": self.kind,
            "axis": self.axis,
            "radius": self.radius,
            "square": self.square,
            "path": list(map(list, self.path)),
        }


@dataclass(frozen=True, eq=False)
class Verdict:
    """The voxels of an object that the annotator accepted or rejected.

    Parameters
    ----------
    kind
        1 foreground, 2 background.
    runs
        (n, 4), at least one: z, y and x of the first voxel of a run along x, and its length. Kept
        as int32, read-only.

    Raises
    ------
    ValueError
        A value is of another type or range.
    """

    kind: int
    runs: npt.NDArray[np.integer]

    def __post_init__(self) -> None:
        if type(self.kind) is not int or self.kind not in KINDS:
            raise _fault("kind of a verdict", "1 (foreground), 2 (background)", self.kind)
        runs = self.runs
        right = runs.dtype.kind in "iu" and runs.ndim == 2 and runs.shape[1] == 4 and runs.size > 0
        if not right or runs.min() < -FARTHEST or runs.max() > FARTHEST or runs[:, 3].min() < 1:
            raise _fault("runs of a verdict", RUNS, runs.tolist())
        kept = runs.astype(np.int32)
        kept.flags.writeable = False
        object.__setattr__(self, "runs", kept)

    @classmethod
    def of(cls, kind: int, voxels: npt.NDArray[np.bool_], offset: Triple) -> Self:
        """Make it of an array.

        Parameters
        ----------
        kind
            1 foreground, 2 background.
        voxels
            Shape (z, y, x), True in the object.
        offset
            Of the array's first voxel in raw.

        Raises
        ------
        ValueError
            It is no such array, or no voxel is True.

        Examples
        --------
        >>> Verdict.of(1, np.array([[[0, 1, 1, 0, 1]]], bool), (7, 0, 10)).runs.tolist()
        [[7, 0, 11, 2], [7, 0, 14, 1]]
        """
        if voxels.dtype != np.bool_ or voxels.ndim != 3 or not voxels.any():
            given = f"{voxels.dtype} of shape {voxels.shape}, {np.count_nonzero(voxels)} not 0"
            raise _fault("object of a verdict", "bool, three axes, True somewhere", given)
        ends = np.diff(voxels.view(np.int8), axis=2, prepend=0, append=0)
        first, behind = np.argwhere(ends == 1), np.argwhere(ends == -1)
        return cls(kind, np.column_stack([first + offset, behind[:, 2] - first[:, 2]]))

    @cached_property
    def box(self) -> Roi:
        """The smallest Roi that holds what it covers."""
        z, y, x, length = self.runs.T
        last = (int(z.max()), int(y.max()), int((x + length).max()) - 1)
        return Roi.between((int(z.min()), int(y.min()), int(x.min())), add(last, (1, 1, 1)))

    def covered(self, window: Roi) -> Index:
        """Return the voxels of `window` that it covers, as an index into an array of the window."""
        z, y, x, length = self.runs.T.astype(np.intp)
        z, y, x = (along - o for along, o in zip((z, y, x), window.offset, strict=True))
        first, behind = np.maximum(x, 0), np.minimum(x + length, window.shape[2])
        inside = (z >= 0) & (z < window.shape[0]) & (y >= 0) & (y < window.shape[1])
        inside &= first < behind
        lengths = (behind - first)[inside]
        if lengths.sum() > window.size:  # runs lie over each other
            sums = np.zeros((*window.shape[:2], window.shape[2] + 1), np.int32)
            np.add.at(sums, (z[inside], y[inside], first[inside]), 1)
            np.add.at(sums, (z[inside], y[inside], behind[inside]), -1)
            z, y, x = np.nonzero(sums.cumsum(axis=2)[:, :, :-1] > 0)
            return z, y, x
        z, y, first = (np.repeat(along[inside], lengths) for along in (z, y, first))
        return z, y, first + _counted(lengths)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, which `mark_of` reads."""
        return {"mark": "verdict", "kind": self.kind, "runs": self.runs.tolist()}


Mark = Stroke | Verdict


def mark_of(value: Any) -> Mark:
    """Read a mark from JSON values, as `to_json` gives them.

    Raises
    ------
    ValueError
        They are no mark; one line.
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
            if not _are_whole(path, list, 3):
                raise _fault("path of a stroke", POINTS, path)
            return Stroke(kind, axis, radius, square, tuple((z, y, x) for z, y, x in path))
        case {"mark": "verdict", "kind": kind, "runs": runs} if len(value) == 3:
            if not _are_whole(runs, list, 4):
                raise _fault("runs of a verdict", RUNS, runs)
            return Verdict(kind, np.array(runs))
    raise _fault("keys of a mark", "those of Stroke or Verdict, and mark: their name", value)


@njit(cache=True, nogil=True)
def _draw_lines(path, drawn, rows):  # type: ignore[no-untyped-def]
    """Join the points of a path, (n, 2), by straight lines of voxels without gaps.

    Only those in `drawn` are visited, whatever lies beyond; `rows` notes in which rows some are.
    """
    size = drawn.shape
    for n in range(len(path)):
        start, way = path[n], path[min(n + 1, len(path) - 1)] - path[n]
        steps = max(abs(way[0]), abs(way[1]), 1)  # 1: the last point, or one given twice
        first, behind = 0, steps
        for axis in range(2):
            if way[axis] == steps:
                first, behind = max(first, -start[axis]), min(behind, size[axis] - start[axis])
            elif way[axis] == -steps:
                first, behind = (
                    max(first, start[axis] - size[axis] + 1),
                    min(behind, start[axis] + 1),
                )
        for step in range(first, behind):  # rounded, half up
            row = start[0] + (2 * way[0] * step + steps) // (2 * steps)
            column = start[1] + (2 * way[1] * step + steps) // (2 * steps)
            if 0 <= row < size[0] and 0 <= column < size[1]:
                drawn[row, column] = rows[row] = True


@njit(cache=True, nogil=True)
def _add_runs(drawn, rows, halves, changes):  # type: ignore[no-untyped-def]
    """Add 1 to `changes` where a run along a column begins, and take 1 away behind it.

    A brush at a voxel that is `halves[d]` high at a distance of d columns covers, of each column, a
    run of rows; of several voxels in a row, the run of the nearest holds all others.
    """
    reach, (behind, width) = len(halves) - 1, changes.shape
    height, distances = behind - 1, np.empty(width, np.int64)
    for i in rows:
        _nearest(drawn[i], reach, distances)
        for k in range(width):
            if distances[k] <= reach:
                half = halves[distances[k]]
                first, end = max(i - reach - half, 0), min(i - reach + half + 1, height)
                if first < end:
                    changes[first, k] += 1
                    changes[end, k] -= 1


@njit(cache=True, nogil=True)
def _nearest(row, reach, distances):  # type: ignore[no-untyped-def]
    """Fill in how far the nearest drawn voxel of a row is, from `reach` voxels behind its begin."""
    width, last = len(distances), -2 * len(row)
    for x in range(reach + width):
        if row[x]:
            last = x
        if x >= reach:
            distances[x - reach] = x - last
    last = 4 * len(row)
    for x in range(len(row) - 1, reach - 1, -1):
        if row[x]:
            last = x
        if x < reach + width:
            distances[x - reach] = min(distances[x - reach], last - x)


def _counted(lengths: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return 0, 1, ... of each length, one after the other.

    Examples
    --------
    >>> _counted(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    before: npt.NDArray[np.int64] = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) - np.repeat(before, lengths)


def _are_whole(rows: Any, kind: type, length: int) -> bool:
    """Whether `rows`, a list of lists or whatever `kind`, are whole numbers not too far away.

    At least one row is needed. Types are looked at, since True == 1 == 1.0.
    """
    if not isinstance(rows, (list, tuple)) or {type(rows), *map(type, rows)} != {kind} or not rows:
        return False
    numbers = list(chain.from_iterable(rows))
    right = set(map(len, rows)) == {length} and set(map(type, numbers)) == {int}
    return right and min(numbers) >= -FARTHEST and max(numbers) <= FARTHEST


def _fault(what: str, allowed: str, given: Any) -> ValueError:
    return ValueError(f"{what}: {allowed} (given: {excerpt(given)})")
