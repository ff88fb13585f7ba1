"""Split meshes into the nodes of an octree, and encode them with Draco for neuroglancer.

A fragment is what one node holds of one object. Its vertices are integers of `QUANTIZATION_BITS`
bits from one border of the node to the other, rounded half up, so that the middle of the node,
where neuroglancer divides it, is an integer, too. Borders are exact, and two nodes round a vertex
on the border between them alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.measure.mesh_levels import LevelMesh
from asem.volume.roi import Roi

QUANTIZATION_BITS = 16
LARGEST_STEP = 2**QUANTIZATION_BITS - 1
ORIGIN = np.zeros(3)
COMPRESSION_LEVEL = 7
"""Of Draco, 0 to 10: higher levels are slower and hardly smaller."""


@dataclass(frozen=True)
class Part:
    """The triangles of one object in one node.

    Parameters
    ----------
    row
        Row of the object in the ids of the mesh.
    node
        Number of the node, as given.
    vertices
        Rows of the vertices in the mesh, (n,).
    faces
        Rows in `vertices`, uint32, (faces, 3).
    """

    row: int
    node: int
    vertices: npt.NDArray[np.int32]
    faces: npt.NDArray[np.uint32]


def find_face_nodes(mesh: LevelMesh, block: Roi, node_cells: int) -> npt.NDArray[np.int32]:
    """Return the node of each triangle of a block at level 0, (faces, 3), counted in the volume."""
    low = np.array(block.offset) // node_cells
    high = (np.array(block.end) - 1) // node_cells
    return np.asarray(_find_nodes(mesh.keys, mesh.faces, 2 * node_cells, low, high))


def split_by_node(mesh: LevelMesh, face_nodes: npt.NDArray[np.int32]) -> Iterator[Part]:
    """Yield the triangles of each object in each node, in the order of both.

    Parameters
    ----------
    mesh
        The meshes.
    face_nodes
        Number of the node of each triangle, (faces,), not negative.
    """
    if len(mesh.faces) == 0:
        return
    groups = mesh.face_owners.astype(np.int64) * (int(face_nodes.max()) + 1) + face_nodes
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    faces, vertices, vertex_ends = _number_vertices(mesh.faces[order], ends, len(mesh.keys))
    first = 0
    for start, end, last in zip(starts, ends, vertex_ends, strict=True):
        row, node = int(mesh.owners[mesh.faces[order[start], 0]]), int(face_nodes[order[start]])
        yield Part(row, node, vertices[first:last], faces[start:end])
        first = int(last)


def encode_fragment(
    positions: npt.NDArray[np.float64], faces: npt.NDArray[np.uint32], size: int
) -> bytes:
    """Compress a mesh as neuroglancer reads it.

    Parameters
    ----------
    positions
        Coordinates of the vertices (z, y, x) from the first corner of the node, (n, 3).
    faces
        Rows of the vertices, (faces, 3), counter-clockwise from outside in axes (z, y, x).
    size
        Edge of the node, in the unit of the positions.
    """
    import DracoPy

    steps = np.floor(positions * LARGEST_STEP / size + 0.5)  # exact in the middle of the node
    encoded: bytes = DracoPy.encode(
        np.ascontiguousarray(steps[:, ::-1], np.float32),  # x, y, z: the axes are mirrored
        np.ascontiguousarray(faces[:, ::-1]),
        quantization_bits=QUANTIZATION_BITS,
        quantization_range=LARGEST_STEP,  # so that Draco keeps the integers
        quantization_origin=ORIGIN,
        compression_level=COMPRESSION_LEVEL,
    )
    return encoded


@njit(cache=True)
def _number_vertices(faces, ends, count):  # type: ignore[no-untyped-def]
    """Return rows of vertices counted in each group of triangles, in the order of first use."""
    local, stamps = np.empty(count, np.int32), np.full(count, -1, np.int32)
    numbered = np.empty(faces.shape, np.uint32)
    vertices, used = np.empty(faces.size, np.int32), 0
    vertex_ends = np.empty(len(ends), np.int64)
    start = 0
    for group in range(len(ends)):
        first = used
        for face in range(start, ends[group]):
            for corner in range(3):
                vertex = faces[face, corner]
                if stamps[vertex] != group:
                    stamps[vertex] = group
                    local[vertex] = used - first
                    vertices[used] = vertex
                    used += 1
                numbered[face, corner] = local[vertex]
        start = ends[group]
        vertex_ends[group] = used
    return numbered, vertices[:used].copy(), vertex_ends


@njit(cache=True)
def _find_nodes(keys, faces, size, low, high):  # type: ignore[no-untyped-def]
    """Return the node of the centroid of each triangle, within `low` to `high`."""
    nodes = np.empty(faces.shape, np.int32)
    for face in range(len(faces)):
        for axis in range(3):
            total = 0
            for corner in range(3):
                total += keys[faces[face, corner], axis]
            nodes[face, axis] = min(max(total // (3 * size), low[axis]), high[axis])
    return nodes
