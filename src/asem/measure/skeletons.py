"""Length and branch points of the centre line of one object.

The length of a tube is that of its axis from end to end: L of a cylinder or capsule of length L,
all branches of a tree, 2 pi R of a ring. That of an ellipsoid is its longest axis, from moments,
and that of another compact object its extent along its longest axis. Of flat objects (cisternae)
the centre line is not defined; they get a line across, or a tree.

Steps: fill cavities and smooth the surface, thin to lines, remove spurs, cut the tips of lines that
run into edges, smooth the lines, extend their ends to the surface.
"""

from dataclasses import dataclass, replace

import cc3d
import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.config import NmZYX
from asem.image.mask_smoothing import fill_cavities, smooth_surface
from asem.image.thinning import thin_to_lines
from asem.measure.centre_lines import cut_tips, extend_end, measure_to_surface, smooth_line
from asem.measure.longest_axis import LongestAxis, find_longest_axis
from asem.measure.skeleton_graph import SkeletonGraph, count_branch_points, remove_spurs
from asem.measure.skeleton_lines import Line, Points, measure_arc_length, trace_lines

MIN_PART = 0.01
"""Parts of an object that is not connected count from this fraction of its largest one on."""
COMPACT_RADII = 2.0
"""A line without branches that is shorter than so many radii is that of a compact object."""


@dataclass(frozen=True)
class Skeleton:
    """Centre lines of an object.

    Parameters
    ----------
    length_nm
        Length of all lines, with all branches.
    branch_points
        Branch points; those that are nearer to each other than 1.5 of their radii count as one.
    lines
        Points of each line, nm relative to the centre of the first voxel.
    """

    length_nm: float
    branch_points: int
    lines: list[Points]


def measure_skeleton(mask: npt.NDArray[np.bool_], voxel_size: NmZYX) -> Skeleton:
    """Measure the centre line of an object.

    Parts that are not connected (26 neighbours) are added, except for small ones (`MIN_PART`).

    Parameters
    ----------
    mask
        The object, shape (z, y, x), at least one voxel. What is beyond the array is background.
    voxel_size
        nm. Anisotropic voxels are not resampled: the distances to the surface, which determine the
        centre, are in nm.

    Examples
    --------
    >>> mask = np.zeros((7, 7, 40), bool)
    >>> mask[1:6, 1:6] = True
    >>> skeleton = measure_skeleton(mask, (5.0, 5.0, 5.0))
    >>> round(skeleton.length_nm), skeleton.branch_points
    (200, 0)
    """
    box = _bounding_box(mask)
    mask = fill_cavities(np.pad(mask[box], 1))
    smooth = _keep_large_parts(fill_cavities(smooth_surface(mask)))
    distance = edt.edt(smooth, anisotropy=voxel_size)
    skeleton, depth = thin_to_lines(smooth, distance, voxel_size)
    graph = SkeletonGraph.from_lines(*trace_lines(skeleton, distance, depth, voxel_size))
    remove_spurs(graph, max(voxel_size))
    parts = _Parts.from_mask(mask | smooth)
    found = [_find_centre_line(line, mask, parts, voxel_size) for line in graph.lines.values()]
    origin = np.array([place.start - 1 for place in box]) * voxel_size
    return Skeleton(
        length_nm=float(sum(measure_arc_length(points)[-1] for points in found)),
        branch_points=count_branch_points(graph, max(voxel_size)),
        lines=[points + origin for points in found],
    )


def _bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the box around an object: rounding must not depend on the background beyond it."""
    found = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    return tuple(slice(int(places[0]), int(places[-1]) + 1) for places in found)


def _keep_large_parts(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    parts, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    if count == 1:
        return mask
    sizes = np.bincount(parts.ravel())
    is_large = sizes >= MIN_PART * sizes[1:].max()
    is_large[0] = False
    return np.asarray(is_large[parts])


@dataclass(frozen=True)
class _Parts:
    """Connected parts of an object (26 neighbours): numbers from 1, and the box of each."""

    numbers: npt.NDArray[np.unsignedinteger]
    boxes: list[tuple[slice, ...]]

    @classmethod
    def from_mask(cls, mask: npt.NDArray[np.bool_]) -> "_Parts":
        numbers = cc3d.connected_components(mask, connectivity=26)
        return cls(numbers, ndimage.find_objects(numbers))

    def find_longest_axis(self, position: Points, voxel_size: NmZYX) -> LongestAxis:
        """Find the longest axis of the part at a position, nm, or of the nearest one.

        The mean position of the voxels of a branch point, which may have become the end of a line,
        can be beside the object.
        """
        number = int(self.numbers[tuple(np.rint(position / voxel_size).astype(int))])
        if number == 0:
            voxels = np.argwhere(self.numbers)
            distances = np.linalg.norm(voxels * voxel_size - position, axis=1)
            number = int(self.numbers[tuple(voxels[distances.argmin()])])
        box = self.boxes[number - 1]
        axis = find_longest_axis(self.numbers[box] == number, voxel_size)
        start = np.array([place.start for place in box]) * voxel_size
        return replace(axis, centre=axis.centre + start)


def _find_centre_line(
    line: Line, mask: npt.NDArray[np.bool_], parts: _Parts, voxel_size: NmZYX
) -> Points:
    """Return the points of the centre line of a line of the skeleton."""
    line = cut_tips(line, max(voxel_size))
    if line.is_open:
        widest = int(np.argmax(line.radii))
        centre, radius = line.points[widest], float(line.radii[widest])
        axis = parts.find_longest_axis(centre, voxel_size)
        if axis.is_of_ellipsoid:
            return axis.ends
        if line.length_nm < COMPACT_RADII * radius:
            ways = (axis.direction, -axis.direction)
            return np.stack(
                [
                    centre + way * measure_to_surface(centre, way, radius, mask, voxel_size)
                    for way in ways
                ]
            )
    points = smooth_line(line, voxel_size)
    if line.is_closed:
        return points
    if line.end is None:
        points = extend_end(points, float(line.radii[-1]), mask, voxel_size)
    if line.start is None:
        points = extend_end(points[::-1], float(line.radii[0]), mask, voxel_size)[::-1]
    return points
