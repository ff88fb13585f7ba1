import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from asem.annotate.hard_constraints import (
    constrain_nodes,
    downsample_strokes,
    drop_grazing_strokes,
    split_conflicts,
)


def test_strokes_on_bins():
    """Of the four voxels of a bin, those drawn count; of as many of either label, foreground."""
    strokes = np.array([[[1, 2, 2, 0, 1], [0, 0, 2, 1, 0]]], np.uint8)
    assert downsample_strokes(strokes, (1, 2, 2), (1, 1, 3)).tolist() == [[[1, 2, 1]]]


def test_a_segment_with_both_labels_is_split_by_the_nearer_stroke():
    labels = np.array([[[0, 0, 0, 0, 0, 1]]], np.int32)
    strokes = np.array([[[1, 0, 0, 2, 0, 0]]], np.uint8)
    split, conflicting = split_conflicts(labels, strokes, (1.0, 1.0, 1.0))
    assert split.tolist() == [[[0, 0, 2, 2, 2, 1]]]
    assert conflicting.tolist() == [0]


@given(st.integers(0, 10**6), st.sampled_from([0, 1, 3, 30]), st.sampled_from([np.uint8, np.int64]))
def test_a_split_resolves_all_conflicts_and_changes_nothing_else(seed, drawn, dtype):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (3, 4, 5)).astype(np.int32)
    labels.flat[:4] = np.arange(4)
    before, strokes = labels.copy(), np.zeros(labels.shape, dtype)
    for label in (1, 2):
        strokes.flat[rng.integers(0, strokes.size, drawn)] = label
    spacing = (2.0, 1.0, 0.5)
    split, conflicting = split_conflicts(labels, strokes, spacing)
    assert np.array_equal(labels, before)
    expected = [n for n in range(4) if {1, 2} <= set(strokes[labels == n].tolist())]
    assert conflicting.tolist() == expected
    if not expected:
        assert split is labels
    parents = np.concatenate([np.arange(4), conflicting])
    assert split.dtype == np.int32
    assert np.array_equal(parents[split], labels)
    assert np.array_equal(np.unique(split), np.arange(len(parents)))
    for new, old in enumerate(expected, start=4):
        to_foreground, to_background = (
            ndimage.distance_transform_edt((labels != old) | (strokes != label), spacing)
            for label in (1, 2)
        )
        nearer = (labels == old) & (to_background < to_foreground)
        assert np.array_equal(split == new, nearer)
    constraints = constrain_nodes(split, strokes, len(parents))
    assert constraints.dtype == np.uint8
    assert np.array_equal(constraints[split][strokes != 0], strokes[strokes != 0])
    assert split_conflicts(split, strokes, spacing)[0] is split


def test_nodes_without_strokes_are_free():
    labels, strokes = np.array([[[0, 1, 2]]], np.int32), np.array([[[2, 0, 1]]], np.uint8)
    assert constrain_nodes(labels, strokes, 4).tolist() == [2, 0, 1, 0]


def test_a_grazed_segment_is_not_constrained():
    """Three segments of 200, 200 and 40 bins in a row; one stroke ends in each of the others."""
    labels = np.repeat([2, 0, 1], (40, 200, 200)).astype(np.int32).reshape(1, 1, 440)
    strokes = np.zeros(labels.shape, np.uint8)
    strokes[..., 38:242] = 1  # two bins are 1 % of segment 1, but 5 % of segment 2
    remaining = drop_grazing_strokes(strokes, labels)
    assert (remaining[..., 38:240] == 1).all()
    assert not remaining[..., 240:].any()
    strokes[..., 242] = 1  # three bins do not graze
    assert np.array_equal(drop_grazing_strokes(strokes, labels), strokes)


@pytest.mark.parametrize("size", [1, 2])
def test_a_click_remains_with_other_strokes(rng, size):
    """One bin within a large segment, and strokes of its label elsewhere."""
    labels = (np.arange(1000) // 500).astype(np.int32).reshape(10, 10, 10)
    strokes = np.zeros(labels.shape, np.uint8)
    strokes[7, 5, 5 : 5 + size] = 2
    for z in (0, 2, 4, 8):
        strokes[z, rng.integers(10)] = 2
        assert drop_grazing_strokes(strokes, labels)[7, 5, 5] == 2
    strokes[7, 5, 5 + size] = 1  # a neighbour of another label is another stroke
    assert np.array_equal(drop_grazing_strokes(strokes, labels), strokes)
