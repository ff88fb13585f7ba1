"""Ids of objects of which several have one label."""

import numpy as np
import pytest

from asem.measure.mask_parts import assign_ids


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([4, 4, 4], [1, 2, 3]),
        ([7, 2, 7, 2], [8, 9, 7, 2]),
        ([2**64 - 3, 1, 2**64 - 3], [2**64 - 2, 1, 2**64 - 3]),
        ([2**64 - 2, 1, 2**64 - 2, 3, 1], [2, 4, 2**64 - 2, 3, 1]),
    ],
)
def test_the_largest_object_keeps_its_label(labels, expected):
    voxels = np.arange(len(labels))
    ids = assign_ids({"label": np.array(labels, np.uint64), "voxels": voxels})
    assert ids.dtype == np.uint64
    assert ids.tolist() == expected
