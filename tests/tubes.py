"""Tubes around polylines, rings and ellipsoids, as masks in any orientation."""

import itertools

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation


def rasterize(points, radius, voxel_size, rng, *, flat_ends=False):
    """A tube around a polyline, (n, 3), nm, or several, rotated and shifted at random."""
    lines = points if isinstance(points, list) else [points]
    rotation = Rotation.random(rng=rng)
    lines = [rotation.apply(line) for line in lines]
    size, corners = np.array(voxel_size), np.concatenate(lines)
    low = corners.min(axis=0) - radius - size * (1 + rng.random(3))
    shape = np.ceil((corners.max(axis=0) + radius - low) / size).astype(int) + 2
    mask = np.zeros(shape, bool)
    for line in lines:
        for start, stop in itertools.pairwise(line):
            first = ((np.minimum(start, stop) - radius - low) // size).astype(int)
            last = ((np.maximum(start, stop) + radius - low) // size).astype(int) + 2
            box = tuple(slice(max(a, 0), b) for a, b in zip(first, last, strict=True))
            axes = [np.arange(s.start, min(s.stop, n)) for s, n in zip(box, shape, strict=True)]
            grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) * size + low - start
            length = np.linalg.norm(stop - start)
            along = grid @ ((stop - start) / length)
            near = np.clip(along, 0, length)[..., None] * (stop - start) / length
            inside = np.linalg.norm(grid - near, axis=-1) <= radius
            if flat_ends:
                inside &= (along >= 0) & (along <= length)
            mask[box] |= inside
    return mask


def ellipsoid(semi_axes, voxel_size, rng):
    """An ellipsoid, rotated and shifted at random."""
    rotation, size = Rotation.random(rng=rng), np.array(voxel_size)
    counts = np.ceil(max(semi_axes) / size).astype(int) + 2
    axes = [np.arange(-n, n + 1.0) for n in counts]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) + rng.uniform(-0.5, 0.5, 3)
    return (((points * size) @ rotation.as_matrix() / semi_axes) ** 2).sum(axis=-1) <= 1


def straight(length):
    return np.array([[0.0, 0, 0], [length, 0, 0]])


def circle(radius, points=60):
    angles = np.linspace(0, 2 * np.pi, points + 1)
    return radius * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)


def arms(directions, length):
    """Straight lines from the origin."""
    return [
        np.stack([np.zeros(3), length * np.array(one) / np.linalg.norm(one)]) for one in directions
    ]


def roughen(mask, rng, chance=0.3):
    """Add and remove voxels of the surface at random."""
    faces = ndimage.generate_binary_structure(3, 1)
    mask = np.pad(mask, 1)
    changed = rng.random(mask.shape) < chance
    outside = ndimage.binary_dilation(mask, faces) & ~mask
    inside = mask & ~ndimage.binary_erosion(mask, faces)
    return (mask | (outside & changed)) & ~(inside & changed)
