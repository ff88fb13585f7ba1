"""Area of the smooth surface of objects, counted at the voxels on their borders.

The surface of an object is that of marching cubes (Lorensen and Cline, SIGGRAPH 1987) on its
anti-aliased indicator, in each cell of 2 x 2 x 2 voxel centres:

1. The indicator (1 in the object, else 0) is smoothed by the binomial filter (1 4 6 4 1) / 16 along
   each axis: a Gaussian of standard deviation 1 voxel, also where voxels are anisotropic.
2. h is the smoothed value minus 1/2 at voxels of the object, and 1/2 minus it at others. Where h is
   less than m = 3/64, it is replaced by m + 2 (m - h): no voxel changes sides, so that thin parts
   do not vanish, and the more the filter rounds an edge, the more the surface is moved back.
3. The surface crosses an edge between a voxel a of the object and b at h_a / (h_a + h_b) of its
   length. The crossings of a cell are connected to polygons (`asem.measure.surface_cells`), whose
   area is that of the triangles between their centroid and their sides.
4. Half of each triangle belongs to each of its two crossings, and a crossing to its voxel a. The
   surface of an object is the sum over its voxels: each voxel is in one block.

::

    # object     . background     o crossing, belongs to the # beside it

    . . . . .      mirrored at the border of the volume:
    . . o # #                                              # # o . .
    . o # # #      | o # # # o .    ->    . o # # # o | o # # # o .
    o # # # #      ^ border

Areas are integers (multiples of `area_unit_nm2`): their sums are the same for every block grid. All
objects have their full surface, also where they touch. Unlabelled voxels are background. There is
no surface at the border of the volume: the labels are mirrored there, and the surface ends there.

Mean errors over random orientations and positions (`benchmarks/surfaces.py`, benchmarks/README.md):
spheres, ellipsoids, tori and cylinders of a radius of 6 voxels or more, with the sharp edges of
cylinders, -0.6 to 1.0 %; plates of 2 voxels or more, -0.2 to 2 %; plates of 1 voxel 5 %, tubes of 3
voxels 6 % and of 2 voxels 11 % too large.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.measure.object_columns import BlockObjects, Columns, Reduction
from asem.measure.surface_cells import HALO, find_voxel_areas
from asem.volume.roi import Roi, per_axis, subtract
from asem.volume.volume import Volume

UNITS_PER_FACE = 2**24
SURFACE_REDUCTIONS: Mapping[str, Reduction] = {"surface": "sum"}
"""Column of `sum_surface`, int64, and how it merges."""
SURFACE_VOXEL_BYTES = 40
"""Memory of each voxel of a block while its surface is found, bytes."""
Areas = npt.NDArray[np.uint32]
"""Area of the surface that belongs to each voxel, in units of `area_unit_nm2`, axes (z, y, x)."""


def area_unit_nm2(voxel_size: NmZYX) -> float:
    """Return the unit of stored areas: the largest face of a voxel / 2^24, nm^2.

    All areas of a voxel are below 2^32 units, and 2^37 of them below 2^63.

    Examples
    --------
    >>> area_unit_nm2((5.0, 4.0, 4.0)) * 2**24
    20.0
    """
    z, y, x = voxel_size
    return max(z * y, z * x, y * x) / UNITS_PER_FACE


def read_with_mirrored_halo(volume: Volume, block: Roi) -> npt.NDArray[np.generic]:
    """Read a block with the halo of `find_areas`, mirrored at the border of the volume.

    ::

        volume        a b c d
        read      c b a | a b c d | d c b     (numpy's "symmetric")

    Parameters
    ----------
    volume
        The labels.
    block
        In voxels of `volume`.
    """
    needed = block.grow((HALO, HALO, HALO))
    read = needed.intersect(volume.roi)
    before, after = subtract(read.offset, needed.offset), subtract(needed.end, read.end)
    return np.pad(volume.read(read), per_axis(lambda a, b: (a, b), before, after), "symmetric")


def find_areas(labels: npt.NDArray[np.generic], voxel_size: NmZYX) -> Areas:
    """Return the area of the surface of its object that belongs to each voxel of a block.

    Parameters
    ----------
    labels
        The block with its halo (`read_with_mirrored_halo`), unsigned; 0 and the maximum of the
        dtype are background.
    voxel_size
        nm along (z, y, x).

    Returns
    -------
    areas
        Shape of the block; 0 inside of objects and in the background.

    Examples
    --------
    A plane of 5 x 5 voxels between two objects has 25 nm^2 of the surface of each.

    >>> labels = np.ones((8, 11, 11), np.uint8)
    >>> labels[4:] = 2
    >>> areas = find_areas(labels, (1.0, 1.0, 1.0)) * area_unit_nm2((1.0, 1.0, 1.0))
    >>> areas.sum(axis=(1, 2)).tolist()
    [25.0, 25.0]
    """
    return np.asarray(
        find_voxel_areas(
            BlockObjects.from_labels(labels).numbers(labels.shape),
            np.array(voxel_size),
            area_unit_nm2(voxel_size),
        )
    )


def sum_surface(objects: BlockObjects, areas: Areas) -> Columns:
    """Return the column of `SURFACE_REDUCTIONS` of the objects of a block."""
    return {"surface": objects.sum(areas)}


def derive_surface(sums: Columns, voxel_size: NmZYX) -> Columns:
    """Return the surface of objects, float64, (n,).

    Parameters
    ----------
    sums
        Merged columns of `sum_surface`.
    voxel_size
        nm along (z, y, x).
    """
    return {"surface_um2": sums["surface"] * (area_unit_nm2(voxel_size) / 1e6)}
