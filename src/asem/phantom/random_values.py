"""Random values of a position: the same whatever block, order or thread computes them (numba).

A counter-based generator: a hash of seed and position takes the place of a state. The mixing step
is the finalizer of SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number
generators, OOPSLA 2014).
"""

import numpy as np
from numba import njit

_Z, _Y, _X = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xC2B2AE3D27D4EB4F),
    np.uint64(0x165667B19E3779F9),
)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S40 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(40)
UNIT = np.float32(2.0**-24)


@njit(cache=True, nogil=True, inline="always")
def hash_position(seed, z, y, x):  # type: ignore[no-untyped-def]
    """Return 64 random bits of an integer position."""
    bits = np.uint64(seed) + np.uint64(z) * _Z + np.uint64(y) * _Y + np.uint64(x) * _X
    bits = (bits ^ (bits >> _S30)) * _M1
    bits = (bits ^ (bits >> _S27)) * _M2
    return bits ^ (bits >> _S31)


@njit(cache=True, nogil=True, inline="always")
def uniform(bits):  # type: ignore[no-untyped-def]
    """Return a number in [0, 1) from the upper 24 of 64 random bits."""
    return np.float32(bits >> _S40) * UNIT


@njit(cache=True, nogil=True, inline="always")
def normal(bits):  # type: ignore[no-untyped-def]
    """Return a number of mean 0 and variance 1 from 64 random bits: the sum of 4 uniform ones.

    Its distribution is close to a Gaussian and ends at +-3.46.
    """
    low = np.uint64(0xFFFF)
    total = (
        np.float32(bits & low)
        + np.float32((bits >> np.uint64(16)) & low)
        + np.float32((bits >> np.uint64(32)) & low)
        + np.float32(bits >> np.uint64(48))
    )
    return (total - np.float32(2 * 65535)) * np.float32(1.7320508 / 65535)


@njit(cache=True, nogil=True)
def lattice_noise(seed, z, y, x):  # type: ignore[no-untyped-def]
    """Return smooth noise in [-1, 1] at a position in units of the lattice (value noise).

    Trilinear interpolation, with smooth steps, of uniform values at the lattice points.
    """
    i, j, k = np.floor(z), np.floor(y), np.floor(x)
    f, g, h = z - i, y - j, x - k
    i, j, k = np.int64(i), np.int64(j), np.int64(k)
    f, g, h = f * f * (3 - 2 * f), g * g * (3 - 2 * g), h * h * (3 - 2 * h)
    total = 0.0
    for a in range(2):
        for b in range(2):
            weight = (f if a else 1 - f) * (g if b else 1 - g)
            low = uniform(hash_position(seed, i + a, j + b, k))
            high = uniform(hash_position(seed, i + a, j + b, k + 1))
            total += weight * (low + h * (high - low))
    return 2 * total - 1
