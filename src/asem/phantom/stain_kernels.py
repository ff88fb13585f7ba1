"""Kernels that stain a block of a synthetic cell: from layers to electron density (numba).

Density is 0 in resin and 1 in the darkest membrane. A membrane at d = 0 has the profile
(1 - (d / w)^2)^2 within w = 9 nm, 10 nm wide at half of its height: it is smooth, so that its
position is not rounded to voxels.
"""

import numpy as np
from numba import njit, prange

from asem.phantom.compartments import (
    CAVEOLA,
    COATED_PIT,
    COATED_VESICLE,
    ER,
    MITOCHONDRION,
    SECRETORY_PIT,
)
from asem.phantom.random_values import hash_position, normal, uniform

MEMBRANE_NM = np.float32(9.0)
DOT_NM = 20.0
"""Largest radius of a ribosome or granule, where its profile ends."""
SMALLEST_DOT = 0.6
"""Smallest radius, in units of the largest."""
FAINTEST_DOT = 0.2
"""Density of the smallest dot, in units of that of the largest: most dots are protein complexes."""
DOT_CELL_NM = 27.0
"""Lattice of the dots: at most one in each cell."""
MOTTLE = np.float32(0.6)
"""Relative amplitude of the texture of cytosol; in the nucleus it is half of that."""
CLUSTERING = np.float32(1.3)
"""Change of the probability of a dot where the texture is 1."""
GRAIN_LIMIT = np.float32(0.3)
"""Density above which the fine texture grows no more."""
INNER_MEMBRANE_NM = np.float32(18.0)
"""Depth of the inner membrane of mitochondria."""
CRISTA_SPACING_NM = np.float32(72.0)
CRISTA_HALF_NM = np.float32(8.0)
"""From the middle of a crista to its membranes."""
CRISTA_BEND = np.float32(0.5)
"""Displacement of cristae by smooth noise, in units of their spacing."""
INTERMEMBRANE = np.float32(0.7)
"""Density between two membranes of a mitochondrion, in units of that of the matrix."""
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
def stain(  # type: ignore[no-untyped-def]
    density, distance, kind, number, nucleus, gap, chromatin, texture, inside, stains, *place
):
    """Set the electron density of each voxel.

    Parameters
    ----------
    density
        float32, to be set.
    distance, kind, number, nucleus, gap
        Layers of the block.
    chromatin, texture
        Smooth noise in [-1, 1].
    inside
        float32 density within each compartment, indexed by kind.
    stains
        float32 densities: membrane, cytosol, nucleoplasm, heterochromatin, pore, coat,
        cristae, plasma membrane.
    place
        Index of the first voxel of the block in the volume, voxel size, and shifts of planes.
    """
    nz, ny, nx = density.shape
    first, size, shifts = place
    coat, crista = stains[5:7]
    for i in prange(nz):
        z = (first[0] + i) * size[0]
        last, across_z, across_y, across_x = np.uint32(0), 0.0, 0.0, 0.0
        for j in range(ny):
            y = (first[1] + j) * size[1] + shifts[i, 0]
            for k in range(nx):
                d, s, body = distance[i, j, k], nucleus[i, j, k], kind[i, j, k]
                membrane = stains[7] if body <= CAVEOLA else stains[0]
                value = _surroundings(s, gap[i, j, k], chromatin[i, j, k], texture[i, j, k], stains)
                if d < 4:
                    share = ramp((4 - d) / 8)
                    content = inside[body]
                    if body == MITOCHONDRION:
                        if number[i, j, k] != last:
                            last = number[i, j, k]
                            across_z, across_y, across_x = _random_direction(last)
                        x = (first[2] + k) * size[2] + shifts[i, 1]
                        ahead = np.float32(across_z * z + across_y * y + across_x * x)
                        bend = chromatin[i, j, k]
                        content = _mitochondrion(d, ahead, bend, content, membrane, crista)
                    value += share * (content - value)
                if d < MEMBRANE_NM and d > -MEMBRANE_NM:
                    value += (membrane - value * np.float32(0.5)) * profile(d, MEMBRANE_NM)
                if body in (COATED_PIT, SECRETORY_PIT, COATED_VESICLE) and 0 < d < 25:
                    value += coat * profile(d - COAT_CENTRE_NM, COAT_WIDTH_NM)
                density[i, j, k] = value


@njit(cache=True, nogil=True, inline="always")
def _surroundings(s, gap, chromatin, texture, stains):  # type: ignore[no-untyped-def]
    """Return the density of cytosol, nucleus and pores at a distance from the envelope."""
    cytosol, nucleoplasm, heterochromatin, plug = stains[1:5]
    mottle = MOTTLE * texture
    value = cytosol * (1 + mottle)
    if s < 15:
        patch = ramp(4 * (chromatin - np.float32(0.75) + ramp(1 + (s + 15) / 140)))
        patch *= ramp((gap + np.float32(5)) / 40)
        content = nucleoplasm * (1 + mottle / 2) + patch * heterochromatin
        value += ramp((15 - s) / 30) * (content - value)
    if gap < 0 and abs(s) < 40:
        value += plug * ramp(-gap / 12) * profile(s, np.float32(40))
    return value


@njit(cache=True, nogil=True, inline="always")
def _random_direction(number):  # type: ignore[no-untyped-def]
    """Return a random unit vector (z, y, x) for an object: across its cristae."""
    bits = hash_position(number, 4, 5, 6)
    height = 2 * np.float64(uniform(bits)) - 1
    angle = 2 * np.pi * uniform(hash_position(bits, 7, 8, 9))
    ring = np.sqrt(1 - height * height)
    return height, ring * np.cos(angle), ring * np.sin(angle)


