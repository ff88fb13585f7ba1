"""Graph of the lines of a skeleton: removal of spurs, and the number of branch points.

::

    before   o   o                 after
              o o                           a spur is a branch that does not protrude:
    o o o o o o o o o o o          o o o o o o o o o o o     it ends within the ball around its
                      o o                                    branch point, or near it
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from asem.measure.skeleton_lines import Line

MIN_PROTRUSION = 0.5
"""A branch is longer than this many depths of its branch point ..."""
MIN_PROTRUSION_VOXELS = 2
"""... and so many voxels ..."""
TAPER_FACTOR = 1.5
"""... and this times the difference of its depths: along a line into a corner or to a bump of the
surface, the depth decreases by 0.6 to 1 per unit of length."""
MERGE_RADII = 1.5
MERGE_VOXELS = 2
"""Branch points count as one if the line between them is shorter than so many radii and voxels:
two tubes that cross at 60 degrees run beside each other for 1.2 radii."""


@dataclass
class SkeletonGraph:
    """Lines and branch points, changed in place.

    Parameters
    ----------
    lines
        Lines by number.
    depths
        Depth of each branch point (`asem.measure.skeleton_lines.Line`), nm.
    lines_at
        Numbers of the lines at each branch point; twice if both ends of a line are there.
    """

    lines: dict[int, Line]
    depths: dict[int, float]
    lines_at: dict[int, list[int]]
    last_number: int = 0

    @classmethod
    def from_lines(cls, lines: Sequence[Line], nodes: Sequence[Line]) -> "SkeletonGraph":
        """Return the graph of traced lines (`asem.measure.skeleton_lines.trace_lines`)."""
        depths = {number: float(node.depths[0]) for number, node in enumerate(nodes)}
        graph = cls({}, depths, {number: [] for number in depths})
        for line in lines:
            graph.add(line)
        return graph

    def add(self, line: Line) -> int:
        """Add a line; return its number."""
        self.last_number += 1
        self.lines[self.last_number] = line
        for node in _ends(line):
            self.lines_at[node].append(self.last_number)
        return self.last_number

    def remove(self, number: int) -> Line:
        """Remove a line, and return it."""
        line = self.lines.pop(number)
        for node in _ends(line):
            self.lines_at[node] = [other for other in self.lines_at[node] if other != number]
        return line

    def remove_spur(self, number: int) -> list[int]:
        """Remove a branch or a loop; return the numbers of the lines that change.

        A branch point that keeps two lines vanishes: they become one line.
        """
        line = self.remove(number)
        changed = []
        for node in set(_ends(line)):
            left = self.lines_at[node]
            if len(left) <= 2:
                others = [self.remove(other) for other in dict.fromkeys(left)]
                del self.lines_at[node]
                changed.append(self.add(_join_at(node, others) if others else _point(line, node)))
        return changed


def _ends(line: Line) -> list[int]:
    """Return the branch points at the ends of a line."""
    return [node for node in (line.start, line.end) if node is not None]


def _point(line: Line, node: int) -> Line:
    """Return the end of a line at a branch point, as a line of one point."""
    end = slice(0, 1) if line.start == node else slice(-1, None)
    return replace(line.take(end), start=None, end=None)


def _join_at(node: int, lines: Sequence[Line]) -> Line:
    """Return the line that one or two lines form when the branch point between them vanishes."""
    first = lines[0] if lines[0].end == node else lines[0].reverse()
    if len(lines) == 2:
        second = lines[1] if lines[1].start == node else lines[1].reverse()
        return first.take(slice(0, -1)).join(second)
    if first.start == node:  # a loop
        return replace(first.take(slice(0, -1)), start=None, end=None, is_closed=True)
    return replace(first, end=None)


def measure_protrusion(line: Line, depths: Mapping[int, float]) -> float:
    """Return by how much a branch is longer than a spur, nm; infinite if it has no free end.

    A loop that starts and ends at one branch point is measured to its middle.

    Parameters
    ----------
    line
        A line.
    depths
        Depth of each branch point, nm.
    """
    nodes = _ends(line)
    is_loop = len(nodes) == 2 and nodes[0] == nodes[1]
    if len(nodes) != 1 and not is_loop:
        return inf
    depth = depths[nodes[0]]
    if is_loop:
        length, end_depth = line.length_nm / 2, line.depths.min()
    else:
        length, end_depth = line.length_nm, line.depths[0 if line.start is None else -1]
    return float(length - TAPER_FACTOR * (depth - end_depth) - MIN_PROTRUSION * depth)


def remove_spurs(graph: SkeletonGraph, voxel_nm: float) -> None:
    """Remove branches and loops that do not protrude, the shortest ones first.

    Parameters
    ----------
    graph
        Changed in place.
    voxel_nm
        Largest edge of a voxel, nm.
    """
    queue: list[tuple[float, int]] = []
    changed = list(graph.lines)
    limit_nm = MIN_PROTRUSION_VOXELS * voxel_nm
    while changed or queue:
        for number in changed:
            protrusion = measure_protrusion(graph.lines[number], graph.depths)
            if protrusion < limit_nm:
                heapq.heappush(queue, (protrusion, number))
        _, number = heapq.heappop(queue) if queue else (0, 0)
        changed = graph.remove_spur(number) if number in graph.lines else []


def count_branch_points(graph: SkeletonGraph, voxel_nm: float) -> int:
    """Return the number of branch points; those near each other count as one (`MERGE_RADII`).

    Parameters
    ----------
    graph
        Not changed.
    voxel_nm
        Largest edge of a voxel, nm.
    """
    group = {node: node for node in graph.lines_at}

    def root(node: int) -> int:
        while group[node] != node:
            node = group[node]
        return node

    for line in graph.lines.values():
        if line.start is None or line.end is None:
            continue
        radius = max(line.radii[0], line.radii[-1])
        if line.length_nm < MERGE_RADII * radius + MERGE_VOXELS * voxel_nm:
            group[root(line.start)] = root(line.end)
    return sum(node == root(node) for node in group)
