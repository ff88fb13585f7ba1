"""Apply an intensity transform to a patch, on the CPU."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import NmZYX
from asem.training.augmentation import IntensityTransform
from asem.training.random_fields import NODE_SPACING, interpolate_row_nodes

TRUNCATE = 3
"""The blur's weights end at this many standard deviations."""
GAMMA_CURVE_POINTS = 1024
"""Intervals of the gamma curve's look-up table; linear in between."""

GreyValues = npt.NDArray[np.float32]


def apply_intensity(grey: GreyValues, mean: float, transform: IntensityTransform) -> GreyValues:
    """Apply an intensity transform, and scale to the network's range [-1, 1].

    Parameters
    ----------
    grey
        Shape (z, y, x), in [0, 1]; may be changed in place.
    mean
        Mean of `grey`.
    transform
        The change.

    Returns
    -------
    ndarray
        Same shape, in [-1, 1].
    """
    grey = gaussian_blur(grey, transform.blur)
    curve = (
        np.linspace(0, 1, GAMMA_CURVE_POINTS + 1) ** transform.gamma
        if transform.gamma != 1
        else np.empty(0)
    )
    _apply_intensity(
        grey,
        np.float32(mean),
        np.float32(transform.scale),
        np.float32(transform.shift),
        transform.drift,
        bool(transform.drift.any()),
        curve.astype(np.float32),
        np.float32(transform.noise),
        np.uint64(transform.seed),
    )
    return grey


def gaussian_blur(grey: GreyValues, sigma: NmZYX) -> GreyValues:
    """Blur by a Gaussian of `sigma` voxels along each axis; edge values are repeated outside."""
    for axis, width in enumerate(sigma):
        weights = gaussian_half_kernel(width)
        if len(weights) > 1:
            out = np.empty_like(grey)
            _blur(grey, axis, weights, out)
            grey = out
    return grey


def gaussian_half_kernel(sigma: float) -> GreyValues:
    """Return the weights of a Gaussian from its centre outwards; both sides together sum to 1.

    Examples
    --------
    >>> gaussian_half_kernel(0).tolist(), len(gaussian_half_kernel(1))
    ([1.0], 4)
    """
    distances = np.arange(int(TRUNCATE * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (distances / max(sigma, 1e-9)) ** 2)
    half: GreyValues = (weights / (2 * weights.sum() - weights[0])).astype(np.float32)
    return half


@njit(cache=True, parallel=True, nogil=True)
def _blur(grey, axis, weights, out):  # type: ignore[no-untyped-def]
    depth, height, width = grey.shape
    for n in prange(depth):
        z = np.int64(n)
        for y in range(height):
            if axis == 2:
                _blur_row(grey[z, y], weights, out[z, y])
                continue
            for x in range(width):
                out[z, y, x] = grey[z, y, x] * weights[0]
            for k in range(1, len(weights)):
                dz, dy = (k, 0) if axis == 0 else (0, k)
                a = grey[max(z - dz, 0), max(y - dy, 0)]
                b = grey[min(z + dz, depth - 1), min(y + dy, height - 1)]
                for x in range(width):
                    out[z, y, x] += weights[k] * (a[x] + b[x])


@njit(cache=True, nogil=True)
def _blur_row(row, weights, out):  # type: ignore[no-untyped-def]
    width = len(row)
    for x in range(width):
        out[x] = row[x] * weights[0]
    for k in range(1, len(weights)):
        for x in range(min(k, width)):
            out[x] += weights[k] * (row[0] + row[min(x + k, width - 1)])
        for x in range(k, width - k):
            out[x] += weights[k] * (row[x - k] + row[x + k])
        for x in range(max(k, width - k), width):
            out[x] += weights[k] * (row[x - k] + row[width - 1])


@njit(cache=True, nogil=True)
def _hash_normal(seed, place):  # type: ignore[no-untyped-def]
    """Return a pseudo-normal number, mean 0, variance 1: the sum of four uniform ones of a hash."""
    h = seed + np.uint64(place) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = h ^ (h >> np.uint64(31))
    low = np.uint64(0xFFFF)
    total = (h & low) + ((h >> np.uint64(16)) & low) + ((h >> np.uint64(32)) & low)
    total += h >> np.uint64(48)
    # Each of the four is uniform on 0..65535: mean 32767.5, variance (2^32 - 1) / 12.
    return (np.float32(np.int64(total)) - np.float32(131070)) * np.float32(2.6429e-5)


@njit(cache=True, parallel=True, nogil=True)
def _apply_intensity(grey, mean, scale, shift, drift, drifts, curve, noise, seed):  # type: ignore[no-untyped-def]
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    height, width = grey.shape[1:]
    for n in prange(grey.shape[0]):
        z = np.int64(n)
        gains = np.zeros(drift.shape[3] + 1, np.float32)
        offsets = np.zeros(drift.shape[3] + 1, np.float32)
        for y in range(height):
            row = grey[z, y]
            if drifts:
                interpolate_row_nodes(drift, 0, z, y, gains)
                interpolate_row_nodes(drift, 1, z, y, offsets)
                _apply_drift(row, mean, scale, shift, gains, offsets)
            else:
                for x in range(width):
                    row[x] = min(max(mean + (row[x] - mean) * scale + shift, zero), one)
            if len(curve):
                _apply_gamma_curve(row, curve)
            if noise > 0:
                for x in range(width):
                    v = row[x] + noise * _hash_normal(seed, (z * height + y) * width + x)
                    row[x] = min(max(v, zero), one)
            for x in range(width):
                row[x] = row[x] * two - one


@njit(cache=True, nogil=True)
def _apply_drift(row, mean, scale, shift, gains, offsets):  # type: ignore[no-untyped-def]
    zero, one = np.float32(0), np.float32(1)
    for x in range(len(row)):
        k, t = x // NODE_SPACING, np.float32(x % NODE_SPACING) / np.float32(NODE_SPACING)
        gain = one + gains[k] * (one - t) + gains[k + 1] * t
        offset = offsets[k] * (one - t) + offsets[k + 1] * t
        v = mean + (row[x] - mean) * scale * gain + shift + offset
        row[x] = min(max(v, zero), one)


@njit(cache=True, nogil=True)
def _apply_gamma_curve(row, curve):  # type: ignore[no-untyped-def]
    one = np.float32(1)
    for x in range(len(row)):
        place = row[x] * np.float32(GAMMA_CURVE_POINTS)
        below = np.int64(min(place, np.float32(GAMMA_CURVE_POINTS - 1)))
        t = place - np.float32(below)
        row[x] = curve[below] * (one - t) + curve[below + 1] * t
