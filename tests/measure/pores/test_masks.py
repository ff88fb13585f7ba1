"""One mask for each pore: fragments joined, pores that touch separated, the others flagged."""

import numpy as np
import pytest

from asem.blocks.output_image import create_image
from asem.measure import mask_parts
from asem.measure.mask_parts import assign_ids, find_masks
from asem.measure.mask_shapes import find_shapes
from asem.measure.pores import mask_components
from asem.measure.pores.mask_components import split_masks
from asem.measure.pores.mask_splitting import split_mask
from asem.measure.pores.masks import (
    find_origins,
    flag_masks,
    join_fragments,
    may_be_several,
)
from asem.volume.volume import Volume
from shards import small_shards

SIZE = (5.0, 5.0, 5.0)
SHAPE = (24, 120, 130)
Z, Y, X = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]


def disc(y, x, radius=14, z=12):
    """A disc of radius in voxels, ten voxels thick."""
    return (np.hypot(Y - y, X - x) <= radius) & (abs(Z - z) <= 5)


def ring(y, x, radius=10):
    return np.hypot(np.hypot(Y - y, X - x) - radius, Z - 12) <= 4.5


def find(path, labels):
    """Return shapes, flags, ids and origins of the pores of labels."""
    volume = Volume(labels, SIZE, (0.0, 100.0, -50.0), kind="labels")
    with create_image(path, volume, command="test", request={}, sources=[]) as output:
        found = find_masks(output, volume, objects_name="pores", stage="masks")
        several, typical_nm2 = may_be_several(find_shapes(found, SIZE, volume.offset_nm))
        parts, parent = split_masks(
            output, volume, found, several, typical_nm2=typical_nm2, stage="separation"
        )
    pores, pore_of_mask = join_fragments(parts, SIZE, volume.offset_nm)
    shapes = find_shapes(pores, SIZE, volume.offset_nm)
    return shapes, flag_masks(shapes), assign_ids(pores), find_origins(pore_of_mask, parent)


def places(shapes):
    """Centres in voxels, y and x."""
    return np.rint((shapes.centre_nm[:, 1:] - (100, -50)) / 5).astype(int).tolist()