@njit(cache=True, nogil=True, inline="always")
def _mitochondrion(d, ahead, bend, matrix, membrane, crista):  # type: ignore[no-untyped-def]
    """Return the density within a mitochondrion: intermembrane space, matrix, cristae.

    Cristae are bent pairs of membranes, parallel within a mitochondrion. Each reaches from the
    inner membrane into the matrix where its number and the bend select; some pass through it.
    """
    depth = -d
    space = matrix * INTERMEMBRANE
    value = matrix if depth > INNER_MEMBRANE_NM else space
    value += (membrane - value * np.float32(0.5)) * profile(depth - INNER_MEMBRANE_NM, MEMBRANE_NM)
    if depth > INNER_MEMBRANE_NM:
        phase = ahead / CRISTA_SPACING_NM + CRISTA_BEND * bend
        number = np.rint(phase)
        chance = number * np.float32(0.618034) - np.floor(number * np.float32(0.618034))
        extent = ramp((bend + np.float32(1.4) * chance - np.float32(0.15)) / np.float32(0.2))
        away = abs(phase - number) * CRISTA_SPACING_NM
        if away < CRISTA_HALF_NM:
            value += extent * (space - value)
        value += (crista - value * np.float32(0.5)) * (
            extent * profile(away - CRISTA_HALF_NM, MEMBRANE_NM)
        )
    return value


@njit(cache=True, nogil=True, parallel=True)
def add_dots(  # type: ignore[no-untyped-def]
    density, distance, kind, nucleus, texture, first, amounts, seed, size, shifts
):
    """Add ribosomes to cytosol and ER, and granules to nucleus and mitochondria.

    A dot is at a random place of its lattice cell; its radius and density are random. What is at
    the voxel of its centre selects how probable and how dense it is.

    Parameters
    ----------
    density
        float32, to be changed.
    distance, kind, nucleus
        Layers of the block.
    texture
        Smooth noise in [-1, 1]: dots cluster where it is high.
    first
        Index of the first voxel of the block in the volume, along (z, y, x).
    amounts
        float32: probability of a ribosome in cytosol and at the ER, density of ribosomes,
        probability and density of granules of the nucleus, and of those of mitochondria.
    seed
        Of the positions.
    size, shifts
        Voxel size, and shifts of the planes of the block along y and x, nm.
    """
    nz, ny, nx = density.shape
    r = DOT_NM
    cells_y = int((ny * size[1] + 2 * r) / DOT_CELL_NM) + 3
    cells_x = int((nx * size[2] + 2 * r) / DOT_CELL_NM) + 3
    for i in prange(nz):
        z = (first[0] + i) * size[0]
        oy, ox = first[1] * size[1] + shifts[i, 0], first[2] * size[2] + shifts[i, 1]
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
                        1 + CLUSTERING * texture[ci, cj, ck],
                        amounts,
                    )
                    if amount > 0:
                        share = np.float64(bits & np.uint64(0xFFFF)) / 65536
                        radius = r * (SMALLEST_DOT + (1 - SMALLEST_DOT) * share)
                        varied = amount * np.float32(FAINTEST_DOT + (1 - FAINTEST_DOT) * share**2)
                        centre = (pz - z, py - shifts[i, 0], px - shifts[i, 1])
                        _add_disc(density[i], varied, radius, centre, first, size)


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
def _add_disc(plane, amount, radius, centre, first, size):  # type: ignore[no-untyped-def]
    """Add the section of a dot to a plane; `centre` is relative to the height of the plane."""
    height, y, x = centre
    squared = radius * radius
    rows, columns = plane.shape
    j0 = max(int(np.ceil((y - radius) / size[1])) - first[1], 0)
    j1 = min(int(np.floor((y + radius) / size[1])) - first[1] + 1, rows)
    k0 = max(int(np.ceil((x - radius) / size[2])) - first[2], 0)
    k1 = min(int(np.floor((x + radius) / size[2])) - first[2] + 1, columns)
    for j in range(j0, j1):
        rest = squared - height * height - ((first[1] + j) * size[1] - y) ** 2
        if rest <= 0:
            continue
        for k in range(k0, k1):
            share = (rest - ((first[2] + k) * size[2] - x) ** 2) / squared
            if share > 0:
                plane[j, k] += amount * np.float32(share)


@njit(cache=True, nogil=True, inline="always")
def _dot_density(d, body, s, chance, clustering, amounts):  # type: ignore[no-untyped-def]
    """Return the density of a dot at a place, 0 for none; `chance` is random in [0, 1)."""
    if body == MITOCHONDRION and d < -INNER_MEMBRANE_NM - 6:
        return amounts[6] if chance < amounts[5] else np.float32(0)
    if d < 8:
        return np.float32(0)
    if s < 0:
        return amounts[4] if chance < amounts[3] * clustering and s < -30 else np.float32(0)
    if body == ER and d < 24:
        return amounts[2] if chance < amounts[1] else np.float32(0)
    return amounts[2] if chance < amounts[0] * clustering else np.float32(0)


@njit(cache=True, nogil=True, parallel=True)
def add_grain(density, first, amount, seed):  # type: ignore[no-untyped-def]
    """Add noise of each voxel to the density: molecules, which the blur joins to a fine texture.

    It grows with the root of the density up to `GRAIN_LIMIT`, so that membranes are not broken.
    """
    nz, ny, nx = density.shape
    for i in prange(nz):
        for j in range(ny):
            for k in range(nx):
                bits = hash_position(seed, first[0] + i, first[1] + j, first[2] + k)
                spread = amount * np.sqrt(min(max(density[i, j, k], np.float32(0)), GRAIN_LIMIT))
                density[i, j, k] += spread * normal(bits)
