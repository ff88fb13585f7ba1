"""Exclusion zones of several widths, and the scores outside of each: a curve over the width.

The smallest zone that contains each voxel is found once; confusion counts for each zone, which add
up over blocks, then give the scores outside of every zone::

    labels              . . . . . # # # # # # # .
    zones of 1, 2, 3    3 3 2 1 0 0 1 2 2 1 0 0 0        index of the first zone that contains it
    outside of zone 1   s s s s . . s s s s . . .        voxels that are scored
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.image.labels import exclusion_zone, is_foreground, zone_halo
from asem.image.morphology import (
    MAX_STEPS,
    ElementShape,
    dilation_steps,
    zone_radii_in_voxels,
)
from asem.measure.segmentation_scores import ConfusionCounts
from asem.volume.roi import IntZYX

MIN_CURVE_NM = 40.0
"""Largest width of a curve, where twice that of the zone is less; nm."""


@dataclass(frozen=True)
class ZoneSeries:
    """Exclusion zones, each of which contains the one before.

    Parameters
    ----------
    widths_nm
        Width outside and inside of the borders of each zone, nm.
    outside, inside
        The widths in voxels along each axis (`asem.image.morphology.zone_radii_in_voxels`).
    shape
        ``"diamond"`` or ``"ball"``, as for `asem.image.labels.exclusion_zone`.
    """

    widths_nm: tuple[tuple[float, float], ...]
    outside: tuple[IntZYX, ...]
    inside: tuple[IntZYX, ...]
    shape: ElementShape = "diamond"

    @classmethod
    def of_widths(
        cls,
        widths_nm: Sequence[tuple[float, float]],
        voxel_size: NmZYX,
        shape: ElementShape = "diamond",
    ) -> "ZoneSeries":
        """Return the zones of widths outside and inside, nm, in ascending order.

        Examples
        --------
        >>> ZoneSeries.of_widths([(0, 0), (10, 5)], (5, 5, 5)).outside
        ((0, 0, 0), (2, 2, 2))
        """
        radii = [
            tuple(zone_radii_in_voxels(pair[side], voxel_size) for pair in widths_nm)
            for side in (0, 1)
        ]
        return cls(tuple(widths_nm), radii[0], radii[1], shape)

    @property
    def halo(self) -> IntZYX:
        """Voxels around a block on which its zones depend."""
        return zone_halo(self.outside[-1], self.inside[-1]) if self.outside else (0, 0, 0)

    def find_steps(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return for each voxel the index of the first zone that contains it.

        The index of a voxel of an object depends on its distance to the background only, that of
        the background on its distance to objects only; that of unlabelled voxels has no meaning.

        Parameters
        ----------
        labels
            Shape (z, y, x), unsigned; the maximum of the dtype is unlabelled.

        Returns
        -------
        ndarray
            Shape of the labels; the number of zones where none contains the voxel.
        """
        if len(self.outside) == 1:
            zone = exclusion_zone(labels, self.outside[0], self.inside[0], self.shape)
            return (~zone).view(np.uint8)
        foreground = is_foreground(labels)
        from_objects = dilation_steps(foreground, self.outside, self.shape)
        from_background = dilation_steps(labels == 0, self.inside, self.shape)
        return np.where(foreground, from_background, from_objects)


def plan_curve(
    zone_nm: tuple[float, float] | None, voxel_size: NmZYX, max_width_nm: float | None = None
) -> tuple[tuple[float, float], ...]:
    """Return the widths of a curve: 0, then steps of the finest edge of a voxel.

    The ratio of the widths outside and inside is that of the zone, or 1. The widths of the zone
    itself are among them, so that the curve contains its score.

    Parameters
    ----------
    zone_nm
        Widths of the exclusion zone outside and inside, nm; None: no zone.
    voxel_size
        nm.
    max_width_nm
        Larger width of the widest zone, nm; None: twice that of the zone, at least `MIN_CURVE_NM`.
        The zone itself is always included.

    Raises
    ------
    ValueError
        There would be more than `asem.image.morphology.MAX_STEPS` widths.

    Examples
    --------
    >>> plan_curve((20, 10), (10, 10, 10), 30)
    ((0.0, 0.0), (10.0, 5.0), (20, 10), (30.0, 15.0))
    """
    zone = zone_nm if zone_nm is not None and max(zone_nm) > 0 else None
    largest = max(zone) if zone else 0.0
    limit = max(2 * largest, MIN_CURVE_NM) if max_width_nm is None else max_width_nm
    step = min(voxel_size)
    steps = max(limit, largest) / step
    if not (limit >= 0 and steps < MAX_STEPS - 1):  # NaN, too
        raise ValueError(
            f"widths up to {limit:g} nm are {limit / step:.6g} steps of a voxel of {step:g} "
            f"nm; 0 to {MAX_STEPS - 2} are allowed: give another largest width in nm"
        )
    count = int(steps + 1e-6) + 1
    widths = {step * index for index in range(count)}
    ratio = (zone[0] / largest, zone[1] / largest) if zone else (1.0, 1.0)
    pairs = {width: (width * ratio[0], width * ratio[1]) for width in widths}
    if zone:
        near = [width for width in widths if abs(width - largest) <= 1e-6 * largest]
        pairs = {width: pair for width, pair in pairs.items() if width not in near}
        pairs[largest] = zone
    return tuple(pairs[width] for width in sorted(pairs))


def confusion_outside(counts: npt.NDArray[np.int64], zone: int) -> ConfusionCounts:
    """Return the confusion counts outside of a zone.

    Parameters
    ----------
    counts
        Scored voxels by truth (0 background, 1 foreground), prediction (0, 1), and index of the
        first zone that contains them, (2, 2, zones + 1).
    zone
        Index of the zone; -1: none, all voxels.
    """
    outside = counts[:, :, zone + 1 :].sum(axis=2)
    return ConfusionCounts(
        true_positives=int(outside[1, 1]),
        false_positives=int(outside[0, 1]),
        false_negatives=int(outside[1, 0]),
        scored_voxels=int(outside.sum()),
    )


def score_curve(
    counts: npt.NDArray[np.int64], widths_nm: Sequence[tuple[float, float]]
) -> list[dict[str, Any]]:
    """Return a row of scores for each zone: its widths in nm, precision, recall, F1, IoU, voxels.

    Parameters
    ----------
    counts
        As for `confusion_outside`.
    widths_nm
        Of the zones.
    """
    return [
        {"out_nm": out_nm, "in_nm": in_nm, **confusion_outside(counts, index).scores()}
        for index, (out_nm, in_nm) in enumerate(widths_nm)
    ]
