"""Contacts of basins: where two parts of an object share faces of voxels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Contacts:
    """Contacts of pairs of basins, one row each, ordered by the pairs.

    Parameters
    ----------
    first, second
        Indices of the basins, (n,); ``first < second``.
    faces
        Number of shared faces across each axis (z, y, x), (n, 3).
    normals
        The same, where a face counts -1 if the second basin is in front of it: the direction from
        the first basin to the second, (n, 3).
    heights
        Sum over the faces of the landscape, of the lower voxel at each one, (n,).
    """

    first: Ints
    second: Ints
    faces: Ints
    normals: Ints
    heights: Ints

    @classmethod
    def from_rows(
        cls,
        first: npt.ArrayLike,
        second: npt.ArrayLike,
        faces: npt.ArrayLike,
        normals: npt.ArrayLike,
        heights: npt.ArrayLike,
    ) -> "Contacts":
        """Add up rows of equal pairs, in any order of the rows and of each pair.

        Rows of a basin with itself are left out.

        Examples
        --------
        >>> faces = np.eye(3, dtype=int)
        >>> merged = Contacts.from_rows([1, 0, 2], [0, 1, 2], faces, faces, [5, 7, 9])
        >>> merged.first, merged.second, merged.faces, merged.normals, merged.heights
        (array([0]), array([1]), array([[1, 1, 0]]), array([[-1,  1,  0]]), array([12]))
        """
        a, b = np.asarray(first, np.int64), np.asarray(second, np.int64)
        low, high = np.minimum(a, b), np.maximum(a, b)
        rows = np.flatnonzero(low != high)
        rows = rows[np.lexsort((high[rows], low[rows]))]
        sign = np.where(a < b, 1, -1)[:, None]
        low, high = low[rows], high[rows]
        is_new = np.ones(len(rows), bool)
        is_new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        starts = np.flatnonzero(is_new)

        def add_up(values: npt.ArrayLike) -> Ints:
            column = np.asarray(values, np.int64)[rows]
            return np.add.reduceat(column, starts, axis=0) if len(starts) else column

        return cls(
            low[starts],
            high[starts],
            add_up(faces),
            add_up(np.asarray(normals) * sign),
            add_up(heights),
        )

    @classmethod
    def concatenate(cls, parts: "list[Contacts]") -> "Contacts":
        """Add up the rows of several tables."""
        parts = [cls.empty(), *parts]
        first, second, faces, normals, heights = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("first", "second", "faces", "normals", "heights")
        )
        return cls.from_rows(first, second, faces, normals, heights)

    @classmethod
    def empty(cls) -> "Contacts":
        """Return a table without rows."""
        row, rows = np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
        return cls(row, row, rows, rows, row)

    def relabel(self, basin_of: Ints) -> "Contacts":
        """Replace each index by that of another basin, ``basin_of[index]``."""
        first, second = basin_of[self.first], basin_of[self.second]
        return self.from_rows(first, second, self.faces, self.normals, self.heights)


def collect_contacts(
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    axes: npt.NDArray[Any],
    heights: npt.NDArray[Any],
) -> Contacts:
    """Return the contacts of faces, of which each is one row; the second voxel is the one behind.

    Parameters
    ----------
    first, second
        Basins of the voxels on both sides, (faces,).
    axes
        Axis across each face, (faces,).
    heights
        Landscape of the lower of both voxels, (faces,).
    """
    faces = np.eye(3, dtype=np.int64)[axes]
    return Contacts.from_rows(first, second, faces, faces, heights)
