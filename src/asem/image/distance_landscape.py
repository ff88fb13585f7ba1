"""The landscape of an object: distances to its surface, smoothed, whose peaks are its parts.

::

    object         . # # # # # # # # # # # .
                   . # # # # # # # # # # # .        two balls that touch
                   . # # # # # . # # # # # .
    landscape        1 2 3 2 1 1 1 2 3 2 1          peak 3, saddle 1, peak 3

The value of a voxel is that of the whole volume at once, bit by bit, for every block grid: it
depends on voxels within a halo only, and distances are rounded before they are added up.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import edt
import numba
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.config import NmZYX
from asem.image.cleanup import unlabelled_to_background
from asem.image.map_overlap import read_with_halo
from asem.structures import SplitConfig
from asem.volume.roi import IntZYX, Roi, add, per_axis
from asem.volume.volume import Volume

LANDSCAPE_VOXEL_BYTES = 40
"""Memory of each voxel of a block and its halo while its landscape is computed, bytes: labels and
their copy (up to 8 each), the probability, distances, and three passes of the Gaussian."""
STEPS_PER_NM = 64
"""Distances are integers of 1/64 nm."""
GAUSSIAN_RADIUS = 3.0
"""Radius of the Gaussian in standard deviations."""
MAX_PROBABILITY = 255
Landscape = npt.NDArray[np.int32]


def compute_landscape(
    labels: npt.NDArray[Any],
    voxel_size: NmZYX,
    config: SplitConfig,
    probability: npt.NDArray[np.uint8] | None = None,
) -> Landscape:
    r"""Return the landscape of labels: min(distance, maximum) * probability, smoothed.

    The distance is the Euclidean one from the centre of a voxel to that of the nearest voxel of
    another label or of the background. The border of the array is no surface.

    Parameters
    ----------
    labels
        Shape (z, y, x); 0 is background. Equal labels belong together.
    voxel_size
        nm.
    config
        Maximum of the distance and standard deviation of the Gaussian, nm.
    probability
        Probability of the foreground, 255 p, of the shape of `labels`. None: 1.

    Returns
    -------
    ndarray
        In 1/64 nm, shape of `labels`; 0 in the background.

    Examples
    --------
    >>> ball = np.array([[[0, 1, 1, 1, 1, 1, 0]]], np.uint8)
    >>> config = SplitConfig(smoothing_nm=0)
    >>> (compute_landscape(ball, (5, 5, 5), config) / 64).tolist()
    [[[0.0, 5.0, 10.0, 15.0, 10.0, 5.0, 0.0]]]
    """
    distance = edt.edt(
        np.ascontiguousarray(labels),
        anisotropy=voxel_size,
        black_border=False,
        parallel=numba.get_num_threads(),
    )
    values = np.minimum(distance, np.float32(config.max_distance_nm), out=distance)
    if probability is not None:
        values *= probability * np.float32(1 / MAX_PROBABILITY)
    values *= STEPS_PER_NM
    np.rint(values, out=values)
    for axis, (radius, edge) in enumerate(
        zip(_gaussian_radii(voxel_size, config), voxel_size, strict=True)
    ):
        if radius:
            sigma = config.smoothing_nm / edge
            values = ndimage.gaussian_filter1d(values, sigma, axis, radius=radius, mode="nearest")
    values[labels == 0] = 0
    return np.asarray(np.rint(values, out=values).astype(np.int32))


def _gaussian_radii(voxel_size: NmZYX, config: SplitConfig) -> IntZYX:
    return per_axis(lambda edge: ceil(GAUSSIAN_RADIUS * config.smoothing_nm / edge), voxel_size)


def landscape_halo(voxel_size: NmZYX, config: SplitConfig) -> IntZYX:
    """Return the voxels around a block on which its landscape depends.

    Examples
    --------
    >>> landscape_halo((8, 4, 4), SplitConfig(max_distance_nm=100, smoothing_nm=8))
    (15, 31, 31)
    """
    distances = per_axis(lambda edge: floor(config.max_distance_nm / edge), voxel_size)
    return add(distances, _gaussian_radii(voxel_size, config))


@dataclass(frozen=True)
class LandscapeSource:
    """Reads labels and computes their landscape. The object can be pickled.

    Parameters
    ----------
    segmentation
        The labels: 0 and the unlabelled id are background.
    config
        Settings of the landscape.
    probability
        Probability of the foreground, of the shape of `segmentation`; None: 1.
    """

    segmentation: Volume
    config: SplitConfig
    probability: Volume | None = None

    def read(self, block: Roi) -> tuple[npt.NDArray[Any], Landscape, tuple[slice, slice, slice]]:
        """Return the labels and the landscape of a block and of the voxels next to it.

        ::

            read     |-- halo --|1|--- block ---|1|-- halo --|    clipped to the volume

        Only the box of the objects is read with its halo.

        Returns
        -------
        labels, landscape
            Of the block and a margin of 1 voxel, clipped to the volume.
        core
            Index of the block in both.
        """
        labels, core = read_with_halo(self.segmentation, block, (1, 1, 1))
        labels = unlabelled_to_background(labels)
        landscape = np.zeros(labels.shape, np.int32)
        if labels[core].any():
            margin_start = per_axis(lambda start, part: start - part.start, block.offset, core)
            (objects,) = ndimage.find_objects((labels != 0).view(np.int8))
            in_volume = Roi.from_bounds(
                *zip(*((part.start, part.stop) for part in objects), strict=True)
            ).shift(margin_start)
            landscape[objects] = self._compute(in_volume)
        return labels, landscape, core

    def _compute(self, box: Roi) -> Landscape:
        halo = landscape_halo(self.segmentation.voxel_size, self.config)
        labels, core = read_with_halo(self.segmentation, box, halo)
        probability = None
        if self.probability is not None:
            probability, _ = read_with_halo(self.probability, box, halo)
        labels = unlabelled_to_background(labels)
        voxel_size = self.segmentation.voxel_size
        return compute_landscape(labels, voxel_size, self.config, probability)[core]
