"""Mesh the objects of an image block by block, and merge blocks for coarser levels of detail.

::

    stage     meshes       blocks of 256 voxels: levels 0, 1 and 2
              level 3      8 blocks each: objects of several blocks, from their level 2
              level 4 ...  until one node holds the volume

Each stores its fragments, what a node holds of an object, in one file of bytes and a table of them,
and the mesh that the next stage merges. Memory depends on the surfaces in one block only.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.block_results import BlockResults
from asem.blocks.output_ownership import JOURNAL_FOLDER
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
from asem.system.nofollow_files import make_folder_nofollow, open_nofollow, replace_file_nofollow
from asem.system.npz import ArraySpec
from asem.system.overwrite_policy import advise_restart
from asem.volume.id_selection import IdSelection
from asem.volume.roi import Roi
from asem.volume.volume import Volume

MESHES = "meshes"
"""Stage of the blocks."""
FRAGMENT_SPECS = {
    "fragment_ids": ArraySpec("uint64", (None,)),
    "levels": ArraySpec("int64", (None,)),
    "nodes": ArraySpec("int64", (None, 3)),
    "triangles": ArraySpec("int64", (None,)),
    "sizes": ArraySpec("int64", (None,)),
}
COUNT_SPECS = {"count_ids": ArraySpec("uint64", (None,)), "voxels": ArraySpec("int64", (None,))}
MESH_SPECS = {
    "ids": ArraySpec("uint64", (None,)),
    "owners": ArraySpec("int32", (None,)),
    "keys": ArraySpec("int32", (None, 3)),
    "sums": ArraySpec("int64", (None, 3)),
    "counts": ArraySpec("int64", (None,)),
    "faces": ArraySpec("int32", (None, 3)),
}
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


@dataclass(frozen=True)
class FragmentStore:
    """Stores the fragments and the remaining meshes of the nodes of one stage; can be pickled."""

    results: BlockResults
    folder: Path
    check_ownership: Callable[[], None]

    @classmethod
    def open(cls, output: BlockOutput, stage: str) -> "FragmentStore":
        """Open the store of a stage of an output, deleted when the output is finished."""
        folder = output.path / JOURNAL_FOLDER / f"{stage} fragments"
        return cls(output.block_results(stage), folder, output.journal.ownership_check)

    def save(self, block: Roi, fragments: "Fragments", arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Store the fragments of a block, and further arrays."""
        make_folder_nofollow(self.folder)
        with replace_file_nofollow(self.path(block), self.check_ownership) as file:
            file.write(b"".join(fragments.data))
        self.results.save(block, **fragments.arrays(), **arrays)

    def path(self, block: Roi) -> Path:
        """Return the file of the bytes of the fragments of a block."""
        return self.folder / f"{'_'.join(map(str, block.offset))}.bin"

    def load(self, block: Roi, specs: dict[str, ArraySpec]) -> dict[str, npt.NDArray[Any]]:
        """Return stored arrays of a block; raise OSError where their lengths differ."""
        arrays = self.results.load(block, **specs)
        lengths = {len(arrays[name]) for name in specs}
        if specs is not MESH_SPECS and len(lengths) > 1:
            raise self.results.make_damage_error(block)
        return arrays

    def load_mesh(self, block: Roi) -> LevelMesh:
        """Return the mesh that a block left for the next stage."""
        arrays = self.load(block, MESH_SPECS)
        owners, faces, count = arrays["owners"], arrays["faces"], len(arrays["keys"])
        if (
            not len(owners) == len(arrays["sums"]) == len(arrays["counts"]) == count
            or not _are_rows(owners, len(arrays["ids"]))
            or not _are_rows(faces, count)
            or (count and arrays["counts"].min() < 1)
        ):
            raise self.results.make_damage_error(block)
        return LevelMesh(**arrays)


