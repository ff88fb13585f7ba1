"""Write meshes as neuroglancer reads them: multi-resolution, compressed, in few files.

::

    info                       position, what made them
    0.shard ...                manifest and fragments of each object
    segment_properties/info    voxels and volume of each object

Coordinates are in voxels, from the centre of voxel (0, 0, 0); ``transform`` places them in nm, in
double precision. The format is specified in src/datasource/precomputed/meshes.md of
google/neuroglancer.
"""

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.results_folder import ResultsFolder
from asem.measure.mesh_fragments import QUANTIZATION_BITS, Part, encode_fragment
from asem.measure.mesh_levels import CellLattice
from asem.provenance import make_provenance
from asem.system.nofollow_files import make_folder_nofollow, replace_file_nofollow
from asem.volume.address import Address
from asem.volume.volume import Volume
from asem.workflows.meshes.fragment_store import FragmentTable, z_order
from asem.workflows.meshes.sharded_file import Sharding, Value, write_shard

INFO_FILE, PROPERTIES = "info", "segment_properties"
PRECOMPUTED_FILES = (INFO_FILE, "*.shard", f"{PROPERTIES}/{INFO_FILE}")
PIXELS_PER_CLUSTER = 4
"""Size on the screen at which neuroglancer changes to the next level of detail, pixels."""
MIN_TRIANGLES_KEPT = 0.1
"""Of those of the level below, in a level that is written; a smooth surface keeps a quarter."""
MANIFEST_HEAD = struct.Struct("<6fI")


def encode_draco(
    positions: npt.NDArray[np.float64], keys: npt.NDArray[np.int32], part: Part, size: int
) -> bytes:
    """Encode a fragment (`asem.workflows.meshes.blocks.Encoder`)."""
    return encode_fragment(positions, part.faces, size)


