"""Levels of detail: block-wise equals whole, closed, and no triangle crosses a node."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asem.measure.block_meshes import mesh_block, open_at_border, read_block
from asem.measure.mesh_levels import (
    CellLattice,
    LevelMesh,
    coarsen,
    merge,
)
from asem.measure.object_columns import BlockObjects
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from meshes import is_closed, is_manifold, triangles_of, volume_of

NODE = 4
SHAPE = (13, 18, 21)


def meshed(labels, cells=None):
    volume = Volume(labels, (5.0, 5.0, 5.0), kind="labels")
    cells = cells or CellLattice(labels.shape).cells
    voxels = read_block(volume, cells)
    objects = BlockObjects.from_labels(voxels)
    return mesh_block(objects, objects.numbers(voxels.shape), cells)


def blobs(rng, shape=SHAPE, count=3):
    """Random bodies of several voxels, which touch at faces, edges and corners."""
    coarse = rng.integers(0, count + 1, [-(-n // 3) for n in shape]).astype(np.uint8)
    fine = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)[: shape[0], : shape[1], : shape[2]]
    return np.where(rng.random(shape) < 0.1, rng.integers(0, count + 1, shape), fine).astype(
        np.uint8
    )


def of_object(mesh, row):
    """Return keys and faces of one object."""
    return mesh.keys, mesh.faces[mesh.face_owners == row]


def all_triangles(mesh):
    """Return the triangles of all objects, with ids and exact positions."""
    positions = np.column_stack([mesh.ids[mesh.owners], mesh.sums * 720720 // mesh.counts[:, None]])
    return triangles_of(positions, mesh.faces)


def levels_by_blocks(labels, lattice, top):
    """Return the meshes of all levels, each joined from the nodes of the level."""
    nodes = {}
    for block in lattice.blocks(2):
        mesh = meshed(labels, block)
        nodes.setdefault(0, []).append(mesh)
        for level in (1, 2):
            mesh, _ = coarsen(mesh, lattice.node_cells)
            nodes.setdefault(level, []).append(mesh)
    below = dict(zip(lattice.blocks(2), nodes[2], strict=True))
    for level in range(3, top + 1):
        own = {}
        for node in lattice.blocks(level):
            parts = [below[child] for child in lattice.children(node, level)]
            own[node], _ = coarsen(merge(parts), lattice.node_cells)
        nodes[level], below = list(own.values()), own
    return [merge(nodes[level]) for level in range(top + 1)]


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_blocks_make_the_mesh_of_the_whole(seed):
    labels = blobs(np.random.default_rng(seed))
    lattice = CellLattice(labels.shape, NODE)
    whole = meshed(labels)
    for level, joined in enumerate(levels_by_blocks(labels, lattice, 3)):
        if level:
            whole, _ = coarsen(whole, NODE)
        assert all_triangles(joined) == all_triangles(whole)
        assert len(joined.faces) == len(whole.faces)
        assert joined.counts.sum() == whole.counts.sum()


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_level_is_closed_and_within_its_clusters(seed):
    mesh = meshed(blobs(np.random.default_rng(seed)))
    for level in range(4):
        for row in range(len(mesh.ids)):
            _, faces = of_object(mesh, row)
            assert is_closed(faces)
            assert level or is_manifold(faces)
        cluster = 2 << level  # in half voxels
        low, inside = mesh.keys // 2 * cluster, mesh.keys % 2 * cluster
        assert (mesh.positions >= low).all()
        assert (mesh.positions <= low + inside).all()
        if level:
            half_node = NODE << level
            corners = mesh.positions[mesh.faces]
            first = np.floor(corners.min(axis=1) / half_node)
            assert (corners.max(axis=1) <= (first + 1) * half_node).all()
        mesh, _ = coarsen(mesh, NODE)


def test_the_whole_of_random_voxels_is_closed(rng):
    labels = rng.integers(0, 3, (9, 9, 9)).astype(np.uint16)
    mesh = meshed(labels)
    assert mesh.ids.tolist() == [1, 2]
    for row in (0, 1):
        keys, faces = of_object(mesh, row)
        assert is_manifold(faces)
        assert 0.6 < volume_of(keys / 2, faces) / np.count_nonzero(labels == row + 1) < 1


def test_objects_that_touch_at_an_edge_are_closed_each():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1, 1, :2] = 1
    labels[2, 2, :2] = 2
    labels[1, 2, 2], labels[2, 1, 2] = 1, 1  # one object that touches itself at an edge
    mesh = meshed(labels)
    for row in (0, 1):
        assert is_manifold(of_object(mesh, row)[1])


@pytest.mark.parametrize(
    ("body", "volume"),
    [
        (np.s_[2, 2, 2], 1 / 6),  # an octahedron
        (np.s_[2, 2, 1:4], 1 / 6 + 2 / 2),  # a line: square prisms of half a voxel
        (np.s_[1:4, 1:4, 2], 1 / 6 + 4 * 1 + 4 * 2 / 4),
    ],
)
def test_thin_objects(body, volume):
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[body] = 7
    mesh = meshed(labels)
    assert mesh.ids.tolist() == [7]
    assert is_manifold(mesh.faces)
    assert volume_of(mesh.keys / 2, mesh.faces) == pytest.approx(volume)


def test_coordinates_are_those_of_voxels():
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[0, 1, 2] = 3
    mesh = meshed(labels)
    assert mesh.keys.min(axis=0).tolist() == [1, 3, 5]  # voxel i is at 2 (i + 1)
    assert mesh.keys.max(axis=0).tolist() == [3, 5, 7]


def test_unlabelled_voxels_are_background():
    labels = np.full((4, 4, 4), 255, np.uint8)
    labels[1, 1, 1] = 254
    mesh = meshed(labels)
    assert mesh.ids.tolist() == [254]
    assert volume_of(mesh.keys / 2, mesh.faces) == pytest.approx(1 / 6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_ids_are_kept(dtype):
    largest = int(np.iinfo(dtype).max) - 1
    labels = np.zeros((3, 3, 9), dtype)
    labels[1, 1, 1], labels[1, 1, 4] = largest, 1
    assert meshed(labels).ids.tolist() == [1, largest]


def test_a_block_within_an_object_has_no_mesh():
    mesh = meshed(np.ones((40, 40, 40), np.uint8), Roi((16,) * 3, (8,) * 3))
    assert len(mesh.ids) == len(mesh.keys) == len(mesh.faces) == 0
    assert len(coarsen(mesh, NODE)[0].keys) == 0


def test_an_open_border_has_edges_there_only(rng):
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[:3, 2:, 3] = 1
    labels[4, 4, 6] = 2
    closed = meshed(labels)
    assert is_closed(closed.faces)
    mesh = open_at_border(closed, labels.shape)
    assert not is_closed(of_object(mesh, 0)[1])
    assert is_closed(of_object(mesh, 1)[1])
    keys, faces = of_object(mesh, 0)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    single = {tuple(e) for e in edges.tolist()} - {tuple(e[::-1]) for e in edges.tolist()}
    ends = keys[np.array(sorted(single))]
    at_border = (ends == 2) | (ends == 2 * np.array(labels.shape))
    assert at_border.all(axis=1).any(axis=1).all()


def test_selected_objects(rng):
    mesh = meshed(blobs(rng))
    chosen = mesh.select(np.array([False, True, True]))
    assert chosen.ids.tolist() == [2, 3]
    for row in (0, 1):
        assert triangles_of(*of_object(chosen, row)) == triangles_of(*of_object(mesh, row + 1))
    assert mesh.select(np.ones(3, bool)) is mesh


def test_too_many_voxels_or_objects():
    CellLattice((2**20 - 2, 1, 1))
    with pytest.raises(ValueError, match="at most 1,048,574 voxels along an axis"):
        CellLattice((2**20 - 1, 1, 1))
    keys = np.array([[0, 0, 0], [2**21, 2**21, 2**21]], np.int32)
    owners, ids = np.array([0, 1], np.int32), np.array([4, 5], np.uint64)
    mesh = LevelMesh.from_coordinates(ids, owners, keys, np.zeros((0, 3), np.int32))
    with pytest.raises(ValueError, match="too many objects in one block"):
        merge([mesh])
