"""Change the grey values of a patch, on the processor."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import Nm3
from asem.training.augment import Tone
from asem.training.fields import STEP, nodes_of_row

TRUNCATE = 3
"""Standard deviations at which the blur's weights end."""
CURVE = 1024
"""Points of a tone curve, linear in between."""

Grey = npt.NDArray[np.float32]


def toned(grey: Grey, mean: float, tone: Tone) -> Grey:
    """Apply a tone, and scale to what the network takes.

    Parameters
    ----------
    grey
        Shape (z, y, x), in [0, 1]; may be changed.
    mean
        Of `grey`.
    tone
        What happens.

    Returns
    -------
    ndarray
        Same shape, in [-1, 1].
    """
    grey = blurred(grey, tone.blur)
    curve = np.linspace(0, 1, CURVE + 1) ** tone.gamma if tone.gamma != 1 else np.empty(0)
    _tone(
        grey,
        np.float32(mean),
        np.float32(tone.scale),
        np.float32(tone.shift),
        tone.drift,
        bool(tone.drift.any()),
        curve.astype(np.float32),
        np.float32(tone.noise),
        np.uint64(tone.seed),
    )
    return grey


def blurred(grey: Grey, sigma: Nm3) -> Grey:
    """Blur by a Gaussian of `sigma` voxels along each axis; edge values continue outside."""
    for axis, width in enumerate(sigma):
        weights = gaussian(width)
        if len(weights) > 1:
            out = np.empty_like(grey)
            _blur(grey, axis, weights, out)
            grey = out
    return grey


def gaussian(sigma: float) -> Grey:
    """Return the weights of a Gaussian from its middle outwards; together (with both sides) 1.

    Examples
    --------
    >>> gaussian(0).tolist(), len(gaussian(1))
    ([1.0], 4)
    """
    places = np.arange(int(TRUNCATE * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (places / max(sigma, 1e-9)) ** 2)
    half: Grey = (weights / (2 * weights.sum() - weights[0])).astype(np.float32)
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
def _normal(seed, place):  # type: ignore[no-untyped-def]
    """Return a number of mean 0 and variance 1: a sum of four even ones, from a hash."""
    h = seed + np.uint64(place) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = h ^ (h >> np.uint64(31))
    low = np.uint64(0xFFFF)
    total = (h & low) + ((h >> np.uint64(16)) & low) + ((h >> np.uint64(32)) & low)
    total += h >> np.uint64(48)
    # Each of the four is even on 0..65535: mean 32767.5, variance (2^32 - 1) / 12.
    return (np.float32(np.int64(total)) - np.float32(131070)) * np.float32(2.6429e-5)


@njit(cache=True, parallel=True, nogil=True)
def _tone(grey, mean, scale, shift, drift, drifts, curve, noise, seed):  # type: ignore[no-untyped-def]
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    height, width = grey.shape[1:]
    for n in prange(grey.shape[0]):
        z = np.int64(n)
        gains = np.zeros(drift.shape[3] + 1, np.float32)
        offsets = np.zeros(drift.shape[3] + 1, np.float32)
        for y in range(height):
            row = grey[z, y]
            if drifts:
                nodes_of_row(drift, 0, z, y, gains)
                nodes_of_row(drift, 1, z, y, offsets)
                _drifted(row, mean, scale, shift, gains, offsets)
            else:
                for x in range(width):
                    row[x] = min(max(mean + (row[x] - mean) * scale + shift, zero), one)
            if len(curve):
                _curved(row, curve)
            if noise > 0:
                for x in range(width):
                    v = row[x] + noise * _normal(seed, (z * height + y) * width + x)
                    row[x] = min(max(v, zero), one)
            for x in range(width):
                row[x] = row[x] * two - one


@njit(cache=True, nogil=True)
def _drifted(row, mean, scale, shift, gains, offsets):  # type: ignore[no-untyped-def]
    zero, one = np.float32(0), np.float32(1)
    for x in range(len(row)):
        k, t = x // STEP, np.float32(x % STEP) / np.float32(STEP)
        gain = one + gains[k] * (one - t) + gains[k + 1] * t
        offset = offsets[k] * (one - t) + offsets[k + 1] * t
        v = mean + (row[x] - mean) * scale * gain + shift + offset
        row[x] = min(max(v, zero), one)


@njit(cache=True, nogil=True)
def _curved(row, curve):  # type: ignore[no-untyped-def]
    one = np.float32(1)
    for x in range(len(row)):
        place = row[x] * np.float32(CURVE)
        below = np.int64(min(place, np.float32(CURVE - 1)))
        t = place - np.float32(below)
        row[x] = curve[below] * (one - t) + curve[below + 1] * t