def write_precomputed(
    output: ResultsFolder,
    table: FragmentTable,
    *,
    labels: Volume,
    lattice: CellLattice,
    first_level: int,
    voxels: npt.NDArray[np.int64],
    address: Address,
) -> int:
    """Write the files of all objects.

    Parameters
    ----------
    output
        The folder.
    table
        Fragments of at least one object.
    labels, lattice
        The instances and their cells.
    first_level
        Finest level of `table`.
    voxels
        Number of voxels of each object of `table`.
    address
        Address of the instances.

    Returns
    -------
    int
        The largest number of levels of detail of an object.
    """
    objects = {int(one.ids[0]): one for one in table.split_by_object()}
    ids = np.array(list(objects), np.uint64)
    sharding = Sharding.of_size(len(ids), int(table.sizes.sum()))
    edge, levels, done = lattice.node_edge(first_level), 0, 0

    def read_value(number: int) -> Value:
        nonlocal levels
        lods = choose_levels(objects[number])
        levels = max(levels, len(lods))
        fragments = (data for lod in lods for data in lod.read())
        return fragments, make_manifest(lods, edge, first_level)

    check = output.journal.check_ownership
    for name, minishards in sharding.split(ids):
        write_shard(output.path / name, minishards, read_value, check)
        done += sum(map(len, minishards))
        output.progress("files", done * lattice.cells.size // len(ids), lattice.cells.size)
    _write_properties(output, ids, voxels, labels)
    info = _make_info(output, sharding, labels, address)
    output.write_file(INFO_FILE, json.dumps(info, indent=1, ensure_ascii=False).encode())
    return levels


def choose_levels(fragments: FragmentTable) -> list[FragmentTable]:
    """Return the fragments of the levels of detail of one object, finest first.

    The last level has one fragment. Objects that are thinner than a cluster fall apart: levels that
    keep less than `MIN_TRIANGLES_KEPT` are left out.
    """
    levels: list[FragmentTable] = []
    for level in range(int(fragments.levels[0]), int(fragments.levels[-1]) + 1):
        one = fragments.select(fragments.levels == level)
        if levels and (
            len(levels[-1].ids) == 1
            or one.triangles.sum() < MIN_TRIANGLES_KEPT * levels[-1].triangles.sum()
        ):
            break
        levels.append(one)
    return levels


def make_manifest(levels: list[FragmentTable], node_edge: int, first_level: int) -> bytes:
    """Return the manifest of an object.

    Parameters
    ----------
    levels
        Its fragments, by level of detail, each in the order of the Z curve.
    node_edge
        Edge of a node of the finest level, voxels.
    first_level
        Its level.
    """
    count = len(levels)
    scales = [2.0 ** (first_level + lod) for lod in range(count)]
    parts = list(_add_empty_nodes(levels))
    return b"".join(
        [
            MANIFEST_HEAD.pack(*[node_edge] * 3, -1, -1, -1, count),  # cell 0 starts at voxel -1
            np.array(scales, "<f4").tobytes(),
            np.zeros((count, 3), "<f4").tobytes(),
            np.array([len(sizes) for _, sizes in parts], "<u4").tobytes(),
            *(
                np.vstack([nodes[:, ::-1].T, sizes]).astype("<u4").tobytes()
                for nodes, sizes in parts
            ),
        ]
    )


def _add_empty_nodes(
    levels: list[FragmentTable],
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield nodes and sizes of each level, with the parents of all nodes below: size 0, if empty.

    Neuroglancer finds a node from its parent.
    """
    below: npt.NDArray[np.int64] = np.empty((0, 3), np.int64)
    for one in levels:
        sizes = {tuple(node): int(size) for node, size in zip(one.nodes, one.sizes, strict=True)}
        missing = {tuple(node) for node in below >> 1} - sizes.keys()
        below, below_sizes = one.nodes, one.sizes
        if missing:
            sizes |= dict.fromkeys(missing, 0)
            nodes = np.array(list(sizes), np.int64)
            order = np.argsort(z_order(nodes))
            below, below_sizes = nodes[order], np.array(list(sizes.values()), np.int64)[order]
        yield below, below_sizes


def _make_info(
    output: ResultsFolder, sharding: Sharding, labels: Volume, address: Address
) -> dict[str, Any]:
    provenance = make_provenance(output.command, output.request, **output.provenance)
    del provenance["finished"]  # the same input and settings give the same bytes
    transform = [0.0] * 12
    for row, (size, nm) in enumerate(
        zip(labels.voxel_size[::-1], labels.offset_nm[::-1], strict=True)
    ):
        transform[4 * row + row], transform[4 * row + 3] = size, nm
    return {
        "@type": "neuroglancer_multilod_draco",
        "vertex_quantization_bits": QUANTIZATION_BITS,
        "transform": transform,
        "lod_scale_multiplier": 1 / PIXELS_PER_CLUSTER,
        "sharding": sharding.specification,
        "segment_properties": PROPERTIES,
        "asem": provenance
        | _name_instances(address, output.path)
        | {
            "instances_id": labels.identity,
            "voxel_size": list(labels.voxel_size),
            "offset_nm": list(labels.offset_nm),
        },
    }


def _name_instances(address: Address, folder: Path) -> dict[str, str]:
    """Return the address of the instances, absolute, and from the folder of the meshes."""
    if address.is_remote:
        return {"instances": str(address)}
    path = address.path.resolve()
    relative = os.path.relpath(path, folder)  # stays right where a cell is moved as a whole
    return {
        "instances": str(replace(address, location=str(path))),
        "instances_relative": str(replace(address, location=relative)),
    }


def _write_properties(
    output: ResultsFolder,
    ids: npt.NDArray[np.uint64],
    voxels: npt.NDArray[np.int64],
    labels: Volume,
) -> None:
    """Write the sizes of the objects, which neuroglancer lists and sorts."""
    volumes = voxels * (float(np.prod(labels.voxel_size)) / 1e9)
    properties = [
        {
            "id": "volume_um3",
            "type": "number",
            "data_type": "float32",
            "description": "volume, cubic um",
            "values": [float(f"{volume:.6g}") for volume in volumes],
        },
        {
            "id": "voxels",
            "type": "number",
            "data_type": "uint32" if voxels.max() < 2**32 else "float32",
            "description": "number of voxels",
            "values": voxels.tolist(),
        },
    ]
    document = {
        "@type": "neuroglancer_segment_properties",
        "inline": {"ids": [str(number) for number in ids], "properties": properties},
    }
    path = make_folder_nofollow(output.path / PROPERTIES) / INFO_FILE
    with replace_file_nofollow(path, output.journal.check_ownership) as file:
        file.write(json.dumps(document).encode())
