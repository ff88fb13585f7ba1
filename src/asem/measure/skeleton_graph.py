"""Graph of the lines of a skeleton: removal of spurs, and the number of branch points.

::

    before   o   o                 after
              o o                           a spur is a branch that does not protrude:
    o o o o o o o o o o o          o o o o o o o o o o o     it ends within the ball around its
                      o o                                    branch point, or near it
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from asem.measure.skeleton_lines import Line

MIN_PROTRUSION_RADII = 0.5
"""A branch is longer than this many radii of its branch point ..."""
MIN_PROTRUSION_VOXELS = 2
"""... and so many voxels ..."""
TAPER_FACTOR = 1.5
"""... and this times the difference of its radii: along a line into a corner or to a bump of the
surface, the radius decreases by 0.6 to 1 per unit of length."""


@dataclass
class SkeletonGraph:
    """Lines and branch points, changed in place.

    Parameters
    ----------
    lines
        Lines by number.
    radii
        Radius of each branch point, nm.
    lines_at
        Numbers of the lines at each branch point; twice if both ends of a line are there.
    """

    lines: dict[int, Line]
    radii: dict[int, float]
    lines_at: dict[int, list[int]] = field(init=False)
    last_number: int = field(init=False)

    def __post_init__(self) -> None:
        self.lines_at = {node: [] for node in self.radii}
        self.last_number = max(self.lines, default=0)
        for number, line in self.lines.items():
            self._attach(number, line)

    @classmethod
    def from_lines(cls, lines: Sequence[Line], radii: dict[int, float]) -> "SkeletonGraph":
        """Return the graph of traced lines (`asem.measure.skeleton_lines.trace_lines`)."""
        return cls(dict(enumerate(lines)), dict(radii))

    def protrusion_nm(self, number: int) -> float | None:
        """Return by how much a branch is longer than a spur; None: it has no free end.

        A loop that starts and ends at one branch point is measured to its middle.
        """
        line = self.lines[number]
        is_loop = line.start is not None and line.start == line.end
        if line.is_closed or (not is_loop and (line.start is None) == (line.end is None)):
            return None
        node = line.end if line.start is None else line.start
        assert node is not None
        radius = self.radii[node]
        length = line.length_nm / 2 if is_loop else line.length_nm
        free_end = line.radii[0] if line.start is None else line.radii[-1]
        end_radius = float(line.radii.min() if is_loop else free_end)
        return length - TAPER_FACTOR * (radius - end_radius) - MIN_PROTRUSION_RADII * radius

    def remove(self, number: int) -> list[int]:
        """Remove a line; return the numbers of the lines that change.

        A branch point that keeps two lines vanishes: they become one line.
        """
        line = self.lines.pop(number)
        nodes = {node for node in (line.start, line.end) if node is not None}
        changed = []
        for node in nodes:
            self.lines_at[node] = [n for n in self.lines_at[node] if n != number]
            changed += self._simplify(node, line)
        return changed

    def _simplify(self, node: int, removed: Line) -> list[int]:
        numbers = self.lines_at[node]
        if len(numbers) > 2:
            return []
        del self.lines_at[node]
        if not numbers:
            point = removed.points[:1] if removed.start == node else removed.points[-1:]
            return [self._add(Line(point, np.array([self.radii[node]])))]
        first = self._detach(numbers[0])
        if len(numbers) == 1:
            start, end = (None if n == node else n for n in (first.start, first.end))
            return [self._add(replace(first, start=start, end=end))]
        if numbers[0] == numbers[1]:
            return [self._add(Line(first.points[:-1], first.radii[:-1], is_closed=True))]
        second = self._detach(numbers[1])
        first = first if first.end == node else first.reverse()
        second = second if second.start == node else second.reverse()
        points = np.concatenate([first.points, second.points[1:]])
        radii = np.concatenate([first.radii, second.radii[1:]])
        return [self._add(Line(points, radii, first.start, second.end))]

    def _add(self, line: Line) -> int:
        self.last_number += 1
        self.lines[self.last_number] = line
        self._attach(self.last_number, line)
        return self.last_number

    def _attach(self, number: int, line: Line) -> None:
        for node in (line.start, line.end):
            if node is not None:
                self.lines_at[node].append(number)

    def _detach(self, number: int) -> Line:
        line = self.lines.pop(number)
        for node in (line.start, line.end):
            if node in self.lines_at and node is not None:
                self.lines_at[node] = [n for n in self.lines_at[node] if n != number]
        return line


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

    def push(numbers: Sequence[int]) -> None:
        for number in numbers:
            protrusion = graph.protrusion_nm(number)
            if protrusion is not None:
                heapq.heappush(queue, (protrusion, number))

    push(list(graph.lines))
    while queue and queue[0][0] < MIN_PROTRUSION_VOXELS * voxel_nm:
        _, number = heapq.heappop(queue)
        if number in graph.lines:
            push(graph.remove(number))


def count_branch_points(graph: SkeletonGraph) -> int:
    """Return the number of branch points; those in one ball of the object count as one."""
    group = {node: node for node in graph.lines_at}

    def root(node: int) -> int:
        while group[node] != node:
            node = group[node]
        return node

    for line in graph.lines.values():
        if line.start is None or line.end is None:
            continue
        if line.length_nm < max(graph.radii[line.start], graph.radii[line.end]):
            group[root(line.start)] = root(line.end)
    return sum(node == root(node) for node in group)
