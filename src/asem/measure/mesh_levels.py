"""Meshes of the objects of a block, and coarser levels of detail by vertex clustering.

Marching cubes put their vertices halfway between voxel centres, so that coordinates in half voxels
are integers and neighbouring blocks compute equal ones on the plane that they share. Cell c spans
the voxel centres c - 1 and c::

    voxel                   0     1     2     3        cell 0 is beyond the border
    cell                 0     1     2     3     4
    coordinate        0  1  2  3  4  5  6  7  8  9     even: voxel centre, odd: between two

A level halves the resolution: the vertices in each cluster of 2 x 2 x 2 cells become one, at the
mean of the vertices of level 0. Those on a plane that a node of the octree needs as a border or as
its middle are clustered within that plane only, so that no triangle crosses it and both sides
compute one vertex from the same integers::

    node border                       |     middle of a node of the next level
    cells                 . . . . . . | . . . . . . |
    clusters             (. .|. .|. .)o(. .|. .|. .)o     o: within the plane

The image of a closed mesh under such a map is closed (triangles that collapse to a line vanish). No
point moves by more than the diagonal of a cluster (Rossignac and Borrel, Multi-resolution 3D
approximations for rendering complex scenes, 1993).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import IntZYX, Roi, per_axis

BLOCK_LEVEL = 2
"""Level of detail at which a block is one node of the octree."""
MAX_COORDINATE = 2**21
"""Coordinates are smaller, so that three of them fit into 64 bits."""


@dataclass(frozen=True)
class CellLattice:
    """The cells of a volume, and the nodes of the octree of its meshes.

    Parameters
    ----------
    shape
        Voxels of the volume. There is one cell more along each axis.
    node_cells
        Edge of a node in cells of its level, even.

    Examples
    --------
    >>> lattice = CellLattice((100, 100, 100), node_cells=16)
    >>> lattice.top_level, len(lattice.blocks(2)), [str(b) for b in lattice.blocks(3)]
    (3, 8, ['0:101,0:101,0:101'])
    """

    shape: IntZYX
    node_cells: int = 64

    def __post_init__(self) -> None:
        if 2 * (max(self.shape) + 1) >= MAX_COORDINATE:
            raise ValueError(
                f"an axis of {max(self.shape):,} voxels; meshes are made of at most "
                f"{MAX_COORDINATE // 2 - 2:,} voxels along an axis"
            )

    @property
    def cells(self) -> Roi:
        """The extent in cells."""
        return Roi.of_shape(size + 1 for size in self.shape)

    def node_edge(self, level: int) -> int:
        """Return the edge of a node of a level, in cells of level 0."""
        return self.node_cells << level

    @property
    def top_level(self) -> int:
        """The lowest level, from `BLOCK_LEVEL` on, at which one node holds everything."""
        level = BLOCK_LEVEL
        while self.node_edge(level) < max(self.cells.shape):
            level += 1
        return level

    def blocks(self, level: int) -> list[Roi]:
        """Return the nodes of a level, clipped to the volume, in cells of level 0."""
        edge = self.node_edge(level)
        return list(split_into_blocks(self.cells, (edge, edge, edge)))

    def children(self, node: Roi, level: int) -> list[Roi]:
        """Return the nodes of the level below within a node of a level."""
        edge = self.node_edge(level - 1)
        return list(split_into_blocks(node, (edge, edge, edge)))


@dataclass(frozen=True)
class LevelMesh:
    """Meshes of several objects at one level.

    Parameters
    ----------
    ids
        Ids of the objects, ascending, uint64, (n,).
    owners
        Row in `ids` of each vertex, int32, (vertices,).
    keys
        Cluster of each vertex along (z, y, x), int32, (vertices, 3): 2c + 1 within cell c of the
        level, 2c on the plane below it. At level 0, the coordinate of the vertex.
    sums, counts
        Sum of the coordinates of its vertices of level 0, int64, (vertices, 3), and their number,
        int64, (vertices,). Some vertices may be of no triangle any more.
    faces
        Rows of the vertices of each triangle, int32, (faces, 3), counter-clockwise if seen from
        outside in right-handed axes (z, y, x).
    """

    ids: npt.NDArray[np.uint64]
    owners: npt.NDArray[np.int32]
    keys: npt.NDArray[np.int32]
    sums: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    faces: npt.NDArray[np.int32]

    @classmethod
    def from_coordinates(
        cls,
        ids: npt.NDArray[np.uint64],
        owners: npt.NDArray[np.int32],
        keys: npt.NDArray[np.int32],
        faces: npt.NDArray[np.int32],
    ) -> "LevelMesh":
        """Return a mesh of level 0."""
        return cls(ids, owners, keys, keys.astype(np.int64), np.ones(len(keys), np.int64), faces)

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """The coordinates of the vertices in half voxels, (vertices, 3)."""
        return np.asarray(self.sums / self.counts[:, None])

    @property
    def face_owners(self) -> npt.NDArray[np.int32]:
        """Row in `ids` of each triangle, (faces,)."""
        return self.owners[self.faces[:, 0]]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def select(self, is_selected: npt.NDArray[np.bool_]) -> "LevelMesh":
        """Return the meshes of the selected objects, bool, (n,)."""
        if is_selected.all():
            return self
        kept = is_selected[self.owners]
        rows = np.cumsum(kept, dtype=np.int32) - 1
        new_owners = np.cumsum(is_selected, dtype=np.int32) - 1
        return LevelMesh(
            self.ids[is_selected],
            new_owners[self.owners[kept]],
            self.keys[kept],
            self.sums[kept],
            self.counts[kept],
            rows[self.faces[is_selected[self.face_owners]]],
        )


def coarsen(mesh: LevelMesh, node_cells: int) -> tuple[LevelMesh, npt.NDArray[np.bool_]]:
    """Cluster the vertices of a mesh for the next level.

    Parameters
    ----------
    mesh
        Vertices of an object with equal keys are one.
    node_cells
        Edge of a node of the octree in cells of its level, even.

    Returns
    -------
    coarse
        The mesh of the next level.
    is_kept
        Which triangles did not collapse, bool, (faces,).
    """
    keys = mesh.keys
    on_plane = keys % (2 * node_cells) == 0
    coarse_keys = np.where(on_plane, keys >> 1, 2 * (keys >> 2) + 1).astype(np.int32)
    order, starts, groups = _group_equal(mesh.owners, coarse_keys)
    first = order[starts]
    corners = groups[mesh.faces]
    a, b, c = corners.T
    is_kept = (a != b) & (b != c) & (c != a)
    coarse = LevelMesh(
        mesh.ids,
        mesh.owners[first],
        coarse_keys[first],
        _sum_groups(mesh.sums, order, starts),
        _sum_groups(mesh.counts, order, starts),
        corners[is_kept],
    )
    return coarse, is_kept


def merge(meshes: Sequence[LevelMesh]) -> LevelMesh:
    """Join the meshes of adjacent nodes of one level: vertices of an object with equal keys.

    Nodes that share a vertex have the same sum and count for it.
    """
    ids = np.unique(np.concatenate([mesh.ids for mesh in meshes]))
    owners = [np.searchsorted(ids, mesh.ids).astype(np.int32)[mesh.owners] for mesh in meshes]
    first_rows = np.cumsum([0, *(len(mesh.keys) for mesh in meshes)])
    faces = [mesh.faces + first for mesh, first in zip(meshes, first_rows[:-1], strict=True)]
    joined = LevelMesh(
        ids,
        np.concatenate(owners),
        np.concatenate([mesh.keys for mesh in meshes]),
        np.concatenate([mesh.sums for mesh in meshes]),
        np.concatenate([mesh.counts for mesh in meshes]),
        np.concatenate(faces),
    )
    order, starts, groups = _group_equal(joined.owners, joined.keys)
    first = order[starts]
    return LevelMesh(
        ids,
        joined.owners[first],
        joined.keys[first],
        joined.sums[first],
        joined.counts[first],
        groups[joined.faces],
    )


def _group_equal(
    owners: npt.NDArray[np.int32], keys: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.int32]]:
    """Group vertices of equal owner and key.

    Returns
    -------
    order
        Rows, sorted by owner and key.
    starts
        First place of each group in `order`.
    groups
        Group of each row, int32.
    """
    packed = _pack(owners, keys)
    order = np.argsort(packed)
    ordered = packed[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    groups = np.empty(len(order), np.int32)
    groups[order] = np.cumsum(is_first, dtype=np.int32) - 1
    return order, np.flatnonzero(is_first), groups


def _pack(owners: npt.NDArray[np.int32], keys: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
    """Return one integer per vertex, in the order of owner and key."""
    if len(keys) == 0:
        return np.zeros(0, np.uint64)
    low = keys.min(axis=0)
    extents = per_axis(lambda a, b: int(a) - int(b) + 1, keys.max(axis=0), low)
    if (int(owners.max()) + 1) * prod(extents) >= 2**64:
        raise ValueError("too many objects in one block of meshes")
    packed = owners.astype(np.uint64)
    for axis, extent in enumerate(extents):
        packed *= np.uint64(extent)
        packed += (keys[:, axis] - low[axis]).astype(np.uint64)
    return packed


def _sum_groups(
    values: npt.NDArray[np.int64], order: npt.NDArray[np.intp], starts: npt.NDArray[np.intp]
) -> npt.NDArray[np.int64]:
    if len(starts) == 0:
        return values[:0]
    return np.asarray(np.add.reduceat(values[order], starts, axis=0))
