"""Write the mesh of each object to a file of its own: OBJ or PLY, positions (x, y, z) in nm."""

import io
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.results_folder import ResultsFolder
from asem.measure.mesh_fragments import Part
from asem.volume.volume import Volume
from asem.workflows.meshes.fragment_store import FragmentTable

PIECE_HEAD = struct.Struct("<qq")
SINGLE_PRECISION_NM = 2.0**17
"""Coordinates below are within 0.01 nm in single precision."""
MAX_FILES = 100_000
"""Most objects that are written, one file each."""


def encode_piece(
    positions: npt.NDArray[np.float64], keys: npt.NDArray[np.int32], part: Part, size: int
) -> bytes:
    """Encode what a block holds of an object (`asem.workflows.meshes.blocks.Encoder`)."""
    head = PIECE_HEAD.pack(len(keys), len(part.faces))
    return b"".join([head, keys.tobytes(), positions.tobytes(), part.faces.tobytes()])


def join_pieces(
    pieces: Iterable[bytes], *, simplified: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Join the pieces of an object at the vertices that blocks share.

    Parameters
    ----------
    pieces
        As `encode_piece` returns them.
    simplified
        Whether they may have double faces, which are removed.

    Returns
    -------
    positions
        Coordinates of the vertices in half voxels (z, y, x), (n, 3).
    faces
        Rows of the vertices of each triangle, (faces, 3).
    """
    keys, positions, faces, first = [], [], [], 0
    for piece in pieces:
        count, triangles = PIECE_HEAD.unpack_from(piece)
        start = PIECE_HEAD.size
        keys.append(np.frombuffer(piece, np.int32, 3 * count, start))
        positions.append(np.frombuffer(piece, np.float64, 3 * count, start + 12 * count))
        corners = np.frombuffer(piece, np.uint32, 3 * triangles, start + 36 * count)
        faces.append(corners.astype(np.int64) + first)
        first += count
    packed = np.zeros(first, np.int64)
    for axis in np.concatenate(keys).reshape(-1, 3).T:
        packed = packed << 21 | axis
    _, first_rows, rows = np.unique(packed, return_index=True, return_inverse=True)
    joined = rows[np.concatenate(faces)].astype(np.int64).reshape(-1, 3)
    unique = np.concatenate(positions).reshape(-1, 3)[first_rows]
    if not simplified:
        return unique, joined
    used, numbered = np.unique(cancel_double_faces(joined), return_inverse=True)
    return unique[used], numbered.reshape(-1, 3)


def cancel_double_faces(faces: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Remove pairs of triangles that face each other: sheets without volume, by simplification.

    An object of nothing else keeps them.

    Examples
    --------
    >>> cancel_double_faces(np.array([[0, 1, 2], [5, 6, 7], [2, 1, 0]])).tolist()
    [[5, 6, 7]]
    """
    corners = np.sort(faces, axis=1)
    a, b, c = faces.T
    is_even = ((a < b) & (b < c)) | ((b < c) & (c < a)) | ((c < a) & (a < b))
    _, groups = np.unique(corners, axis=0, return_inverse=True)
    groups = groups.reshape(-1)
    balance = np.zeros(groups.max(initial=-1) + 1, np.int64)
    np.add.at(balance, groups, np.where(is_even, 1, -1))
    is_left = is_even == (balance[groups] > 0)
    is_left[balance[groups] == 0] = False
    _, first = np.unique(groups[is_left], return_index=True)  # once, if there are several
    kept = faces[is_left][np.sort(first)]
    return kept if len(kept) else faces


def write_mesh_files(
    output: ResultsFolder, table: FragmentTable, labels: Volume, format_name: str
) -> None:
    """Write ``ID.obj`` or ``ID.ply`` for each object of a table of pieces.

    Memory: about 200 bytes per triangle of the largest object.
    """
    write = WRITERS[format_name]
    total, done = int(table.sizes.sum()), 0
    for one in table.split_by_object():
        positions, faces = join_pieces(one.read(), simplified=bool(one.levels[0]))
        nm = labels.offset_nm + (positions / 2 - 1) * labels.voxel_size  # voxel i at 2 (i + 1)
        output.write_file(f"{one.ids[0]}.{format_name}", write(nm[:, ::-1], faces[:, ::-1]))
        done += int(one.sizes.sum())
        output.progress("files", done * labels.roi.size // total, labels.roi.size)


def format_obj(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> bytes:
    """Return a Wavefront OBJ file."""
    text = io.BytesIO()
    np.savetxt(text, vertices, "v %.10g %.10g %.10g", header="unit: nm, axes: x y z")
    np.savetxt(text, faces + 1, "f %d %d %d")
    return text.getvalue()


def format_ply(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> bytes:
    """Return a binary PLY file; in double precision where single is not within 0.01 nm."""
    is_near = np.abs(vertices).max(initial=0) < SINGLE_PRECISION_NM
    name, dtype = ("float", "<f4") if is_near else ("double", "<f8")
    head = (
        "ply\nformat binary_little_endian 1.0\ncomment unit: nm\n"
        f"element vertex {len(vertices)}\n"
        f"property {name} x\nproperty {name} y\nproperty {name} z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.empty(len(faces), np.dtype([("count", "u1"), ("rows", "<i4", 3)]))
    rows["count"], rows["rows"] = 3, faces
    return head.encode() + vertices.astype(dtype).tobytes() + rows.tobytes()


WRITERS: dict[str, Callable[[Any, Any], bytes]] = {"obj": format_obj, "ply": format_ply}
"""Functions that format a mesh: vertices (x, y, z) in nm, and faces."""
