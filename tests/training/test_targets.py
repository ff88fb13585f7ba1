"""Codes of thin annotations: wider foreground, background around it unlabelled."""

import numpy as np
import pytest

from asem.training.targets import FOREGROUND, UNLABELLED, TargetCodes, WidenedCodes
from asem.volume.roi import Roi

WHOLE = (slice(0, 7), slice(0, 9), slice(0, 11))


def make_codes():
    codes = np.zeros((7, 9, 11), np.uint8)
    codes[3, 4, 5] = FOREGROUND
    codes[3, 4, 4] = codes[3, 0, 5] = UNLABELLED
    return codes


def test_foreground_is_widened_and_background_around_it_ignored():
    widened = WidenedCodes(make_codes(), (0, 1, 1), (1, 3, 1))[WHOLE]
    expected = np.zeros((7, 9, 11), np.uint8)
    expected[2:5, 1:8, 4:7] = UNLABELLED
    expected[3, 3:6, 4:7] = FOREGROUND
    expected[3, 4, 4] = expected[3, 0, 5] = UNLABELLED
    assert np.array_equal(widened, expected)


def test_any_box_is_that_of_the_whole(rng):
    codes = rng.choice([0, FOREGROUND, UNLABELLED], (12, 13, 14), p=[0.96, 0.02, 0.02])
    codes = codes.astype(np.uint8)
    widened = WidenedCodes(codes, (1, 0, 2), (2, 1, 3))
    whole = widened[Roi.of_shape(codes.shape).slices]
    assert (whole == FOREGROUND).sum() > 2 * (codes == FOREGROUND).sum()
    for _ in range(30):
        low = rng.integers(0, 11, 3)
        box = Roi.from_bounds(low.tolist(), (low + rng.integers(1, 8, 3)).tolist())
        box = box.intersect(Roi.of_shape(codes.shape))
        assert np.array_equal(widened[box.slices], whole[box.slices])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
def test_unlabelled_voxels_stay_unlabelled(dtype):
    labels = np.full((5, 5, 5), np.iinfo(dtype).max, dtype)
    labels[2, 2, 2] = 7
    codes = WidenedCodes(TargetCodes(labels), (1, 1, 1), (2, 2, 2))[(slice(0, 5),) * 3]
    assert (codes == UNLABELLED).sum() == 124
    assert codes[2, 2, 2] == FOREGROUND
