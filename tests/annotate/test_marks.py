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
    """Three fragments of 200, 200 and 40 bins; two bins are 1 % of the second, 5 % of the third."""
    labels = np.repeat([0, 1, 2], (200, 200, 40)).astype(np.int32).reshape(1, 44, 10)
    marks = np.zeros(440, np.uint8)
    marks[180:202], marks[400:402], marks[300:302] = 1, 1, 2
    firm = without_grazes(marks.reshape(labels.shape), labels).ravel()
    assert (firm[180:200] == 1).all()
    assert not firm[200:202].any()
    assert (firm[400:402] == 1).all()
    assert (firm[300:302] == 2).all()  # all that there is of the background
    marks[50:60] = 2
    assert not without_grazes(marks.reshape(labels.shape), labels).ravel()[300:302].any()


def test_one_bin_more_binds(rng):
    labels = np.repeat([0, 1], 500).astype(np.int32).reshape(10, 10, 10)
    marks = np.zeros(labels.shape, np.uint8)
    marks[0] = 2
    for bins, kept in ((2, 0), (3, 3)):
        marks[0, 0, :9], marks[9] = 1, 0
        marks[9, 0, :bins] = 1
        assert (without_grazes(marks, labels)[9] == 1).sum() == kept
