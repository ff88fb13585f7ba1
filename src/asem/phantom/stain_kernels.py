"""Kernels that stain a block of a synthetic cell: from layers to electron density (numba).

Density is 0 in resin and 1 in the darkest membrane. A membrane at d = 0 has the profile
(1 - (d / w)^2)^2 within w = 9 nm, 10 nm wide at half of its height: it is smooth, so that its
position is not rounded to voxels.
"""

import numpy as np
from numba import njit, prange

from asem.phantom.compartments import COATED_PIT, COATED_VESICLE, ER, MITOCHONDRION
from asem.phantom.random_values import hash_position, normal, uniform

MEMBRANE_NM = np.float32(9.0)
DOT_NM = np.float32(14.0)
"""Radius of a ribosome or chromatin granule, where its profile ends."""
DOT_CELL_NM = 30.0
"""Lattice of the dots: at most one in each cell."""
INNER_MEMBRANE_NM = np.float32(22.0)
"""Depth of the inner membrane of mitochondria."""
CRISTA_SPACING_NM = np.float32(70.0)
CRISTA_HALF_NM = np.float32(9.0)
"""From the middle of a crista to its membranes."""
COAT_CENTRE_NM, COAT_WIDTH_NM = np.float32(12.0), np.float32(13.0)
"""Middle and half width of a coat, from the middle of the membrane."""


@njit(cache=True, nogil=True, inline="always")
def profile(d, width):  # type: ignore[no-untyped-def]
    """Return (1 - (d / width)^2)^2 within the width, else 0."""
    share = d / width
    share = np.float32(1) - share * share
    return share * share if share > 0 else np.float32(0)


@njit(cache=True, nogil=True, inline="always")
def ramp(value):  # type: ignore[no-untyped-def]
    """Return a value clipped to [0, 1]."""
    return min(max(value, np.float32(0)), np.float32(1))


@njit(cache=True, nogil=True, parallel=True)
def stain(density, distance, kind, along, nucleus, gap, chromatin, texture, inside, stains):  # type: ignore[no-untyped-def]
    """Set the electron density of each voxel.

    Parameters
    ----------
    density
        float32, to be set.
    distance, kind, along, nucleus, gap
        Layers of the block.
    chromatin, texture
        Smooth noise in [-1, 1].
    inside
        float32 density within each compartment, indexed by kind.
    stains
        float32 densities: membrane, cytosol, nucleoplasm, heterochromatin, pore, coat.
    """
    nz, ny, nx = density.shape
    membrane, cytosol, nucleoplasm, heterochromatin, plug, coat = stains
    for i in prange(nz):
        for j in range(ny):
            for k in range(nx):
                d, s, body = distance[i, j, k], nucleus[i, j, k], kind[i, j, k]
                around = cytosol * (1 + np.float32(0.35) * texture[i, j, k])
                if s < 15:
                    share = ramp((15 - s) / 30)
                    depth = -s - 15
                    patch = ramp(
                        4 * (chromatin[i, j, k] - np.float32(0.75) + ramp(1 - depth / 140))
                    )
                    patch *= ramp((gap[i, j, k] + np.float32(5)) / 40)
                    content = nucleoplasm + patch * heterochromatin
                    around += share * (content - around)
                wall = gap[i, j, k]
                if wall < 0 and abs(s) < 40:
                    around += plug * ramp(-wall / 12) * profile(s, np.float32(40))
                value = around
                if d < 4:
                    share = ramp((4 - d) / 8)
                    content = inside[body]
                    if body == MITOCHONDRION:
                        content = _mitochondrion(
                            d, along[i, j, k], texture[i, j, k], content, membrane
                        )
                    value += share * (content - value)
                if d < MEMBRANE_NM and d > -MEMBRANE_NM:
                    value += (membrane - value * np.float32(0.5)) * profile(d, MEMBRANE_NM)
                if body in (COATED_PIT, COATED_VESICLE) and 0 < d < 25:
                    value += coat * profile(d - COAT_CENTRE_NM, COAT_WIDTH_NM)
                density[i, j, k] = value


@njit(cache=True, nogil=True, inline="always")
def _mitochondrion(d, along, texture, matrix, membrane):  # type: ignore[no-untyped-def]
    """Return the density within a mitochondrion: intermembrane space, matrix, cristae.

    A crista is a pair of membranes across the tube, which ends before the other side.
    """
    depth = -d
    value = matrix if depth > INNER_MEMBRANE_NM else matrix * np.float32(0.5)
    value += (membrane - value * np.float32(0.5)) * profile(depth - INNER_MEMBRANE_NM, MEMBRANE_NM)
    if depth > INNER_MEMBRANE_NM and texture > -0.45:
        phase = along / CRISTA_SPACING_NM + np.float32(1.2) * texture
        away = abs(phase - np.rint(phase)) * CRISTA_SPACING_NM
        if away < CRISTA_HALF_NM:
            value = matrix * np.float32(0.5)
        value += (membrane - value) * profile(away - CRISTA_HALF_NM, MEMBRANE_NM) * np.float32(0.8)
    return value


