"""Smooth random fields over a patch: cubic splines evaluated at coarse nodes, linear in between."""

import numpy as np
import numpy.typing as npt
from numba import njit

NODE_SPACING = 8
"""Patch voxels between two nodes."""
MAX_SIGMAS = 4
"""Values are clipped to this many standard deviations, so that displacements are bounded."""

NodeField = npt.NDArray[np.float32]
"""Shape (channels, z, y, x): values at every `NODE_SPACING`-th voxel of a patch along each axis."""


def draw_smooth_field(
    shape: tuple[int, int, int],
    spacing: npt.NDArray[np.float64],
    channels: int,
    *,
    rng: np.random.Generator,
) -> NodeField:
    """Draw a smooth random field: Catmull-Rom splines through normal numbers at control points.

    Parameters
    ----------
    shape
        Voxels of the patch.
    spacing
        Voxels between control points along each axis; values below 1 are taken as 1.
    channels
        Number of independent fields.

    Returns
    -------
    ndarray
        See `NodeField`; standard deviation 1 at the control points, clipped at 4.
    """
    weights = []
    for size, distance in zip(shape, np.maximum(spacing, 1), strict=True):
        nodes = np.arange(-(-(size - 1) // NODE_SPACING) + 1) * NODE_SPACING
        weights.append(_spline_weights(nodes / distance + rng.random()))
    controls = rng.standard_normal((channels, *(w.shape[1] for w in weights)), np.float32)
    np.clip(controls, -MAX_SIGMAS, MAX_SIGMAS, out=controls)
    # Small matrix products: after large ones, BLAS threads spin on the cores that the extraction
    # of the patch needs next.
    for axis, matrix in enumerate(weights, 1):
        controls = np.moveaxis(np.moveaxis(controls, axis, -1) @ matrix.T, -1, axis)
    return np.ascontiguousarray(np.clip(controls, -MAX_SIGMAS, MAX_SIGMAS))


def _spline_weights(positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the weights (positions, controls) of a Catmull-Rom spline; control 1 is at 0."""
    cell = np.floor(positions).astype(int)
    t = positions - cell
    weights = np.zeros((len(positions), cell[-1] + 4), np.float32)
    rows = np.arange(len(positions))
    weights[rows, cell] = (-t + 2 * t**2 - t**3) / 2
    weights[rows, cell + 1] = (2 - 5 * t**2 + 3 * t**3) / 2
    weights[rows, cell + 2] = (t + 4 * t**2 - 3 * t**3) / 2
    weights[rows, cell + 3] = (-(t**2) + t**3) / 2
    return weights


@njit(cache=True, nogil=True)
def interpolate_row_nodes(field, channel, z, y, nodes):  # type: ignore[no-untyped-def]
    """Fill `nodes` with a field's values at the nodes of row (z, y) of a patch, the last twice."""
    last = field.shape[3] - 1
    z0, y0 = z // NODE_SPACING, y // NODE_SPACING
    z1, y1 = min(z0 + 1, field.shape[1] - 1), min(y0 + 1, field.shape[2] - 1)
    tz, ty = (
        np.float32(z % NODE_SPACING) / np.float32(NODE_SPACING),
        np.float32(y % NODE_SPACING) / np.float32(NODE_SPACING),
    )
    one = np.float32(1)
    for k in range(last + 1):
        near = field[channel, z0, y0, k] * (one - ty) + field[channel, z0, y1, k] * ty
        far = field[channel, z1, y0, k] * (one - ty) + field[channel, z1, y1, k] * ty
        nodes[k] = near * (one - tz) + far * tz
    nodes[last + 1] = nodes[last]
