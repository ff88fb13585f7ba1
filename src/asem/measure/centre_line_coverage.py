"""A score for thin annotations: how much of the centre line of an object is covered.

Annotations of a single row of voxels, as of nuclear pores and coated pits, make voxel scores of a
right prediction low, since predictions are thicker (paper, Results: F1 0.52, precision 0.35, recall
0.99 of nuclear pores). Here an object is found if the other side is within a distance of at least
half of the voxels of its centre line::

    truth         . . # # # # # # . .
    centre line   . . c c c c c c . .
    prediction    . . . . . # # # # .      within 1 voxel of 4 of 6 voxels: found
"""

from typing import Any

import edt
import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.image.components import label_components
from asem.image.mask_smoothing import fill_cavities
from asem.image.thinning import thin_to_lines
from asem.volume.roi import IntZYX, per_axis

MIN_COVERED = 0.5
"""Fraction of a centre line that must be covered."""
MAX_BOX_VOXELS = 2**25
"""Objects of a larger bounding box are not scored: they are no small, thin structures."""


def find_centre_line(mask: npt.NDArray[np.bool_], voxel_size: NmZYX) -> npt.NDArray[np.bool_]:
    """Return the centre line of an object: what thinning leaves (`asem.image.thinning`).

    Parameters
    ----------
    mask
        One object, shape (z, y, x), in its bounding box.
    voxel_size
        nm.
    """
    padded = fill_cavities(np.pad(mask, 1))
    line, _ = thin_to_lines(padded, edt.edt(padded, anisotropy=voxel_size, parallel=1), voxel_size)
    return np.ascontiguousarray(line[1:-1, 1:-1, 1:-1])


def select_object(
    labels: npt.NDArray[Any], label: int, first: IntZYX | None
) -> npt.NDArray[np.bool_]:
    """Return the voxels of one object in its bounding box.

    Parameters
    ----------
    labels
        Labels in the bounding box, unsigned.
    label
        Its label.
    first
        One of its voxels in the box: of the component (6 neighbours) that contains it; None: all
        voxels of the label.
    """
    mask = labels == label
    if first is None:
        return np.asarray(mask)
    components = label_components(mask.view(np.uint8))
    return np.asarray(components == components[first])


def count_covered(
    line: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], distance_nm: float, voxel_size: NmZYX
) -> int:
    """Count the voxels of a line within a distance of the foreground of the other side.

    Parameters
    ----------
    line
        Voxels that count, shape (z, y, x).
    other
        Foreground of the other side, in a box that reaches `line_halo` beyond them.
    distance_nm
        Largest distance between the centres of voxels, nm.
    voxel_size
        nm.
    """
    if distance_nm < min(voxel_size) or not other.any():
        return int(np.count_nonzero(line & other))
    finest = min(voxel_size)
    anisotropy = per_axis(lambda size: size / finest, voxel_size)
    distance = edt.edt(~other, anisotropy=anisotropy, parallel=1)[line]
    return int(np.count_nonzero(distance * finest <= distance_nm * (1 + 1e-6)))


def line_halo(distance_nm: float, voxel_size: NmZYX) -> IntZYX:
    """Return the voxels around a line within a distance."""
    return per_axis(lambda size: int(distance_nm / size * (1 + 1e-6)), voxel_size)


def is_found(
    covered: npt.NDArray[np.int64], length: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return which objects are found: of a centre line of scored voxels, of which half is covered.

    Parameters
    ----------
    covered, length
        Voxels of each centre line that are covered, and that are scored, (n,).
    """
    return (length > 0) & (covered >= MIN_COVERED * length)


def score_lines(
    predicted: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    truth: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    distance_nm: float,
) -> dict[str, Any]:
    """Return the objects found along their centre lines, precision, recall and F1.

    Recall is the fraction of truth objects that the prediction finds; precision the fraction of
    predicted objects that the truth finds.

    Parameters
    ----------
    predicted, truth
        Voxels of each centre line that are covered, and that are scored, (n,) each; objects with
        none of the latter do not count.
    distance_nm
        Distance within which a voxel is covered, nm.
    """
    found, counted = [], []
    for covered, length in (predicted, truth):
        found.append(int(np.count_nonzero(is_found(covered, length))))
        counted.append(int(np.count_nonzero(length)))
    precision, recall = (
        part / whole if whole else None for part, whole in zip(found, counted, strict=True)
    )
    total = (precision or 0.0) + (recall or 0.0)
    f1 = 2 * (precision or 0.0) * (recall or 0.0) / total if total else 0.0
    return {
        "distance_nm": distance_nm,
        "predicted_objects": counted[0],
        "predicted_found": found[0],
        "truth_objects": counted[1],
        "truth_found": found[1],
        "precision": precision,
        "recall": recall,
        "f1": f1 if any(counted) else None,
    }
