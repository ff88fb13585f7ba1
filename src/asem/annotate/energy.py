"""Binary pairwise energy on a graph, its minimum cut, and the margin of each node."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.annotate.edits import BACKGROUND, FOREGROUND
from asem.annotate.maxflow import min_cut_source_side
from asem.volume.roi import IntZYX, per_axis


@dataclass(frozen=True)
class Energy:
    """Energy of a binary labelling of nodes: E(A) = sum_u unary + sum_(u,v) pair [A_u != A_v].

    Parameters
    ----------
    unary
        Cost of each label of a node, (n, 2): foreground, background.
    first, second, pairwise
        Edges and the costs of cutting them, not negative, (m,).
    hard_constraints
        Stroke label of a constrained node, or 0, (n,).
    """

    unary: npt.NDArray[np.float64]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    pairwise: npt.NDArray[np.float64]
    hard_constraints: npt.NDArray[np.uint8]

    def evaluate(self, foreground: npt.NDArray[np.bool_]) -> float:
        """Return the energy of a labelling, (n,); infinite where it violates a hard constraint."""
        violates = np.where(
            foreground, self.hard_constraints == BACKGROUND, self.hard_constraints == FOREGROUND
        )
        if violates.any():
            return float("inf")
        costs = np.where(foreground, self.unary[:, 0], self.unary[:, 1]).sum()
        cut = foreground[self.first] != foreground[self.second]
        return float(costs + self.pairwise[cut].sum())

    def minimize(self) -> npt.NDArray[np.bool_]:
        """Return the labelling of minimum energy, True foreground: a minimum cut of the graph.

        Of several such labellings, the one whose foreground contains that of all others
        (`asem.annotate.maxflow.min_cut_source_side`).

        Raises
        ------
        ValueError
            A cost of an edge is negative or not finite, or one of a label is not a number.
        """
        excess = self.unary[:, 1] - self.unary[:, 0]
        excess[self.hard_constraints == FOREGROUND] = np.inf
        excess[self.hard_constraints == BACKGROUND] = -np.inf
        return min_cut_source_side(self.first, self.second, self.pairwise, excess)

    def node_margins(self, foreground: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return the increase in energy where each node, alone, changes its label, (n,)."""
        own = np.where(foreground, self.unary[:, 1] - self.unary[:, 0], 0)
        own += np.where(foreground, 0, self.unary[:, 0] - self.unary[:, 1])
        change = np.where(
            foreground[self.first] == foreground[self.second], self.pairwise, -self.pairwise
        )
        for ends in (self.first, self.second):
            own += np.bincount(ends, change, len(own))
        own[self.hard_constraints != 0] = np.inf
        return own


@dataclass(frozen=True)
class Cut:
    """Minimum cut of a region, in voxels.

    Parameters
    ----------
    foreground
        bool, shape (z, y, x).
    energy
        Energy of the cut.
    node_labels
        int32, the node of each bin of `bin_factors` voxels.
    bin_factors
        Voxels of a bin along each axis.
    node_margins
        Increase in energy where a node, alone, changes its label; infinite where strokes constrain
        it, (n,). Small margins are uncertain.
    """

    foreground: npt.NDArray[np.bool_]
    energy: float
    node_labels: npt.NDArray[np.int32]
    bin_factors: IntZYX
    node_margins: npt.NDArray[np.float64]

    @property
    def voxel_margins(self) -> npt.NDArray[np.float32]:
        """Margin of each voxel's node, float32, the shape of `foreground`."""
        margins = self.node_margins.astype(np.float32)[self.node_labels]
        for axis, factor in enumerate(self.bin_factors):
            margins = margins.repeat(factor, axis)
        z, y, x = self.foreground.shape
        return margins[:z, :y, :x]

    def find_least_certain_voxel(self) -> IntZYX | None:
        """Return a voxel near the centre of the node of minimum margin; None if all are bound.

        Of nodes with equal margins, the first one.
        """
        if not np.isfinite(self.node_margins).any():
            return None
        bins = np.argwhere(self.node_labels == int(np.argmin(self.node_margins)))
        central = bins[np.argmin(((bins - bins.mean(0)) ** 2).sum(1))]
        return per_axis(
            lambda position, factor, size: min(position * factor + factor // 2, size - 1),
            central.tolist(),
            self.bin_factors,
            self.foreground.shape,
        )


def find_minimum_cut(
    energy: Energy,
    node_labels: npt.NDArray[np.int32],
    *,
    bin_factors: IntZYX = (1, 1, 1),
    to_voxels: Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.bool_]] | None = None,
) -> Cut:
    """Return the cut of minimum energy.

    Parameters
    ----------
    energy
        Energy of n nodes.
    node_labels, bin_factors
        Node of each bin, and voxels of a bin, as in `Cut`.
    to_voxels
        Converts the foreground of bins to that of voxels; None: bins are voxels.
    """
    sides = energy.minimize()
    foreground = sides[node_labels]
    return Cut(
        foreground if to_voxels is None else to_voxels(foreground),
        energy.evaluate(sides),
        node_labels,
        bin_factors,
        energy.node_margins(sides),
    )