class Fragments:
    """Fragments of a block that are collected: their bytes and a row of a table for each."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.rows: list[tuple[int, int, int, int, int, int]] = []
        self.ids: list[int] = []

    def add(self, level: int, number: int, node: npt.NDArray[np.int64], part: Part) -> None:
        """Add a row for the bytes that were appended to `data` last."""
        self.ids.append(number)
        self.rows.append((level, *node, len(part.faces), len(self.data[-1])))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the table, `FRAGMENT_SPECS`."""
        rows = np.array(self.rows, np.int64).reshape(-1, 6)
        return {
            "fragment_ids": np.array(self.ids, np.uint64),
            "levels": rows[:, 0],
            "nodes": rows[:, 1:4],
            "triangles": rows[:, 4],
            "sizes": rows[:, 5],
        }


@dataclass(frozen=True)
class FragmentTable:
    """All fragments of an output, sorted by object, level and node.

    Parameters
    ----------
    ids, levels, nodes, triangles, sizes
        A row per fragment: id, level, node (z, y, x) and triangles, and its bytes.
    files, offsets
        Row of its file in `paths`, and its first byte there.
    paths
        Files of the fragments.
    """

    ids: npt.NDArray[np.uint64]
    levels: npt.NDArray[np.int64]
    nodes: npt.NDArray[np.int64]
    triangles: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    files: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    paths: tuple[Path, ...]

    def select(self, rows: Any) -> "FragmentTable":
        """Return a table of some rows."""
        names = ("ids", "levels", "nodes", "triangles", "sizes", "files", "offsets")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def split_by_object(self) -> Iterator["FragmentTable"]:
        """Yield the rows of each object."""
        starts = np.flatnonzero(np.concatenate([[True], self.ids[1:] != self.ids[:-1]]))
        for start, end in zip(starts, [*starts[1:], len(self.ids)], strict=True):
            yield self.select(slice(start, end))

    def read(self) -> Iterator[bytes]:
        """Yield the bytes of each fragment, in order.

        Raises
        ------
        OSError
            A file is shorter than it was written.
        """
        for file, offset, size in zip(self.files, self.offsets, self.sizes, strict=True):
            path = self.paths[file]
            with open_nofollow(path, os.O_RDONLY) as opened:
                opened.seek(offset)
                data = opened.read(size)
            if len(data) != size:
                raise OSError(advise_restart(f"{path} is damaged"))
            yield data


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


def load_fragments(stores: list[FragmentStore], lattice: CellLattice) -> FragmentTable:
    """Return all fragments that `mesh_blocks` stored."""
    parts: list[dict[str, npt.NDArray[Any]]] = []
    paths: list[Path] = []
    for number, store in enumerate(stores):
        for block in lattice.blocks(BLOCK_LEVEL + number):
            part = store.load(block, FRAGMENT_SPECS)
            part["files"] = np.full(len(part["sizes"]), len(paths), np.int64)
            part["offsets"] = np.cumsum(part["sizes"]) - part["sizes"]
            parts.append(part)
            paths.append(store.path(block))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ids = columns.pop("fragment_ids")
    order = np.lexsort((_z_order(columns["nodes"]), columns["levels"], ids))
    ordered = {name: values[order] for name, values in columns.items()}
    return FragmentTable(ids=ids[order], paths=tuple(paths), **ordered)


def count_objects(
    store: FragmentStore, lattice: CellLattice
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return the ids of all objects in the blocks, ascending, and their voxels."""
    parts = [store.load(block, COUNT_SPECS) for block in lattice.blocks(BLOCK_LEVEL)]
    ids, rows = np.unique(np.concatenate([p["count_ids"] for p in parts]), return_inverse=True)
    voxels = np.zeros(len(ids), np.int64)
    np.add.at(voxels, rows, np.concatenate([part["voxels"] for part in parts]))
    return ids, voxels


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


def _z_order(nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the position of nodes (z, y, x) along the Z curve: bits ... z1 y1 x1 z0 y0 x0."""
    code = np.zeros(len(nodes), np.uint64)
    for bit in range(int(nodes.max(initial=0)).bit_length()):
        for axis in range(3):
            bits = (nodes[:, axis] >> bit & 1).astype(np.uint64)
            code |= bits << np.uint64(3 * bit + 2 - axis)
    return code


def _are_rows(rows: npt.NDArray[Any], count: int) -> bool:
    return rows.size == 0 or (int(rows.min()) >= 0 and int(rows.max()) < count)
