"""Energies of two labels over the nodes of a graph, their minimum, and what it says of voxels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.annotate.maxflow import source_side
from asem.annotate.strokes import BACKGROUND, FOREGROUND
from asem.volume.roi import Triple


@dataclass(frozen=True)
class Energy:
    """An energy of two labels over nodes: E(A) = sum_u unary + sum_(u,v) pair [A_u != A_v].

    Parameters
    ----------
    unary
        What each label costs a node, (n, 2): foreground, background.
    first, second, pair
        Edges and what it costs to cut them, not negative.
    bound
        Code of the stroke that binds a node, or 0, (n,).
    """

    unary: npt.NDArray[np.float64]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    pair: npt.NDArray[np.float64]
    bound: npt.NDArray[np.uint8]

    def of(self, foreground: npt.NDArray[np.bool_]) -> float:
        """Return the energy of a labelling, (n,); infinite where it contradicts a stroke."""
        against = np.where(foreground, self.bound == BACKGROUND, self.bound == FOREGROUND)
        if against.any():
            return float("inf")
        costs = np.where(foreground, self.unary[:, 0], self.unary[:, 1]).sum()
        cut = foreground[self.first] != foreground[self.second]
        return float(costs + self.pair[cut].sum())

    def minimize(self) -> npt.NDArray[np.bool_]:
        """Return the labelling of least energy, True foreground: a minimum cut of the graph.

        Of several labellings of least energy, the one whose foreground contains that of all others
        (`asem.annotate.maxflow.source_side`).

        Raises
        ------
        ValueError
            Costs of edges that are negative or not finite, costs of labels that are not numbers.
        """
        excess = self.unary[:, 1] - self.unary[:, 0]
        excess[self.bound == FOREGROUND] = np.inf
        excess[self.bound == BACKGROUND] = -np.inf
        return source_side(self.first, self.second, self.pair, excess)

    def margins(self, foreground: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return by how much the energy rises where each node, alone, changes sides."""
        own = np.where(foreground, self.unary[:, 1] - self.unary[:, 0], 0)
        own += np.where(foreground, 0, self.unary[:, 0] - self.unary[:, 1])
        change = np.where(foreground[self.first] == foreground[self.second], self.pair, -self.pair)
        for ends in (self.first, self.second):
            own += np.bincount(ends, change, len(own))
        own[self.bound != 0] = np.inf
        return own


@dataclass(frozen=True)
class Cut:
    """A minimum cut, in voxels.

    Parameters
    ----------
    foreground
        bool, shape (z, y, x).
    energy
        Of the cut.
    pieces
        int32, the node that each bin of `factors` voxels belongs to.
    factors
        Voxels of a bin along each axis.
    margins
        By how much the energy would rise were a node, alone, on the other side; infinite where
        strokes bind it, (n,). What is small is uncertain.
    """

    foreground: npt.NDArray[np.bool_]
    energy: float
    pieces: npt.NDArray[np.int32]
    factors: Triple
    margins: npt.NDArray[np.float64]

    @property
    def margin(self) -> npt.NDArray[np.float32]:
        """The margin of each voxel's node, the shape of `foreground`."""
        coarse = self.margins.astype(np.float32)[self.pieces]
        for axis, factor in enumerate(self.factors):
            coarse = coarse.repeat(factor, axis)
        z, y, x = self.foreground.shape
        return coarse[:z, :y, :x]

    def least_certain(self) -> Triple | None:
        """Return a voxel of the node of the least margin, about its middle; None if all are bound.

        Of nodes with equal margins the first one.
        """
        if not np.isfinite(self.margins).any():
            return None
        places = np.argwhere(self.pieces == int(np.argmin(self.margins)))
        inner = places[np.argmin(((places - places.mean(0)) ** 2).sum(1))]
        z, y, x = (
            min(int(place) * factor + factor // 2, size - 1)
            for place, factor, size in zip(inner, self.factors, self.foreground.shape, strict=True)
        )
        return z, y, x
