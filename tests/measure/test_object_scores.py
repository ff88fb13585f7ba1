"""Scores of objects: by hand, against scikit-image, and rules for voxels that are not scored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import variation_of_information as skimage_vi

from asem.measure.object_overlap import merge_overlaps, record_overlap
from asem.measure.object_scores import (
    ScoredObjects,
    count_by_cube,
    count_splits,
    find_best_partners,
    score_objects,
    variation_of_information,
)
from asem.volume.roi import Roi

small = st.tuples(*[st.integers(1, 6)] * 3)
ids = st.sampled_from([0, 1, 2, 2, 7, 2**40])


def objects_of(predicted, truth, scored=None):
    """Objects that count; rows of values along x are enough for most cases."""
    predicted, truth = (np.atleast_3d(np.array(a, np.uint64)) for a in (predicted, truth))
    scored = np.ones(truth.shape, bool) if scored is None else np.atleast_3d(np.array(scored, bool))
    block = Roi.of_shape(truth.shape)
    record = record_overlap(predicted, truth, scored, block=block, shape=truth.shape)
    return ScoredObjects.from_overlap(merge_overlaps([(block, record)], block.end))


def test_by_hand():
    truth = [1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 0, 0]
    found = [5, 5, 5, 0, 0, 6, 6, 6, 6, 6, 0, 0, 8, 8]
    scores = score_objects(objects_of(found, truth))
    assert (scores["truth_objects"], scores["predicted_objects"]) == (3, 3)
    # IoU 3/4 and 4/5; above 0.75 is the second only.
    half = scores["iou_50"]
    assert (half["true_positives"], half["false_positives"], half["false_negatives"]) == (2, 1, 1)
    assert (half["precision"], half["recall"], half["f1"]) == (2 / 3, 2 / 3, 2 / 3)
    assert half["sq"] == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert half["pq"] == pytest.approx((3 / 4 + 4 / 5) / 3)
    assert scores["iou_75"]["true_positives"] == 1
    assert scores["iou_75"]["f1"] == 1 / 3


def test_an_iou_of_exactly_the_threshold_is_no_match():
    assert score_objects(objects_of([5, 5, 0], [1, 1, 1]))["iou_50"]["true_positives"] == 1
    assert score_objects(objects_of([5, 0, 0], [1, 1, 0]))["iou_50"]["true_positives"] == 0


def brute_force(predicted, truth, threshold):
    """Return TP, FP, FN and the IoUs by a loop over all pairs of masks."""
    p, t = (
        [array == i for i in np.unique(array[array != 0])] if len(np.unique(array[array != 0])) > 1
        else None
        for array in (predicted, truth)
    )  # fmt: skip
    if p is None or t is None:
        return None
    ious = [(a & b).sum() / (a | b).sum() for a in p for b in t]
    hits = [iou for iou in ious if iou > threshold]
    return len(hits), len(p) - len(hits), len(t) - len(hits), sum(hits)


@settings(max_examples=60)
@given(small, st.data())
def test_against_all_pairs_and_scikit_image(shape, data):
    predicted = data.draw(arrays(np.uint64, shape, elements=ids))
    truth = data.draw(arrays(np.uint64, shape, elements=ids))
    objects = objects_of(predicted, truth)
    scores = score_objects(objects)
    for name, threshold in (("iou_50", 0.5), ("iou_75", 0.75)):
        expected = brute_force(predicted, truth, threshold)
        if expected is None:
            continue
        hits, false, missed, total = expected
        found = scores[name]
        counts = [found[f"{key}"] for key in ("true_positives", "false_positives")]
        assert [*counts, found["false_negatives"]] == [hits, false, missed]
        assert found["pq"] == pytest.approx(total / (hits + false / 2 + missed / 2))
    if len(np.unique(truth[truth != 0])) > 1 and len(np.unique(predicted[predicted != 0])) > 1:
        inside = truth != 0
        numbers = [np.unique(a[inside], return_inverse=True)[1] for a in (truth, predicted)]
        split, merge = skimage_vi(*numbers)
        vi = variation_of_information(objects)
        assert vi["split_bits"] == pytest.approx(split, abs=1e-9)
        assert vi["merge_bits"] == pytest.approx(merge, abs=1e-9)
        assert vi["total_bits"] == pytest.approx(split + merge, abs=1e-9)


def test_one_object_cut_into_two_halves_has_a_split_of_one_bit():
    halves = objects_of([5, 5, 6, 6, 0, 7], [1, 1, 1, 1, 0, 0])
    assert variation_of_information(halves) == {
        "split_bits": 1.0, "merge_bits": 0.0, "total_bits": 1.0,
    }  # fmt: skip
    assert count_splits(halves) == {"splits": 1, "merges": 0}
    swapped = objects_of([1, 1, 1, 1, 0, 0], [5, 5, 6, 6, 0, 7])
    assert count_splits(swapped) == {"splits": 0, "merges": 1}


def test_a_neighbour_that_reaches_over_the_border_is_no_split():
    objects = objects_of([5, 5, 6, 6, 6, 6, 6], [1, 1, 1, 1, 2, 2, 2])
    assert count_splits(objects) == {"splits": 0, "merges": 0}


def test_three_parts_are_two_splits():
    objects = objects_of([5, 0, 6, 6, 0, 7, 8, 8], [1, 1, 1, 1, 1, 1, 2, 2])
    assert count_splits(objects) == {"splits": 2, "merges": 0}


def test_a_predicted_object_that_is_mostly_not_scored_counts_only_if_it_matches():
    truth = [1, 1, 0, 2, 2, 2, 0, 0, 0]
    found = [0, 0, 0, 5, 5, 5, 0, 6, 6]
    scored = [1, 1, 1, 1, 1, 0, 0, 1, 0]
    scores = score_objects(objects_of(found, truth, scored))["iou_50"]
    # 5 matches 2; half of 6 is scored, which is enough.
    assert (scores["true_positives"], scores["false_positives"]) == (1, 1)
    scored[7] = 0
    scores = score_objects(objects_of(found, truth, scored))["iou_50"]
    assert (scores["true_positives"], scores["false_positives"]) == (1, 0)
    # One of three voxels of 5 is scored; it matches, so that it counts.
    unlabelled = objects_of([5, 5, 5, 0, 6], [1, 0, 0, 0, 2], [1, 0, 0, 1, 1])
    assert score_objects(unlabelled)["iou_50"]["true_positives"] == 2


def test_a_truth_object_that_is_mostly_not_scored_counts_nowhere():
    truth = [1, 1, 1, 0, 2, 2, 0]
    found = [5, 5, 5, 0, 6, 6, 0]
    scored = [0, 0, 1, 1, 1, 1, 1]
    scores = score_objects(objects_of(found, truth, scored))
    assert (scores["truth_objects"], scores["predicted_objects"]) == (1, 1)
    assert scores["iou_50"]["f1"] == 1
    # Its scored voxel does not count for the prediction either.
    assert scores["vi"]["total_bits"] == 0


def test_without_objects():
    scores = score_objects(objects_of([0, 0, 0], [1, 0, 2]))
    assert scores["iou_50"]["recall"] == scores["iou_50"]["pq"] == 0
    assert scores["iou_50"]["precision"] is None
    assert scores["vi"]["split_bits"] == 0
    assert scores["vi"]["merge_bits"] == 1  # both are one segment, the background
    nothing = score_objects(objects_of([0, 0], [0, 0]))
    assert nothing["iou_50"]["f1"] is None
    assert nothing["vi"]["total_bits"] is None


def test_best_partners():
    objects = objects_of([5, 5, 6, 6, 0, 9], [1, 1, 1, 2, 2, 0])
    iou, partner = find_best_partners(objects, "truth")
    assert iou.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert partner.tolist() == [0, 1]
    iou, partner = find_best_partners(objects, "predicted")
    assert iou.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert partner.tolist() == [0, 1, -1]


def test_cubes_add_up_to_the_volume(rng):
    predicted = rng.integers(0, 12, (6, 7, 8)) * (rng.random((6, 7, 8)) < 0.6)
    truth = np.where(rng.random((6, 7, 8)) < 0.8, predicted, rng.integers(0, 15, (6, 7, 8)))
    objects = objects_of(predicted, truth)
    matches = objects.match(0.5)
    cubes = [rng.integers(0, 5, len(a)) for a in (objects.mostly_scored, objects.truth_counts)]
    counts = count_by_cube(matches, *cubes, 5)
    scores = matches.scores()
    expected = [scores[f"{n}_positives"] for n in ("true", "false")] + [scores["false_negatives"]]
    assert counts.shape == (5, 3)
    assert counts.sum(axis=0).tolist() == expected
    assert counts[cubes[1][matches.pairs[1]][0], 0] > 0
