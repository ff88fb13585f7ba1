"""Store the fragments of meshes that blocks make: bytes in one file per block, and a table of them.

::

    .asem/meshes/0_0_0.npz               a row per fragment; the mesh that the next level merges
    .asem/meshes fragments/0_0_0.bin     bytes of the fragments, in the same order
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.block_results import BlockResults
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.measure.mesh_fragments import Part
from asem.measure.mesh_levels import BLOCK_LEVEL, CellLattice, LevelMesh
from asem.system.nofollow_files import make_folder_nofollow, open_nofollow, replace_file_nofollow
from asem.system.npz import ArraySpec
from asem.system.overwrite_policy import advise_restart
from asem.volume.roi import Roi

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
    order = np.lexsort((z_order(columns["nodes"]), columns["levels"], ids))
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


def z_order(nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the position of nodes (z, y, x) along the Z curve: bits ... z1 y1 x1 z0 y0 x0."""
    code = np.zeros(len(nodes), np.uint64)
    for bit in range(int(nodes.max(initial=0)).bit_length()):
        for axis in range(3):
            bits = (nodes[:, axis] >> bit & 1).astype(np.uint64)
            code |= bits << np.uint64(3 * bit + 2 - axis)
    return code


def _are_rows(rows: npt.NDArray[Any], count: int) -> bool:
    return rows.size == 0 or (int(rows.min()) >= 0 and int(rows.max()) < count)
