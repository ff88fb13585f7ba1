"""Smooth random fields over a patch: splines on a grid of nodes, linear between the nodes."""

import numpy as np
import numpy.typing as npt
from numba import njit

STEP = 8
"""Patch voxels between two nodes."""
SIGMAS = 4
"""Values of more standard deviations are cut, so that a region's margin can be stated."""

Field = npt.NDArray[np.float32]
"""Shape (channels, z, y, x): values at every `STEP`-th voxel of a patch along each axis."""


def smooth_field(
    shape: tuple[int, int, int],
    spacing: npt.NDArray[np.float64],
    channels: int,
    *,
    rng: np.random.Generator,
) -> Field:
    """Draw a smooth random field: normal numbers at control points, Catmull-Rom splines between.

    Parameters
    ----------
    shape
        Voxels of the patch.
    spacing
        Voxels between control points along each axis, at least 1 is taken.
    channels
        Independent fields.

    Returns
    -------
    ndarray
        As `Field` says; standard deviation 1 at the control points, cut at 4.
    """
    weights = []
    for size, distance in zip(shape, np.maximum(spacing, 1), strict=True):
        nodes = np.arange(-(-(size - 1) // STEP) + 1) * STEP
        weights.append(_spline_weights(nodes / distance + rng.random()))
    controls = rng.standard_normal((channels, *(w.shape[1] for w in weights)), np.float32)
    np.clip(controls, -SIGMAS, SIGMAS, out=controls)
    # Products of small matrices, since those of large ones leave BLAS' threads spinning for a
    # while, on the cores that cut the patch next.
    for axis, matrix in enumerate(weights, 1):
        controls = np.moveaxis(np.moveaxis(controls, axis, -1) @ matrix.T, -1, axis)
    return np.ascontiguousarray(np.clip(controls, -SIGMAS, SIGMAS))


def _spline_weights(places: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the weights (places, controls) of a Catmull-Rom spline; control 1 stands at 0."""
    cell = np.floor(places).astype(int)
    t = places - cell
    weights = np.zeros((len(places), cell[-1] + 4), np.float32)
    rows = np.arange(len(places))
    weights[rows, cell] = (-t + 2 * t**2 - t**3) / 2
    weights[rows, cell + 1] = (2 - 5 * t**2 + 3 * t**3) / 2
    weights[rows, cell + 2] = (t + 4 * t**2 - 3 * t**3) / 2
    weights[rows, cell + 3] = (-(t**2) + t**3) / 2
    return weights


@njit(cache=True, nogil=True)
def nodes_of_row(field, channel, z, y, nodes):  # type: ignore[no-untyped-def]
    """Fill `nodes` with a field's values at the nodes of row (z, y) of a patch, the last twice."""
    last = field.shape[3] - 1
    z0, y0 = z // STEP, y // STEP
    z1, y1 = min(z0 + 1, field.shape[1] - 1), min(y0 + 1, field.shape[2] - 1)
    tz, ty = np.float32(z % STEP) / np.float32(STEP), np.float32(y % STEP) / np.float32(STEP)
    one = np.float32(1)
    for k in range(last + 1):
        near = field[channel, z0, y0, k] * (one - ty) + field[channel, z0, y1, k] * ty
        far = field[channel, z1, y0, k] * (one - ty) + field[channel, z1, y1, k] * ty
        nodes[k] = near * (one - tz) + far * tz
    nodes[last + 1] = nodes[last]
