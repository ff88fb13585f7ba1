"""Sums over voxels give the geometry of objects, the same for every block grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import regionprops

from asem.measure.moments import (
    FLOAT_GREY_REDUCTIONS,
    GREY_REDUCTIONS,
    MOMENT_REDUCTIONS,
    derive_geometry,
    derive_grey,
    sum_grey,
    sum_moments,
)
from asem.measure.object_columns import BlockObjects, merge_columns
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi

SIZE, OFFSET = (5.24, 4.0, 4.5), (100.3, -20.0, 7.0)


def merged_sums(labels, block_shape, *, shift=(0, 0, 0), grey=None):
    """Sums of all blocks; `shift` moves the volume to another position of a larger one."""
    reductions, parts = dict(MOMENT_REDUCTIONS), []
    if grey is not None:
        reductions |= GREY_REDUCTIONS if grey.dtype.kind == "u" else FLOAT_GREY_REDUCTIONS
    for block in split_into_blocks(Roi.of_shape(labels.shape), block_shape):
        objects = BlockObjects.from_labels(labels[block.slices])
        columns = {"id": objects.ids, **sum_moments(objects, block.shift(shift))}
        if grey is not None:
            columns |= sum_grey(objects, grey[block.slices], np.ones(block.shape, bool))
        parts.append(columns)
    return merge_columns(parts, reductions)


small = st.tuples(*[st.integers(1, 9)] * 3)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint8, small, elements=st.sampled_from([0, 1, 1, 2, 9, 255])),
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.integers(0, 90_000)] * 3),
)
def test_every_block_grid_gives_the_geometry_of_scikit_image(labels, block_shape, shift):
    sums = merged_sums(labels, block_shape, shift=shift)
    found = derive_geometry(sums, SIZE, OFFSET)
    whole = derive_geometry(merged_sums(labels, labels.shape, shift=shift), SIZE, OFFSET)
    assert {name: v.tobytes() for name, v in found.items()} == {
        name: v.tobytes() for name, v in whole.items()
    }
    size, origin = np.array(SIZE), np.array(OFFSET) + np.array(shift) * SIZE
    expected = regionprops(np.where(labels == 255, 0, labels), spacing=SIZE)
    assert sums["id"].tolist() == [one.label for one in expected]
    for row, one in enumerate(expected):
        assert found["volume_um3"][row] == pytest.approx(one.area / 1e9)
        box = np.array(one.bbox).reshape(2, 3)
        for a, axis in enumerate("zyx"):
            assert found[f"{axis}_nm"][row] == pytest.approx(origin[a] + one.centroid[a])
            ends = origin[a] + size[a] * (box[:, a] - 0.5)
            assert [found[f"{axis}_{end}_nm"][row] for end in ("min", "max")] == pytest.approx(ends)
        variances = np.linalg.eigvalsh(
            np.cov(one.coords.T * size[:, None], ddof=0) + np.diag(size**2 / 12)
        )
        lengths = [found[f"axis_{name}_nm"][row] for name in ("short", "mid", "long")]
        assert lengths == pytest.approx(2 * np.sqrt(5 * variances))


def test_axes_of_an_ellipsoid_are_its_axes():
    semi = np.array([40.0, 60.0, 110.0])
    grid = np.ogrid[tuple(slice(-25, 26) for _ in range(3))]
    inside = sum((g * s / r) ** 2 for g, s, r in zip(grid, (5, 5, 5), semi, strict=True)) <= 1
    sums = merged_sums(inside.astype(np.uint8), (51, 51, 51))
    found = derive_geometry(sums, (5.0, 5.0, 5.0), OFFSET)
    lengths = [found[f"axis_{name}_nm"][0] for name in ("short", "mid", "long")]
    assert lengths == pytest.approx(2 * semi, rel=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_values_are_those_of_the_voxels(rng, dtype):
    labels = rng.choice(np.array([0, 1, 2, 2**32 - 1], np.uint32), (9, 11, 13))
    grey = (rng.random(labels.shape) * 60_000).astype(dtype)
    found = derive_grey(merged_sums(labels, (4, 5, 6), grey=grey))
    for row, label in enumerate((1, 2)):
        values = grey[labels == label].astype(float)
        assert found["mean_grey"][row] == pytest.approx(values.mean())
        assert found["sd_grey"][row] == pytest.approx(values.std())


def test_voxels_that_the_image_does_not_cover_do_not_count():
    labels, grey = np.array([[[1, 1, 2]]], np.uint8), np.array([[[7, 9, 9]]], np.uint8)
    objects = BlockObjects.from_labels(labels)
    columns = sum_grey(objects, grey, np.array([[[True, False, False]]]))
    found = derive_grey(columns)
    assert found["mean_grey"].tolist()[0] == 7
    assert np.isnan(found["mean_grey"][1])
    assert np.isnan(found["sd_grey"][1])
