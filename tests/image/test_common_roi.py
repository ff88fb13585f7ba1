"""Raw and labels that do not match are warned of; a part with an offset of its own is not."""

import numpy as np
import pytest

from asem.image.common_roi import find_common_roi
from asem.volume.roi import Roi
from asem.volume.volume import OriginalGrid, Volume

SHAPE = (4, 6, 8)


def volume(shape, name="labels", *, offset=(0, 0, 0), grid=None, size=(8.0, 4.0, 4.0)):
    position = tuple(float(n * edge) for n, edge in zip(offset, size, strict=True))
    return Volume(
        np.zeros(shape, np.uint8),
        size,
        position,
        stated_grid=grid and OriginalGrid(grid, (0.0, 0.0, 0.0)),
        name=name,
    )


RAW = volume(SHAPE, "raw")


@pytest.mark.parametrize(
    ("labels", "common"),
    [
        (volume(SHAPE), RAW.roi),
        (volume((2, 6, 8), offset=(1, 0, 0)), Roi((1, 0, 0), (2, 6, 8))),
        (volume((2, 3, 3), offset=(0, 0, 5)), Roi((0, 0, 5), (2, 3, 3))),
        (volume((2, 6, 8), grid=SHAPE), Roi((0, 0, 0), (2, 6, 8))),
        (volume((9, 9, 9), offset=(-1, -1, -1)), RAW.roi),
    ],
    ids=["the same", "planes", "box", "crop at the first voxel", "raw is the part"],
)
def test_what_matches_is_silent(caplog, labels, common):
    assert find_common_roi(RAW, labels) == common
    assert not caplog.records


def test_crops_of_one_stack_are_silent(caplog):
    raw = volume((4, 6, 8), "raw", grid=(10, 6, 8))
    assert find_common_roi(raw, volume((10, 6, 8))) == raw.roi
    assert find_common_roi(raw, volume((6, 6, 8), offset=(2, 0, 0), grid=(10, 6, 8))).size
    assert not caplog.records


@pytest.mark.parametrize(
    ("labels", "what", "question"),
    [
        (volume((4, 8, 6)), "start at the same position", "; axes y and x exchanged?"),
        (volume((8, 6, 4)), "start at the same position", "; axes z and x exchanged?"),
        (volume((8, 4, 6)), "start at the same position", "; axes exchanged?"),
        (volume((3, 6, 8)), "start at the same position", ""),
        (volume((5, 6, 8)), "start at the same position", ""),
        (volume((4, 6, 8), offset=(2, 0, 0)), "overlap in part", ""),
    ],
)
def test_other_shapes_are_warned_of_in_one_line(caplog, labels, what, question):
    find_common_roi(RAW, labels)
    (line,) = caplog.messages
    assert line.startswith(f"raw and labels {what}")
    assert "4 x 6 x 8 voxels (32 x 24 x 32 nm, from 0, 0, 0 nm)" in line
    extent = " x ".join(f"{n * s:g}" for n, s in zip(labels.shape, (8, 4, 4), strict=True))
    assert f"{' x '.join(map(str, labels.shape))} voxels ({extent} nm, from " in line
    assert ("exchanged" in line) == bool(question)
    assert question in line
    assert "\n" not in line


def test_without_a_common_voxel_both_are_described():
    with pytest.raises(ValueError, match="raw and far have no voxel in common") as caught:
        find_common_roi(RAW, volume((1, 2, 2), "far", offset=(9, 0, 0)))
    for part in ("4 x 6 x 8 voxels (32 x 24 x 32 nm, from 0, 0, 0 nm)", "(8 x 8 x 8 nm, from 72, "):
        assert part in str(caught.value)
