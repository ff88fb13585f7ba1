"""Objects and overlaps merged from blocks equal those of the whole volume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from asem.measure.object_overlap import (
    is_overlap_record,
    merge_overlaps,
    overlap_specs,
    record_overlap,
)
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi

small = st.tuples(*[st.integers(1, 8)] * 3)
block_edges = st.tuples(*[st.integers(1, 5)] * 3)
binary = st.sampled_from([0, 1])
ids = st.sampled_from([0, 3, 3, 2**40, 2**63])


def overlap_of(predicted, truth, scored, block_shape, roi=None):
    shape = truth.shape
    roi = roi or Roi.of_shape(shape)
    records = (
        (
            block,
            record_overlap(
                predicted[block.slices],
                truth[block.slices],
                scored[block.slices],
                block=block,
                shape=shape,
            ),
        )
        for block in split_into_blocks(roi, block_shape)
    )
    return merge_overlaps(records, roi.end)


def objects_of(labels):
    """Return the objects by a slow, independent way: masks in the order of the table."""
    present = np.unique(labels[labels != 0])
    if len(present) > 1:
        return present.tolist(), [labels == i for i in present]
    parts, count = ndimage.label(labels)
    masks = [parts == i for i in range(1, count + 1)]
    masks.sort(key=lambda mask: np.flatnonzero(mask)[0])
    return list(range(1, count + 1)), masks


def check(overlap, predicted, truth, scored):
    sides = []
    for table, labels in ((overlap.predicted, predicted), (overlap.truth, truth)):
        numbers, masks = objects_of(labels)
        assert table.ids.tolist() == numbers
        assert table.voxels.tolist() == [mask.sum() for mask in masks]
        assert table.scored_voxels.tolist() == [(mask & scored).sum() for mask in masks]
        assert table.first_voxels.tolist() == [np.flatnonzero(mask)[0] for mask in masks]
        assert table.low.tolist() == [np.argwhere(mask).min(axis=0).tolist() for mask in masks]
        assert table.high.tolist() == [
            (np.argwhere(mask).max(axis=0) + 1).tolist() for mask in masks
        ]
        sides.append([*masks, labels == 0])
    expected = {
        (p, t): common
        for p, a in enumerate(sides[0], -len(sides[0]))
        for t, b in enumerate(sides[1], -len(sides[1]))
        if (common := int((a & b & scored).sum())) and (p, t) != (-1, -1)
    }
    rows = (
        (p if p < 0 else p - len(sides[0]), t if t < 0 else t - len(sides[1]))
        for p, t in overlap.pairs.T.tolist()
    )
    assert dict(zip(rows, overlap.voxels.tolist(), strict=True)) == expected


@settings(max_examples=60)
@given(small, block_edges, st.data())
def test_blocks_equal_the_whole(shape, block_shape, data):
    predicted = data.draw(arrays(np.uint8, shape, elements=binary))
    truth = data.draw(arrays(np.uint64, shape, elements=data.draw(st.sampled_from([binary, ids]))))
    scored = data.draw(arrays(bool, shape))
    check(overlap_of(predicted, truth, scored, block_shape), predicted, truth, scored)
    check(overlap_of(truth, predicted, scored, block_shape), truth, predicted, scored)


def test_a_part_of_a_volume(rng):
    """Objects of a box are those within it; positions are those of the volume."""
    predicted, truth = rng.integers(0, 2, (2, 9, 10, 11)).astype(np.uint8)
    scored = np.ones(truth.shape, bool)
    roi = Roi((2, 1, 3), (6, 8, 7))
    whole = overlap_of(predicted, truth, scored, (99, 99, 99), roi)
    parts = overlap_of(predicted, truth, scored, (4, 3, 5), roi)
    for name in ("ids", "voxels", "scored_voxels", "first_voxels", "low", "high"):
        for side in ("predicted", "truth"):
            a, b = (getattr(getattr(overlap, side), name) for overlap in (whole, parts))
            assert a.tolist() == b.tolist()
    assert whole.pairs.tolist() == parts.pairs.tolist()
    assert whole.voxels.tolist() == parts.voxels.tolist()
    inside = np.zeros(truth.shape, bool)
    inside[roi.slices] = True
    firsts = np.flatnonzero((truth != 0) & inside)
    assert whole.truth.first_voxels.min() == firsts[0]


def test_nothing_on_either_side():
    nothing = np.zeros((3, 4, 5), np.uint8)
    overlap = overlap_of(nothing, nothing, nothing == 0, (2, 2, 2))
    assert len(overlap.predicted) == len(overlap.truth) == overlap.pairs.shape[1] == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record["pairs"].__setitem__((1, 0), 99),
        lambda record: record["pairs"].__setitem__((0, 0), -1),
        lambda record: record.update(pair_voxels=record["pair_voxels"][1:]),
        lambda record: record.update(truth_low=record["truth_low"][1:]),
        lambda record: record.update(predicted_sizes=record["predicted_sizes"][1:]),
    ],
)
def test_a_damaged_record(rng, damage):
    block = Roi.of_shape((4, 5, 6))
    labels = rng.integers(0, 2, (2, 4, 5, 6)).astype(np.uint8)
    record = record_overlap(*labels, labels[0] == 0, block=block, shape=block.shape)
    assert record.keys() == overlap_specs(block).keys()
    assert not any(
        spec.find_mismatch(record[name].dtype, record[name].shape)
        for name, spec in overlap_specs(block).items()
    )
    assert is_overlap_record(record)
    damage(record)
    assert not is_overlap_record(record)
