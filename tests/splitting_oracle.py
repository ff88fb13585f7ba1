"""What `asem instances --split` computes, of a whole volume at once and in plain Python."""

from itertools import product

import numpy as np


def split_whole(labels, landscape, voxel_size, min_strength):
    """Return the objects, numbered in the order of their first voxels."""
    peaks = peaks_of(labels, landscape)
    graph = Parts(labels, landscape, peaks, np.array(voxel_size))
    graph.merge(min_strength)
    ids, numbers = np.zeros(labels.size, int), {}
    for voxel, peak in enumerate(peaks.ravel()):
        if peak >= 0:
            ids[voxel] = numbers.setdefault(graph.part_of[peak], len(numbers) + 1)
    return ids.reshape(labels.shape)


def peaks_of(labels, landscape):
    """Return the index of the peak of each voxel; -1 in the background."""
    index = np.arange(labels.size).reshape(labels.shape)
    points_to = {}
    for voxel in np.argwhere(labels):
        place = tuple(voxel)
        near = [
            tuple(voxel + step) for step in np.vstack([-np.eye(3, dtype=int), np.eye(3, dtype=int)])
        ]
        inside = [n for n in near if min(n) >= 0 and all(np.less(n, labels.shape))]
        same = [n for n in inside if labels[n] == labels[place]]
        points_to[place] = max([*same, place], key=lambda n: (landscape[n], index[n]))
    peaks = np.full(labels.shape, -1)
    for place in points_to:
        end = place
        while points_to[end] != end:
            end = points_to[end]
        peaks[place] = index[end]
    return peaks


class Parts:
    """Parts of objects, as sets of voxels, and the entries of their contacts."""

    def __init__(self, labels, landscape, peaks, edges):
        self.landscape, self.edges = landscape, edges
        self.part_of = {peak: peak for peak in sorted(set(peaks.ravel().tolist()) - {-1})}
        self.voxels = {peak: np.argwhere(peaks == peak) for peak in self.part_of}
        self.peak = {peak: landscape.flat[peak] for peak in self.part_of}
        self.faces = {}  # of two parts: axis, sign and height of each
        for axis, *start in product(range(3), *map(range, labels.shape)):
            low, high = tuple(start), tuple(np.add(start, np.eye(3, dtype=int)[axis]))
            if high[axis] < labels.shape[axis] and labels[low] == labels[high] != 0:
                a, b = peaks[low], peaks[high]
                if a != b:
                    face = (axis, 1 if a < b else -1, min(landscape[low], landscape[high]))
                    self.faces.setdefault((min(a, b), max(a, b)), []).append(face)
        self.rank = {pair: rank for rank, pair in enumerate(sorted(self.faces))}
        self.entry = {pair: self.strength(pair) for pair in self.faces}

    def strength(self, pair):
        faces = self.faces[pair]
        areas = self.edges.prod() / self.edges
        counts = np.array([sum(axis == a for axis, _, _ in faces) for a in range(3)])
        normal = np.array([sum(s for axis, s, _ in faces if axis == a) for a in range(3)]) * areas
        height = np.mean([height for _, _, height in faces])
        peak = min(self.peak[part] for part in pair)
        section = min(self.section(part, normal) for part in pair)
        narrowing = 2 * height / peak if peak > 0 else 1
        return round(narrowing * np.linalg.norm(counts * areas) / section, 9)

    def section(self, part, normal):
        """Of an ellipsoid, by the determinant and the inverse."""
        places = self.voxels[part] * self.edges
        off = places - places.mean(axis=0)
        ellipsoid = 5 * (off.T @ off / len(off) + np.diag(self.edges**2 / 12))
        volume = np.sqrt(np.linalg.det(ellipsoid))
        if not normal.any():
            return np.pi * volume ** (2 / 3)
        unit = normal / np.linalg.norm(normal)
        return np.pi * volume * np.sqrt(unit @ np.linalg.inv(ellipsoid) @ unit)

    def merge(self, min_strength):
        """Merge the strongest contact, again and again."""
        while True:
            waiting = [pair for pair in self.faces if self.entry[pair] >= min_strength]
            if not waiting:
                return
            pair = max(waiting, key=lambda pair: (self.entry[pair], -self.rank[pair]))
            if self.strength(pair) < self.entry[pair]:
                self.entry[pair] = self.strength(pair)
                continue
            self._join(*pair)

    def _join(self, a, b):
        """Replace part b by part a."""
        self.faces.pop((a, b))
        self.voxels[a] = np.concatenate([self.voxels[a], self.voxels.pop(b)])
        self.peak[a] = max(self.peak[a], self.peak.pop(b))
        self.part_of = {peak: a if part == b else part for peak, part in self.part_of.items()}
        for pair in [pair for pair in self.faces if b in pair]:
            other = pair[0] if pair[1] == b else pair[1]
            new = (min(a, other), max(a, other))
            sign = 1 if (b < other) == (a < other) else -1
            moved = [(axis, sign * s, height) for axis, s, height in self.faces.pop(pair)]
            if new in self.faces:
                self.faces[new] += moved
                self.rank[new] = min(self.rank[new], self.rank[pair])
                self.entry[new] = self.strength(new)
            else:
                self.faces[new], self.rank[new] = moved, self.rank[pair]
                self.entry[new] = self.entry[pair]