@njit(cache=True, nogil=True, parallel=True)
def add_dots(density, distance, kind, nucleus, first, amounts, seed, origin, size, shifts):  # type: ignore[no-untyped-def]
    """Add ribosomes to cytosol and ER, and granules to the nucleus.

    A dot lies at a random place of its lattice cell. What is at the voxel of its centre selects
    how probable and how dense it is.

    Parameters
    ----------
    density
        float32, to be changed.
    distance, kind, nucleus
        Layers of the block.
    first
        Index of the first voxel of the block in the volume, along (z, y, x).
    amounts
        float32: probability of a ribosome in cytosol and at the ER, density of ribosomes,
        probability and density of granules.
    seed
        Of the positions.
    origin, size, shifts
        Positions of the voxels.
    """
    nz, ny, nx = density.shape
    r = DOT_NM
    cells_y = int((ny * size[1] + 2 * r) / DOT_CELL_NM) + 3
    cells_x = int((nx * size[2] + 2 * r) / DOT_CELL_NM) + 3
    for i in prange(nz):
        z = origin[0] + i * size[0]
        oy, ox = origin[1] + shifts[i, 0], origin[2] + shifts[i, 1]
        a0, a1 = int(np.floor((z - r) / DOT_CELL_NM)), int(np.floor((z + r) / DOT_CELL_NM))
        b0, c0 = int(np.floor((oy - r) / DOT_CELL_NM)), int(np.floor((ox - r) / DOT_CELL_NM))
        for a in range(a0, a1 + 1):
            for b in range(b0, b0 + cells_y):
                for c in range(c0, c0 + cells_x):
                    bits = hash_position(seed, a, b, c)
                    pz, py, px = _dot_position(bits, a, b, c)
                    ci = int(np.rint(pz / size[0])) - first[0]
                    if abs(pz - z) > r or ci < 0 or ci >= nz:
                        continue
                    cj = int(np.rint((py - shifts[ci, 0]) / size[1])) - first[1]
                    ck = int(np.rint((px - shifts[ci, 1]) / size[2])) - first[2]
                    if cj < 0 or cj >= ny or ck < 0 or ck >= nx:
                        continue
                    amount = _dot_density(
                        distance[ci, cj, ck],
                        kind[ci, cj, ck],
                        nucleus[ci, cj, ck],
                        uniform(bits),
                        amounts,
                    )
                    if amount > 0:
                        _add_disc(density[i], amount, z - pz, py - oy, px - ox, size)


@njit(cache=True, nogil=True, inline="always")
def _dot_position(bits, a, b, c):  # type: ignore[no-untyped-def]
    """Return a random position in a lattice cell, nm."""
    place, mask = hash_position(bits, 1, 2, 3), np.uint64(0xFFFF)
    return (
        (a + np.float64(place & mask) / 65536) * DOT_CELL_NM,
        (b + np.float64((place >> np.uint64(16)) & mask) / 65536) * DOT_CELL_NM,
        (c + np.float64((place >> np.uint64(32)) & mask) / 65536) * DOT_CELL_NM,
    )


@njit(cache=True, nogil=True, inline="always")
def _add_disc(plane, amount, height, y, x, size):  # type: ignore[no-untyped-def]
    """Add the section of a dot at a height to a plane; y and x are its centre, nm."""
    squared = DOT_NM * DOT_NM
    j0, j1 = max(int((y - DOT_NM) / size[1]), 0), min(int((y + DOT_NM) / size[1]) + 2, len(plane))
    k0, k1 = (
        max(int((x - DOT_NM) / size[2]), 0),
        min(int((x + DOT_NM) / size[2]) + 2, plane.shape[1]),
    )
    for j in range(j0, j1):
        rest = squared - height * height - (j * size[1] - y) ** 2
        if rest <= 0:
            continue
        for k in range(k0, k1):
            share = (rest - (k * size[2] - x) ** 2) / squared
            if share > 0:
                plane[j, k] += amount * np.float32(share * share)


@njit(cache=True, nogil=True, inline="always")
def _dot_density(d, body, s, chance, amounts):  # type: ignore[no-untyped-def]
    """Return the density of a dot at a place, 0 for none; `chance` is random in [0, 1)."""
    if d < 8:
        return np.float32(0)
    if s < 0:
        return amounts[4] if chance < amounts[3] and s < -30 else np.float32(0)
    near_er = body == ER and d < 24
    return amounts[2] if chance < (amounts[1] if near_er else amounts[0]) else np.float32(0)


@njit(cache=True, nogil=True, parallel=True)
def add_grain(density, first, amount, seed):  # type: ignore[no-untyped-def]
    """Add noise of each voxel to the density: molecules, which the blur joins to a fine texture."""
    nz, ny, nx = density.shape
    for i in prange(nz):
        for j in range(ny):
            for k in range(nx):
                bits = hash_position(seed, first[0] + i, first[1] + j, first[2] + k)
                density[i, j, k] += (
                    amount * np.sqrt(max(density[i, j, k], np.float32(0))) * normal(bits)
                )
