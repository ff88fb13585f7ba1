"""Mesh the objects of an image block by block, and merge blocks for coarser levels of detail.

::

    stage     meshes       blocks of 256 voxels: levels 0, 1 and 2
              level 3      8 blocks each: objects of several blocks, from their level 2
              level 4 ...  until one node holds the volume

Each stores its fragments, what a node holds of an object, in one file of bytes and a table of them,
and the mesh that the next stage merges. Memory depends on the surfaces in one block only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.measure.block_meshes import (
    MESHED_VOXEL_BYTES,
    count_voxels,
    mesh_block,
    open_at_border,
    read_block,
    select_objects,
)
from asem.measure.mesh_fragments import Part, find_face_nodes, split_by_node
from asem.measure.mesh_levels import (
    BLOCK_LEVEL,
    CellLattice,
    LevelMesh,
    coarsen,
    merge,
)
from asem.measure.object_columns import BlockObjects
from asem.volume.id_selection import IdSelection
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.meshes.fragment_store import FRAGMENT_SPECS, Fragments, FragmentStore

MESHES = "meshes"
"""Stage of the blocks."""
Encoder = Callable[[npt.NDArray[np.float64], npt.NDArray[np.int32], Part, int], bytes]
"""Encodes a part of a mesh: positions from the corner of its node and keys of its vertices, the
part, and the edge of the node in half voxels."""


@dataclass(frozen=True)
class MeshPlan:
    """What is meshed, and which levels are written.

    Parameters
    ----------
    labels
        The instances.
    lattice
        Its cells and nodes.
    first_level, last_level
        Levels that are written. The first is the finest level of detail of the output.
    encode
        Encodes each fragment; can be pickled.
    by_node
        Whether fragments are split by the nodes of their level, or contain all of a block.
    ids
        Objects that are meshed; None: all.
    closed
        Whether objects that touch the border of the volume are closed there.
    """

    labels: Volume
    lattice: CellLattice
    first_level: int
    last_level: int
    encode: Encoder
    by_node: bool = True
    ids: IdSelection | None = None
    closed: bool = True


def mesh_blocks(output: BlockOutput, plan: MeshPlan) -> list[FragmentStore]:
    """Mesh all blocks and levels; return the stores of the stages, finest first."""
    stores = [FragmentStore.open(output, MESHES)]
    blocks = plan.lattice.blocks(BLOCK_LEVEL)
    largest = max(block.size for block in blocks)
    output.run(
        partial(_mesh_one_block, plan=plan, store=stores[0]),
        blocks,
        stage=MESHES,
        block_bytes=MESHED_VOXEL_BYTES * largest,
    )
    for level in range(BLOCK_LEVEL + 1, plan.last_level + 1):
        stage, children = f"level {level}", stores[-1]
        # the last level of an object is the first one at which one node holds it
        ids = _find_divided(children, plan.lattice, level - 1) if level > plan.first_level else None
        stores.append(FragmentStore.open(output, stage))
        output.run(
            partial(
                _merge_one_node,
                plan=plan,
                level=level,
                ids=ids,
                children=children,
                store=stores[-1],
            ),
            plan.lattice.blocks(level),
            stage=stage,
            block_bytes=MESHED_VOXEL_BYTES * largest // 8,
        )
    return stores


def _mesh_one_block(block: Roi, *, plan: MeshPlan, store: FragmentStore) -> None:
    """Mesh a block, and write its levels up to that of which it is one node."""
    voxels = select_objects(read_block(plan.labels, block), plan.ids)
    objects = BlockObjects.from_labels(voxels)
    ids, counts = count_voxels(objects, voxels.shape)
    mesh = mesh_block(objects, objects.numbers(voxels.shape), block)
    if not plan.closed:
        mesh = open_at_border(mesh, plan.labels.shape)
    nodes = find_face_nodes(mesh, block, plan.lattice.node_cells)
    fragments = Fragments()
    for level in range(min(BLOCK_LEVEL, plan.last_level) + 1):
        if level > 0:
            mesh, is_kept = coarsen(mesh, plan.lattice.node_cells)
            nodes = nodes[is_kept] >> 1
        _add_level(fragments, plan, mesh, nodes, level)
    left = mesh if plan.last_level > BLOCK_LEVEL else mesh.select(np.zeros(len(mesh.ids), np.bool_))
    store.save(block, fragments, left.arrays() | {"count_ids": ids, "voxels": counts})


def _find_divided(store: FragmentStore, lattice: CellLattice, level: int) -> npt.NDArray[np.uint64]:
    """Return the ids of the objects that have fragments in several nodes of a level."""
    specs = {name: FRAGMENT_SPECS[name] for name in ("fragment_ids", "levels")}
    parts = [store.load(block, specs) for block in lattice.blocks(level)]
    own = [part["fragment_ids"][part["levels"] == level] for part in parts]
    ids, counts = np.unique(np.concatenate(own), return_counts=True)
    return ids[counts > 1]


def _merge_one_node(
    node: Roi,
    *,
    plan: MeshPlan,
    level: int,
    ids: npt.NDArray[np.uint64] | None,
    children: FragmentStore,
    store: FragmentStore,
) -> None:
    """Merge the meshes of the nodes within a node; write them at its level.

    Only objects of `ids`; None: all.
    """
    mesh = merge([children.load_mesh(child) for child in plan.lattice.children(node, level)])
    if ids is not None:
        mesh = mesh.select(np.isin(mesh.ids, ids))
    mesh, _ = coarsen(mesh, plan.lattice.node_cells)
    fragments = Fragments()
    position = np.array(node.offset, np.int32) // plan.lattice.node_edge(level)
    nodes = np.broadcast_to(position, (len(mesh.faces), 3))
    _add_level(fragments, plan, mesh, nodes, level)
    store.save(node, fragments, mesh.arrays())


def _add_level(
    fragments: Fragments,
    plan: MeshPlan,
    mesh: LevelMesh,
    nodes: npt.NDArray[np.int32],
    level: int,
) -> None:
    """Encode the fragments of a mesh, if its level is written."""
    if not plan.first_level <= level <= plan.last_level or len(mesh.faces) == 0:
        return
    if not plan.by_node:
        nodes = np.zeros_like(nodes)
    low = nodes.min(axis=0)
    extent = nodes.max(axis=0) - low + 1
    numbers = np.ravel_multi_index(tuple((nodes - low).T), tuple(extent)).astype(np.int32)
    corners = np.argwhere(np.ones(extent, np.bool_)) + low
    positions, size = mesh.positions, 2 * plan.lattice.node_edge(level)
    for part in split_by_node(mesh, numbers):
        corner = corners[part.node]
        local = positions[part.vertices] - size * corner
        fragments.data.append(plan.encode(local, mesh.keys[part.vertices], part, size))
        fragments.add(level, int(mesh.ids[part.row]), corner, part)
