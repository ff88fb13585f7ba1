"""Energies between supervoxels: what they share, so that an energy states only its two terms.

E(A) = sum_u unary_u(A_u) + sum_(u,v adjacent) pairwise_uv [A_u != A_v]

Strokes are hard constraints: a supervoxel with strokes of one label has it; one with both is split,
each voxel going to the nearer stroke. Grazing strokes are not dropped here, unlike in
`asem.annotate.membrane_energy`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from asem.annotate.adjacency import Adjacency, find_adjacency
from asem.annotate.bins import relative_spacing
from asem.annotate.energy import Cut, Energy, find_minimum_cut
from asem.annotate.hard_constraints import constrain_nodes, split_conflicts
from asem.annotate.supervoxels import slic_supervoxels
from asem.config import NmZYX
from asem.volume.roi import IntZYX, per_axis


@dataclass(frozen=True)
class SupervoxelGraph:
    """Supervoxels of a region, and their adjacency.

    Parameters
    ----------
    labels
        int32, shape (z, y, x): 0, 1, ...
    intensity
        Grey values in [0, 1], float32, shape (z, y, x).
    spacing
        Voxel size over its geometric mean.
    """

    labels: npt.NDArray[np.int32]
    intensity: npt.NDArray[np.float32]
    spacing: NmZYX

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Voxels of each supervoxel, (n,)."""
        return np.bincount(self.labels.ravel())

    @cached_property
    def adjacency(self) -> Adjacency:
        """The pairs that share a face, m of them."""
        return find_adjacency(self.labels)

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the sum of an image of shape (z, y, x) over each supervoxel, (n,).

        Examples
        --------
        >>> labels, intensity = np.array([[[0, 0, 1]]]), np.array([[[0.25, 0.5, 1]]])
        >>> SupervoxelGraph(labels, intensity, (1.0, 1.0, 1.0)).sums(intensity)
        array([0.75, 1.  ])
        """
        return np.asarray(np.bincount(self.labels.ravel(), values.ravel()), np.float64)

    def means(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the mean of an image of shape (z, y, x) over each supervoxel, (n,)."""
        return self.sums(values) / self.sizes


@dataclass(frozen=True)
class SupervoxelTerms:
    """The terms of an energy. `prepare` is that of an `asem.annotate.graphcut.EnergyEntry`.

    Parameters
    ----------
    unary
        Returns the cost of each label of a supervoxel, (n, 2): foreground, background; of a graph,
        strokes of shape (z, y, x) and the settings.
    pairwise
        Returns the cost of each pair's boundary, not negative, (m,); of a graph and the settings.
    """

    unary: Callable[[SupervoxelGraph, npt.NDArray[np.integer], Any], npt.NDArray[np.float64]]
    pairwise: Callable[[SupervoxelGraph, Any], npt.NDArray[np.float64]]

    def prepare(
        self, intensity: npt.NDArray[np.float32], voxel_size: NmZYX, config: Any
    ) -> "PreparedSupervoxels":
        """Divide a region into supervoxels.

        Parameters
        ----------
        intensity
            Grey values in [0, 1], shape (z, y, x), not all equal.
        voxel_size
            nm.
        config
            Settings of the energy; `supervoxels` are those of `slic_supervoxels`.
        """
        labels = slic_supervoxels(intensity, voxel_size, config.supervoxels)
        graph = SupervoxelGraph(labels, intensity, relative_spacing(voxel_size))
        return self.prepare_graph(graph, config)

    def prepare_graph(self, graph: SupervoxelGraph, config: Any) -> "PreparedSupervoxels":
        """Compute the part of the energy that does not depend on strokes."""
        return PreparedSupervoxels(graph, self.pairwise(graph, config), self, config)


@dataclass(frozen=True)
class PreparedSupervoxels:
    """Prepared region of an energy between supervoxels.

    Parameters
    ----------
    graph
        The supervoxels.
    pairwise
        Cost of each pair's boundary, (m,).
    terms, config
        The energy.
    """

    graph: SupervoxelGraph
    pairwise: npt.NDArray[np.float64]
    terms: SupervoxelTerms
    config: Any

    @property
    def shape(self) -> IntZYX:
        """Voxels."""
        return per_axis(int, self.graph.labels.shape)

    def cut(
        self, strokes: npt.NDArray[np.integer], prior: npt.NDArray[np.uint8] | None = None
    ) -> Cut:
        """Return the cut of minimum energy (`asem.annotate.graphcut.cut_region`); no prior."""
        if prior is not None:
            raise ValueError('the selected energy allows no prediction; use energy = "membranes"')
        region = self.split(strokes)
        return find_minimum_cut(region.build_energy(strokes), region.graph.labels)

    def split(self, strokes: npt.NDArray[np.integer]) -> Self:
        """Return the region without supervoxels that have strokes of both labels."""
        labels, conflicting = split_conflicts(self.graph.labels, strokes, self.graph.spacing)
        if not conflicting.size:
            return self
        graph = replace(self.graph, labels=labels)
        return replace(self, graph=graph, pairwise=self.terms.pairwise(graph, self.config))

    def build_energy(self, strokes: npt.NDArray[np.integer]) -> Energy:
        """Return the energy; no supervoxel has strokes of both labels."""
        graph, pairs = self.graph, self.graph.adjacency
        unary = self.terms.unary(graph, strokes, self.config)
        assert unary.shape == (len(graph.sizes), 2)
        assert self.pairwise.shape == pairs.first.shape
        constraints = constrain_nodes(graph.labels, strokes, len(graph.sizes))
        return Energy(unary, pairs.first, pairs.second, self.pairwise, constraints)

    def with_boundary(self, *, smoothing_nm: float, threshold: float) -> Self:
        """Return the region itself: the boundary has no settings."""
        return self