SCENES = {
    "whole": (
        lambda: disc(20, 20) | ring(20, 60) | disc(60, 20, 17),
        [[20, 20], [20, 60], [60, 20]],
    ),
    "touching discs": (
        lambda: disc(20, 20) | disc(20, 46, 13) | disc(60, 20) | disc(60, 80),
        [[20, 20], [20, 46], [60, 20], [60, 80]],
    ),
    "touching rings": (
        lambda: ring(20, 20) | ring(20, 47) | ring(60, 20) | ring(60, 80),
        [[20, 20], [20, 47], [60, 20], [60, 80]],
    ),
    "three": (
        lambda: disc(30, 30) | disc(30, 57) | disc(53, 43) | disc(100, 30) | disc(100, 90),
        [[30, 30], [30, 57], [53, 43], [100, 30], [100, 90]],
    ),
    "overlapping discs": (
        lambda: disc(30, 30) | disc(30, 52) | disc(49, 41) | disc(100, 30) | disc(100, 90),
        [[30, 30], [30, 52], [49, 41], [100, 30], [100, 90]],
    ),
    "broken ring": (
        lambda: (ring(20, 20) & (abs(Y - 20) > 2)) | ring(20, 60) | disc(60, 20),
        [[20, 20], [20, 60], [60, 20]],
    ),
    "open ring": (
        lambda: (ring(20, 20) & (X < 24)) | ring(20, 60) | disc(60, 20),
        [[20, 15], [20, 60], [60, 20]],
    ),
    "two broken rings": (
        lambda: ((ring(20, 20) | ring(20, 51)) & (abs(X % 31 - 20) > 1)) | ring(60, 30),
        [[20, 20], [20, 51], [60, 30]],
    ),
    "two rims": (
        lambda: (disc(20, 20) & (abs(Z - 12) > 2)) | disc(20, 60) | disc(60, 20),
        [[20, 20], [20, 60], [60, 20]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENES)
def test_each_pore_is_one_mask(name, tmp_path):
    make, expected = SCENES[name]
    shapes, flags, ids, _ = find(tmp_path / "out", make().astype(np.uint8))
    found = places(shapes)
    assert len(found) == len(expected)
    for place, near in zip(sorted(found), sorted(expected), strict=True):
        assert np.abs(np.subtract(place, near)).max() <= 1
    assert not any(marks.any() for marks in flags.values())
    assert ids.tolist() == list(range(1, len(expected) + 1))
    assert shapes.is_flat.all()
    assert np.abs(shapes.normal[:, 0]).min() > 0.99


def test_blocks_change_no_bit(tmp_path, monkeypatch):
    labels = np.zeros(SHAPE, np.uint8)
    for make, _ in SCENES.values():
        labels[make()] = 1
    whole = find(tmp_path / "whole", labels)
    small_shards(28, monkeypatch.setattr)
    parts = find(tmp_path / "parts", labels)
    for field in ("centre_nm", "axes_nm", "normal", "volume_nm3"):
        assert (getattr(whole[0], field) == getattr(parts[0], field)).all()
    for a, b in zip(whole[1:], parts[1:], strict=True):
        np.testing.assert_equal(a, b)


def test_specks_strips_and_heaps_are_flagged(tmp_path, monkeypatch):
    labels = (disc(20, 20) | disc(20, 60) | disc(100, 20)).astype(np.uint8)
    labels[2:4, 60:62, 20:22] = 1  # a speck
    labels[12:14, 50:80, 60:90] = 1  # a strip, thin
    labels[disc(100, 80) | disc(100, 104)] = 1  # two pores in a box that is too large
    monkeypatch.setattr(mask_components, "MAX_SPLIT_VOXELS", 10)
    shapes, flags, _, _ = find(tmp_path / "out", labels)
    at = {tuple(place): n for n, place in enumerate(places(shapes))}
    assert {name: np.flatnonzero(marks).tolist() for name, marks in flags.items()} == {
        "small": [at[60, 20]],
        "short": [at[60, 20], at[64, 74]],
        "merged": [at[100, 92]],
    }


def test_ids_are_those_of_the_labels(tmp_path):
    labels = np.zeros(SHAPE, np.uint16)
    labels[disc(20, 20) | disc(20, 46, 13)] = 900  # two pores, one id
    labels[disc(60, 20) & (X < 20)], labels[disc(60, 20) & (X > 22)] = 7, 8  # one pore, two ids
    labels[disc(60, 80)], labels[disc(100, 80)] = 3, 4
    labels[0] = 65535  # unlabelled
    shapes, _, ids, origins = find(tmp_path / "out", labels)
    by_id = dict(zip(ids.tolist(), places(shapes), strict=True))
    assert by_id == {900: [20, 20], 901: [20, 46], 7: [60, 20], 3: [60, 80], 4: [100, 80]}
    assert ids[origins["split"]].tolist() == [900, 901]
    assert ids[origins["fragments"]].tolist() == [7]


def test_masks_of_one_pore_are_not_separated(rng):
    """Rough, elongated, perforated: no neck."""
    rough = disc(40, 40) & (rng.random(SHAPE) > 0.2)
    long = (np.hypot((Y - 40) / 1.5, X - 40) <= 13) & (abs(Z - 12) <= 5)
    for mask in (rough, long, ring(40, 40), disc(40, 40, 19)):
        assert split_mask(mask, SIZE, np.pi * 70**2).max() == 1


def test_parts_of_anisotropic_voxels():
    discs = (disc(20, 20) | disc(20, 46))[::2]
    parts = split_mask(discs, (10.0, 5.0, 5.0))
    assert [parts[6, 20, 20], parts[6, 20, 46]] == [1, 2]


def test_grey_values_are_too_many_masks(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(mask_parts, "MAX_MASKS", 50)
    with pytest.raises(ValueError, match=r"has [0-9,]+ separate parts; at most 50 can be pores"):
        find(tmp_path / "out", (rng.random(SHAPE) > 0.9).astype(np.uint8))
