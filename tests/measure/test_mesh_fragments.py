"""Fragments: every triangle in one node, and integers that Draco keeps."""

import DracoPy
import numpy as np
import pytest

from asem.measure.mesh_fragments import (
    LARGEST_STEP,
    encode_fragment,
    find_face_nodes,
    split_by_node,
)
from asem.measure.mesh_levels import LevelMesh
from asem.volume.roi import Roi
from meshes import triangles_of, volume_of

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.uint32)


def mesh_of(keys, faces, owners=None, ids=(5,)):
    keys = np.array(keys, np.int32)
    owners = np.zeros(len(keys), np.int32) if owners is None else np.array(owners, np.int32)
    faces = np.array(faces, np.int32).reshape(-1, 3)
    return LevelMesh.from_coordinates(np.array(ids, np.uint64), owners, keys, faces)


def test_positions_are_integers_and_the_middle_of_a_node_is_one():
    size = 96  # not a power of two
    positions = np.array([[0, 0, 0], [size / 2, 0, 0], [0, 1, 0], [0, 0, size]], float)
    mesh = DracoPy.decode(encode_fragment(positions, TETRAHEDRON, size))
    steps = {tuple(row) for row in mesh.points.tolist()}
    assert steps == {(0, 0, 0), (0, 0, 32768), (0, 683, 0), (LARGEST_STEP, 0, 0)}


def test_triangles_stay_counter_clockwise_from_outside():
    positions = np.array([[0, 0, 0], [8, 0, 0], [0, 8, 0], [0, 0, 4]], float)
    assert volume_of(positions, TETRAHEDRON) > 0
    mesh = DracoPy.decode(encode_fragment(positions, TETRAHEDRON, 8))
    assert volume_of(mesh.points, np.asarray(mesh.faces)) == pytest.approx(
        volume_of(positions, TETRAHEDRON) * (LARGEST_STEP / 8) ** 3, rel=1e-3
    )


def test_triangles_on_a_border_are_of_a_node_of_their_block():
    keys = [(0, 0, 8), (2, 0, 8), (0, 2, 8), (1, 0, 9), (0, 1, 7)]
    mesh = mesh_of(keys, [(0, 1, 2), (0, 1, 3), (0, 1, 4)])
    left, right = Roi((0, 0, 0), (4, 4, 4)), Roi((0, 0, 4), (4, 4, 8))
    assert find_face_nodes(mesh, left, 2)[:, 2].tolist() == [1, 1, 1]
    assert find_face_nodes(mesh, right, 2)[:, 2].tolist() == [2, 2, 2]
    everywhere = Roi((0, 0, 0), (4, 4, 12))
    assert find_face_nodes(mesh, everywhere, 2)[:, 2].tolist() == [2, 2, 1]


def test_parts_hold_each_triangle_once(rng):
    keys, owners = rng.integers(0, 99, (60, 3)), np.repeat([0, 1, 2], 20)
    faces = np.concatenate([rng.integers(20 * k, 20 * k + 20, (30, 3)) for k in range(3)])
    mesh = mesh_of(keys, faces[rng.permutation(90)], owners, (3, 4, 9))
    nodes = rng.integers(0, 4, 90).astype(np.int32)
    parts = list(split_by_node(mesh, nodes))
    assert [(part.row, part.node) for part in parts] == sorted(
        set(zip(mesh.face_owners.tolist(), nodes.tolist(), strict=True))
    )
    for part in parts:
        own = (mesh.face_owners == part.row) & (nodes == part.node)
        assert len(part.faces) == own.sum()
        assert triangles_of(mesh.keys[part.vertices], part.faces) == triangles_of(
            mesh.keys, mesh.faces[own]
        )
        assert len(np.unique(part.vertices)) == len(part.vertices) == part.faces.max() + 1
    assert list(split_by_node(mesh_of(keys, []), nodes[:0])) == []
