import numpy as np

from asem.annotate.fragments import FragmentConfig, Fragments, touching_of
from asem.annotate.marks import binned_strokes, split, without_grazes


def test_strokes_on_bins():
    """Of the four voxels of a bin, those drawn count; of as many of either kind, foreground."""
    strokes = np.array([[[1, 2, 2, 0, 1], [0, 0, 2, 1, 0]]], np.uint8)
    assert binned_strokes(strokes, (1, 2, 2), (1, 1, 3)).tolist() == [[[1, 2, 1]]]


def test_a_fragment_with_both_kinds_is_cut_by_the_nearer_stroke():
    labels = np.array([[[0, 0, 0, 0, 0, 1]]], np.int32)
    ridge = np.zeros((1, 1, 6), np.float32)
    marks = np.array([[[1, 0, 0, 2, 0, 0]]], np.uint8)
    fragments = Fragments(labels, ridge, 1.0, touching_of(labels, ridge, 0), FragmentConfig())
    found, parents = split(fragments, marks, (1.0, 1.0, 1.0))
    assert found.labels.tolist() == [[[0, 0, 2, 2, 2, 1]]]
    assert parents.tolist() == [0, 1, 0]
    assert found.touching.first.tolist() == [0, 1]
    assert found.touching.second.tolist() == [2, 2]


def test_what_is_only_grazed_is_not_bound():
    """Three fragments of 200, 200 and 40 bins in a row; one stroke ends in each of the others."""
    labels = np.repeat([2, 0, 1], (40, 200, 200)).astype(np.int32).reshape(1, 1, 440)
    marks = np.zeros(labels.shape, np.uint8)
    marks[..., 38:242] = 1  # two bins are 1 % of fragment 1, but 5 % of fragment 2
    firm = without_grazes(marks, labels)
    assert (firm[..., 38:240] == 1).all()
    assert not firm[..., 240:].any()
    marks[..., 242] = 1  # a third bin binds
    assert np.array_equal(without_grazes(marks, labels), marks)


def test_a_click_binds_whatever_else_is_drawn(rng):
    """One bin within a large fragment, and strokes of its kind elsewhere."""
    labels = (np.arange(1000) // 500).astype(np.int32).reshape(10, 10, 10)
    marks = np.zeros(labels.shape, np.uint8)
    marks[7, 5, 5] = 2
    for z in (0, 2, 4, 8):
        marks[z, rng.integers(10)] = 2
        assert without_grazes(marks, labels)[7, 5, 5] == 2
    marks[7, 5, 6] = 1  # another kind beside it is no part of it
    assert np.array_equal(without_grazes(marks, labels), marks)
