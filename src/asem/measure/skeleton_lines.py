"""Lines of skeleton voxels between branch points.

::

    o       o                    voxels with three or more neighbours that touch
      o   b                      are one branch point b; the other voxels form lines
        b o o o o                between branch points and free ends
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from asem.config import NmZYX

Points = npt.NDArray[np.float64]
"""Positions, nm along (z, y, x), (n, 3)."""
FORWARD_NEIGHBOURS = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
"""Half of the 26 neighbours: of each pair, the one that comes later in the array."""


@dataclass(frozen=True)
class Line:
    """A line of points between two branch points or free ends.

    Parameters
    ----------
    points
        Positions in order, nm. Those of branch points are included.
    radii
        Distance of each point to the background, nm, (n,).
    depths
        Half of the width of the object at each point, nm, (n,): larger than the radius in a sheet.
    start, end
        Branch points at its first and last point; None: a free end.
    is_closed
        A ring without a branch point: its last point is next to the first.
    """

    points: Points
    radii: npt.NDArray[np.float64]
    depths: npt.NDArray[np.float64]
    start: int | None = None
    end: int | None = None
    is_closed: bool = False

    @property
    def length_nm(self) -> float:
        """Length from point to point."""
        return float(self.arc_length[-1])

    @property
    def arc_length(self) -> npt.NDArray[np.float64]:
        """Distance along the line from its first point, nm, (n,); (n + 1,) of a ring."""
        points = np.concatenate([self.points, self.points[:1]]) if self.is_closed else self.points
        return measure_arc_length(points)

    @property
    def is_open(self) -> bool:
        """Whether both ends are free."""
        return self.start is None and self.end is None and not self.is_closed

    def reverse(self) -> "Line":
        """Return the line from its end to its start."""
        return replace(self.take(slice(None, None, -1)), start=self.end, end=self.start)

    def take(self, points: slice | npt.NDArray[np.intp]) -> "Line":
        """Return the line with some of its points."""
        return replace(
            self, points=self.points[points], radii=self.radii[points], depths=self.depths[points]
        )

    def join(self, other: "Line") -> "Line":
        """Return the line from the start of this one to the end of another."""
        return Line(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.radii, other.radii]),
            np.concatenate([self.depths, other.depths]),
            self.start,
            other.end,
        )


def measure_arc_length(points: Points) -> npt.NDArray[np.float64]:
    """Return the distance along a polyline from its first point, nm, (n,).

    Examples
    --------
    >>> measure_arc_length(np.array([[0.0, 0, 0], [0, 3, 4], [0, 3, 6]])).tolist()
    [0.0, 5.0, 7.0]
    """
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def trace_lines(
    skeleton: npt.NDArray[np.bool_],
    distance: npt.NDArray[np.float32],
    depth: npt.NDArray[np.float32],
    voxel_size: NmZYX,
) -> tuple[list[Line], list[Line]]:
    """Trace the lines of a skeleton one voxel wide.

    Parameters
    ----------
    skeleton
        Shape (z, y, x); its outermost voxels are background.
    distance
        Distance of each voxel to the background of the object, nm.
    depth
        Half of the width of the object at each voxel, nm.
    voxel_size
        nm.

    Returns
    -------
    lines
        Each one once, in an order that depends on the skeleton only.
    nodes
        The branch points, each one as a line of one point: the mean position of its voxels, their
        largest distance and depth.
    """
    voxels = np.flatnonzero(skeleton)
    places = np.stack(np.unravel_index(voxels, skeleton.shape), axis=1)
    values = [array.ravel()[voxels].astype(np.float64) for array in (distance, depth)]
    all_voxels = Line(places * np.array(voxel_size), values[0], values[1])
    pairs = _find_neighbours(voxels, skeleton.shape)
    node_of = _label_branch_points(pairs, len(voxels))
    nodes = [
        Line(
            all_voxels.points[is_part].mean(axis=0, keepdims=True),
            all_voxels.radii[is_part].max(keepdims=True),
            all_voxels.depths[is_part].max(keepdims=True),
        )
        for is_part in (node_of == node for node in range(node_of.max(initial=-1) + 1))
    ]
    lines = []
    for chain, start, end, is_closed in _trace_chains(pairs, node_of.tolist()):
        line = all_voxels.take(np.array(chain))
        line = line if start is None else nodes[start].join(line)
        line = line if end is None else line.join(nodes[end])
        lines.append(replace(line, start=start, end=end, is_closed=is_closed))
    return lines, nodes


def _find_neighbours(voxels: npt.NDArray[np.intp], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return the pairs of 26-neighbours among voxels, rows of `voxels`, (2, m)."""
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    pairs = []
    for step in FORWARD_NEIGHBOURS:
        neighbours = voxels + np.dot(step, strides)
        row = np.minimum(np.searchsorted(voxels, neighbours), len(voxels) - 1)
        found = np.flatnonzero(voxels[row] == neighbours)
        pairs.append(np.stack([found, row[found]]))
    return np.concatenate(pairs, axis=1)


def _label_branch_points(pairs: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Return the branch point of each voxel, -1 where it belongs to a line, (count,)."""
    is_branch = np.bincount(pairs.ravel(), minlength=count) >= 3
    if not is_branch.any():
        return np.full(count, -1)
    first, second = pairs[:, is_branch[pairs].all(axis=0)]
    graph = sparse.coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    _, groups = csgraph.connected_components(graph, directed=False)
    nodes = np.full(count, -1)
    nodes[is_branch] = np.unique(groups[is_branch], return_inverse=True)[1]
    return nodes


def _trace_chains(
    pairs: npt.NDArray[np.int64], node_of: list[int]
) -> Iterator[tuple[list[int], int | None, int | None, bool]]:
    """Yield the voxels of each line, the branch points at its ends, and whether it is a ring."""
    neighbours = _list_neighbours(pairs, len(node_of))
    left = {v for v, node in enumerate(node_of) if node < 0}
    for v in (v for v, node in enumerate(node_of) if node >= 0):
        for first in neighbours[v]:
            if first in left:
                chain = _follow(first, neighbours, left)
                ends = [u for u in neighbours[chain[-1]] if node_of[u] >= 0]
                if len(chain) == 1:
                    ends.remove(v)
                yield chain, node_of[v], node_of[ends[0]] if ends else None, False
    for v in (v for v, around in enumerate(neighbours) if len(around) < 2):
        if v in left:
            yield _follow(v, neighbours, left), None, None, False
    for v in range(len(node_of)):
        if v in left:
            yield _follow(v, neighbours, left), None, None, True


def _list_neighbours(pairs: npt.NDArray[np.int64], count: int) -> list[list[int]]:
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for a, b in pairs.T.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    return neighbours


def _follow(voxel: int, neighbours: list[list[int]], left: set[int]) -> list[int]:
    """Return a voxel and those after it along its line; remove them from those that are left."""
    chain = [voxel]
    left.discard(voxel)
    while onward := [u for u in neighbours[chain[-1]] if u in left]:
        chain.append(onward[0])
        left.discard(onward[0])
    return chain
