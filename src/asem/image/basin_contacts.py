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
        Indices of the basins, int64, (n,); ``first < second``.
    saddles
        Largest value on the contact: of each pair of voxels, the lower landscape; int64, (n,).
    faces
        Number of shared faces across each axis (z, y, x), int64, (n, 3).
    """

    first: Ints
    second: Ints
    saddles: Ints
    faces: Ints

    @classmethod
    def from_rows(
        cls,
        first: npt.NDArray[Any],
        second: npt.NDArray[Any],
        saddles: npt.NDArray[Any],
        faces: npt.NDArray[Any],
    ) -> "Contacts":
        """Merge rows of equal pairs, in any order of the rows and of each pair.

        Rows of a basin with itself are left out.

        Examples
        --------
        >>> faces = np.eye(3, dtype=int)
        >>> merged = Contacts.from_rows([1, 0, 2], [0, 1, 2], [5, 7, 9], faces)
        >>> merged.first, merged.second, merged.saddles, merged.faces
        (array([0]), array([1]), array([7]), array([[1, 1, 0]]))
        """
        low, high = np.minimum(first, second), np.maximum(first, second)
        rows = np.flatnonzero(low != high)
        rows = rows[np.lexsort((high[rows], low[rows]))]
        low, high = low[rows].astype(np.int64), high[rows].astype(np.int64)
        is_new = np.ones(len(rows), bool)
        is_new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        starts = np.flatnonzero(is_new)
        if len(starts) == 0:
            return cls(low, high, low.copy(), np.zeros((0, 3), np.int64))
        return cls(
            low[starts],
            high[starts],
            np.maximum.reduceat(np.asarray(saddles)[rows].astype(np.int64), starts),
            np.add.reduceat(np.asarray(faces)[rows].astype(np.int64), starts, axis=0),
        )

    @classmethod
    def concatenate(cls, parts: "list[Contacts]") -> "Contacts":
        """Merge the rows of several tables."""
        empty = np.zeros(0, np.int64)
        first, second, saddles = (
            np.concatenate([empty, *(getattr(part, name) for part in parts)])
            for name in ("first", "second", "saddles")
        )
        faces = np.concatenate([np.zeros((0, 3), np.int64), *(part.faces for part in parts)])
        return cls.from_rows(first, second, saddles, faces)

    def relabel(self, basin_of: Ints) -> "Contacts":
        """Replace each index by that of another basin, ``basin_of[index]``."""
        return self.from_rows(basin_of[self.first], basin_of[self.second], self.saddles, self.faces)
