"""Basins of blocks, joined, are those of the whole volume; merged, those of plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asem.blocks.block_results import BlockResults
from asem.image.basin_merging import merge_basins
from asem.image.basin_records import make_record, merge_records
from asem.image.basins import find_basins
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi
from splitting_oracle import peaks_of, split_whole

small = st.tuples(*[st.integers(1, 7)] * 3)
block_edges = st.tuples(*[st.integers(1, 5)] * 3)
VOXEL_SIZE = (7.0, 5.0, 4.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


def block_basins(labels, landscape, block):
    """Find the basins of a block, which is read with a margin of one voxel."""
    margin = block.grow((1, 1, 1)).intersect(Roi.of_shape(labels.shape))
    core = block.shift(tuple(-start for start in margin.offset)).slices
    return find_basins(labels[margin.slices], landscape[margin.slices], core)


def joined_basins(labels, landscape, edges, folder):
    """Return the basins of a volume, and the basin of each voxel, -1 in the background."""
    records, local = BlockResults(folder / "records"), {}
    for block in split_into_blocks(Roi.of_shape(labels.shape), edges):
        found = block_basins(labels, landscape, block)
        part = block.slices
        records.save(
            block, **make_record(found, labels[part], landscape[part], block, labels.shape)
        )
        local[block] = found.labels
    basins = merge_records(records, list(local), labels.shape)
    of_voxel = np.full(labels.shape, -1)
    for block, names in local.items():
        of_label = basins.basin_of_label[basins.label_slices[block]]
        of_voxel[block.slices] = np.concatenate([[-1], of_label])[names]
    return basins, of_voxel


@st.composite
def landscapes(draw):
    """Labels, and few different heights, so that there are plateaus and ties."""
    shape = draw(small)
    labels = draw(arrays(np.uint8, shape, elements=st.integers(0, 2)))
    heights = draw(arrays(np.int32, shape, elements=st.integers(0, draw(st.sampled_from([1, 99])))))
    return labels, heights


@settings(max_examples=60, deadline=None)
@given(landscapes(), block_edges, st.sampled_from([0.0, 0.15, 0.5, 1.0, 2.0]))
def test_blocks_give_the_objects_of_plain_python(folder, volume, edges, min_strength):
    labels, landscape = volume
    basins, of_voxel = joined_basins(labels, landscape, edges, folder)
    peaks = peaks_of(labels, landscape)
    assert (np.unique(peaks[peaks >= 0], return_inverse=True)[1] == of_voxel[peaks >= 0]).all()
    assert (of_voxel[peaks < 0] == -1).all()
    assert basins.sizes.tolist() == np.bincount(of_voxel[of_voxel >= 0]).tolist()
    object_of = merge_basins(
        basins.sizes, basins.moments, basins.peaks, basins.contacts,
        voxel_size=VOXEL_SIZE, min_strength=min_strength,
    )  # fmt: skip
    first = np.full(len(basins.sizes), labels.size)
    np.minimum.at(first, object_of, basins.first_voxels)
    ids = np.argsort(np.argsort(first[np.unique(object_of)])) + 1
    ids = ids[np.unique(object_of, return_inverse=True)[1]]
    found = np.concatenate([ids, [0]])[of_voxel]  # -1 is the last entry
    assert (found == split_whole(labels, landscape, VOXEL_SIZE, min_strength)).all()


def test_a_path_may_cross_many_blocks_and_return(folder):
    """A ridge that rises along a snake through all blocks."""
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[::2, ::2] = 1
    labels[::2, 1::4, -1] = labels[::2, 3::4, 0] = 1
    labels[1, -1, -1] = labels[3, 0, 0] = 1
    landscape = np.zeros(labels.shape, np.int32)
    place, before, height = (0, 0, 0), None, 0
    while place is not None:
        height += 1
        landscape[place] = height
        near = [tuple(np.add(place, s * e)) for e in np.eye(3, dtype=int) for s in (-1, 1)]
        near = [n for n in near if min(n) >= 0 and max(n) < 5 and labels[n] and n != before]
        assert len(near) <= 1
        place, before = (near[0] if near else None), place
    assert height == labels.sum()
    basins, of_voxel = joined_basins(labels, landscape, (2, 2, 2), folder)
    assert (of_voxel == np.where(labels, 0, -1)).all()
    assert basins.sizes.tolist() == [height]
    assert basins.peaks.tolist() == [height]
    assert basins.first_voxels.tolist() == [0]


def test_moments_beyond_2_to_the_32_do_not_overflow():
    labels = np.ones((1, 1, 2), np.uint8)
    block, shape = Roi((99_998, 0, 0), (1, 1, 2)), (99_999, 1, 2)
    found = find_basins(
        labels, np.ones(labels.shape, np.int32), (slice(0, 1),) * 2 + (slice(0, 2),)
    )
    record = make_record(found, labels, np.ones(labels.shape, np.int32), block, shape)
    assert record["first"].tolist() == [2 * 99_998]


def test_nothing_has_no_basins(folder):
    empty = np.zeros((3, 3, 3), np.uint8)
    basins, of_voxel = joined_basins(empty, empty.astype(np.int32), (2, 2, 2), folder)
    assert (of_voxel == -1).all()
    assert len(basins.sizes) == len(basins.contacts.first) == 0


@pytest.mark.parametrize(
    "change", ["local00", "root", "exit", "sizes", "contact_second", "contact_faces", "moments"]
)
def test_records_that_do_not_fit_are_damage(tmp_path, change):
    """Kernels do not check their indices: they would read memory of others."""
    labels = np.ones((4, 4, 4), np.uint8)
    landscape = np.arange(64, dtype=np.int32).reshape(4, 4, 4) % 7
    joined_basins(labels, landscape, (2, 4, 4), tmp_path)
    with np.load(tmp_path / "records/0_0_0.npz") as stored:
        arrays = dict(stored)
    assert len(arrays["contact_second"])
    if change in ("local00", "root", "exit", "contact_second"):
        arrays[change] = np.full_like(arrays[change], 200)
    else:
        arrays[change] = arrays[change][:-1]
    records = BlockResults(tmp_path / "records")
    blocks = list(split_into_blocks(Roi.of_shape(labels.shape), (2, 4, 4)))
    records.save(blocks[0], **arrays)
    with pytest.raises(OSError, match=r"0_0_0\.npz is damaged; give --overwrite to restart"):
        merge_records(records, blocks, labels.shape)
