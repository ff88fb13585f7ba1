import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from asem.blocks.block_results import BlockResults
from asem.image.component_records import measure_components
from asem.image.components import (
    _measure_block,
    label_components,
    merge_components,
    relabel_block,
)
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi

small = st.tuples(*[st.integers(1, 9)] * 3)
block_edges = st.tuples(*[st.integers(1, 5)] * 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("partials")


def objects_of(labels, block, folder):
    """Join what blocks find."""
    blocks = list(split_into_blocks(Roi.of_shape(labels.shape), block))
    records = BlockResults(folder / "records")
    for roi in blocks:
        record = _measure_block(
            roi, read_block=lambda r: labels[r.slices], features=None, shape=labels.shape
        )
        records.save(roi, **record)
    return blocks, merge_components(records, blocks, labels.shape)


def instances(labels, block, folder, smallest=1):
    """Number objects block by block."""
    blocks, objects = objects_of(labels, block, folder)
    relabelling = BlockResults(folder / "kept")
    objects.save_relabelling(relabelling, objects.assign_ids(smallest))
    out = np.zeros(labels.shape, np.int64)
    for roi in blocks:
        out[roi.slices] = relabel_block(labels[roi.slices], roi, relabelling)
    return out, objects


@settings(max_examples=40)
@given(arrays(bool, small), block_edges, st.integers(1, 6))
def test_ids_are_those_of_the_whole_labelled_at_once(folder, mask, block, smallest):
    whole, number = ndimage.label(mask)
    sizes = np.bincount(whole.ravel(), minlength=number + 1)[1:]
    ids = np.concatenate([[0], np.where(sizes >= smallest, np.cumsum(sizes >= smallest), 0)])
    found, objects = instances(mask.view(np.uint8), block, folder, smallest)
    assert (found == ids[whole]).all()
    assert sorted(objects.sizes) == sorted(sizes)


@settings(max_examples=40)
@given(arrays(np.uint8, small, elements=st.integers(0, 3)), block_edges)
def test_touching_labels_are_objects_of_their_own(folder, labels, block):
    found, _ = instances(labels, block, folder)
    parts = [ndimage.label(labels == value) for value in (1, 2, 3)]
    assert found.max() == sum(number for _, number in parts)
    for value, (whole, number) in zip((1, 2, 3), parts, strict=True):
        pairs = np.unique(np.stack([whole[labels == value], found[labels == value]]), axis=1)
        assert pairs.shape[1] == number


def test_a_snake_through_all_blocks_is_one_object(folder):
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[::2, ::2] = 1
    labels[::2, 1::4, -1] = labels[::2, 3::4, 0] = 1
    labels[1, -1, -1] = labels[3, -1, 0] = labels[3, -1] = 1
    assert ndimage.label(labels)[1] == 1
    found, objects = instances(labels, (2, 2, 2), folder)
    assert (found == labels).all()
    assert objects.sizes.tolist() == [np.count_nonzero(labels)]


def test_first_voxels_beyond_2_to_the_32_do_not_overflow():
    components = np.array([[[0, 1, 2]]], np.uint16)
    sizes, first = measure_components(
        components, 2, (9_999, 9_999, 9_997), (10_000, 10_000, 10_000)
    )
    assert sizes.tolist() == [1, 1]
    assert first.tolist() == [10**12 - 2, 10**12 - 1]


def test_ids_beyond_2_to_the_32_do_not_overflow(tmp_path):
    _, objects = objects_of(np.array([[[1, 0, 1]]], np.uint8), (1, 1, 2), tmp_path)
    relabelling = BlockResults(tmp_path / "kept")
    objects.save_relabelling(relabelling, objects.assign_ids() + 2**32)
    block = Roi((0, 0, 2), (1, 1, 1))
    assert relabel_block(np.array([[[1]]], np.uint8), block, relabelling).tolist() == [
        [[2**32 + 2]]
    ]


def test_nothing_has_no_objects(folder):
    found, objects = instances(np.zeros((3, 3, 3), np.uint8), (2, 2, 2), folder)
    assert not found.any()
    assert len(objects.sizes) == 0


@pytest.mark.parametrize("change", ["face", "label", "sizes", "becomes"])
def test_records_that_do_not_fit_are_damage(tmp_path, change):
    """Kernels do not check their indices: they would read memory of others."""
    labels = np.ones((4, 4, 4), np.uint8)
    blocks, objects = objects_of(labels, (2, 4, 4), tmp_path)
    found, relabelling = BlockResults(tmp_path / "records"), BlockResults(tmp_path / "kept")
    objects.save_relabelling(relabelling, objects.assign_ids())
    if change == "becomes":
        relabelling.save(blocks[0], becomes=np.zeros(1, np.uint8))
        with pytest.raises(OSError, match="is damaged; give --overwrite to restart"):
            relabel_block(labels[:2], blocks[0], relabelling)
        return
    with np.load(tmp_path / "records/0_0_0.npz") as stored:
        arrays = dict(stored)
    if change == "face":
        arrays["face0-1"][:] = 200
    else:
        arrays[change] = arrays[change][:0]
    found.save(blocks[0], **arrays)
    with pytest.raises(OSError, match=r"0_0_0\.npz is damaged; give --overwrite to restart"):
        merge_components(found, blocks, labels.shape)


def test_ids_of_64_bits():
    labels = np.array([[[2**63, 2**63, 3, 0, 2**64 - 1]]], np.uint64)
    assert label_components(labels).tolist() == [[[1, 1, 2, 0, 3]]]
