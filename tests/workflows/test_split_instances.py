"""`asem instances --split`: touching objects are separated, the same for every block grid."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from asem.cli import main
from asem.structures import PRESETS, SplitConfig
from asem.volume.sources import open_volume
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances
from shards import small_shards

SIZE = (5.0, 5.0, 5.0)
EDGES = [(12, 20, 24), 16, 64]
SPLIT = SplitConfig(max_distance_nm=60)


def store(path, voxels, kind="labels", size=SIZE, **options):
    tifffile.imwrite(path.with_suffix(".tif"), voxels, photometric="minisblack")
    import_volume(path.with_suffix(".tif"), path, voxel_size=size, kind=kind, **options)


def read(path):
    volume = open_volume(path)
    return volume.read(volume.roi)


def balls(shape, *spheres):
    """The union of balls, each of a centre and a radius in voxels."""
    z, y, x = np.ogrid[tuple(map(slice, shape))]
    parts = [
        (z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2 <= r**2 for *c, r in spheres
    ]  # fmt: skip
    return np.logical_or.reduce(parts)


def split(folder, name="s", out="out", **options):
    label_instances(folder / name, folder / out, **{"split": SPLIT, **options})
    return read(folder / out)


def test_touching_balls_are_two_objects_and_one_ball_is_one(tmp_path, monkeypatch):
    small_shards(16, monkeypatch.setattr)
    mask = balls((24, 24, 60), (12, 12, 10, 8), (12, 12, 24.5, 8), (12, 12, 48, 9))
    store(tmp_path / "s", mask.astype(np.uint8))
    label_instances(tmp_path / "s", tmp_path / "connected")
    assert read(tmp_path / "connected").max() == 2
    ids = split(tmp_path)
    assert ids.max() == 3
    assert (np.bincount(ids.ravel())[1:] > 0.9 * 4 / 3 * np.pi * 8**3).all()
    assert ids[12, 12, 10] != ids[12, 12, 24]
    assert ((ids > 0) == mask).all()


def test_a_bent_rod_with_a_rough_surface_is_one_object(tmp_path, rng, monkeypatch):
    small_shards(32, monkeypatch.setattr)
    t = np.linspace(0, 1, 200)
    line = np.stack([12 + 0 * t, 20 + 12 * np.sin(2 * t), 12 + 60 * t], axis=1)
    distance = ndimage.distance_transform_edt(~draw(line, (25, 48, 84)))
    mask = distance + ndimage.gaussian_filter(rng.normal(size=distance.shape), 1) <= 8
    ids, _ = ndimage.label(mask)
    store(tmp_path / "s", (ids == ids[tuple(line[100].round().astype(int))]).astype(np.uint8))
    assert split(tmp_path).max() == 1


def draw(line, shape):
    mask = np.zeros(shape, bool)
    mask[tuple(line.round().astype(int).T)] = True
    return mask


@pytest.fixture
def blobs(tmp_path, rng):
    """Irregular objects of two labels that touch everywhere, and unlabelled voxels."""
    shape = (37, 45, 53)
    noise = ndimage.gaussian_filter(rng.random(shape), 2.5)
    labels = (noise > np.quantile(noise, 0.6)).astype(np.uint8)
    labels[:, 25:] *= 2
    labels[30:33, :20, :20] = 255
    store(tmp_path / "s", labels, size=(5.24, 4.0, 4.0))
    return labels


def test_every_block_grid_and_two_workers_give_the_same_ids(
    tmp_path, blobs, monkeypatch, two_workers
):
    found = []
    for edge in EDGES:
        small_shards(edge, monkeypatch.setattr)
        found.append(split(tmp_path, out=f"out{edge[0] if edge == EDGES[0] else edge}"))
    small_shards(16, monkeypatch.setattr)
    found.append(split(tmp_path, out="dask", executor=two_workers))
    assert found[0].max() > 20
    for ids in found[1:]:
        assert (ids == found[0]).all()


def test_objects_are_parts_of_the_connected_ones(tmp_path, blobs, monkeypatch):
    small_shards(16, monkeypatch.setattr)
    label_instances(tmp_path / "s", tmp_path / "connected")
    connected, ids = read(tmp_path / "connected"), split(tmp_path)
    assert ((ids > 0) == (connected > 0)).all()
    assert ((ids > 0) == ((blobs == 1) | (blobs == 2))).all()
    numbers = np.arange(1, ids.max() + 1)
    assert len(numbers) > connected.max()
    for whole in (connected, blobs):
        lowest, highest = (f(whole, ids, numbers) for f in (ndimage.minimum, ndimage.maximum))
        assert (lowest == highest).all()
    parts = [ndimage.label(ids[box] == number)[1] for number, box in enumerate_boxes(ids)]
    assert parts == [1] * len(numbers)
    firsts = ndimage.minimum(np.arange(ids.size).reshape(ids.shape), ids, numbers)
    assert (np.diff(firsts) > 0).all()


def enumerate_boxes(ids):
    return enumerate(ndimage.find_objects(ids.astype(np.int64)), start=1)


def test_a_low_probability_separates(tmp_path, rng, monkeypatch):
    small_shards(16, monkeypatch.setattr)
    mask = np.zeros((20, 20, 50), np.uint8)
    mask[4:16, 4:16, 4:46] = 1
    store(tmp_path / "s", mask)
    probability = np.where(mask, rng.integers(240, 256, mask.shape), 5).astype(np.uint8)
    probability[:, :, 24:26] = np.where(mask[:, :, 24:26], 130, 5)
    store(tmp_path / "p", probability, kind="image")
    weak = SplitConfig(max_distance_nm=60, min_contact_strength=0.5)
    assert split(tmp_path, split=weak).max() == 1
    ids = split(tmp_path, out="out2", split=weak, probability=tmp_path / "p")
    assert ids.max() == 2
    assert len(np.unique(ids[10, 10, 4:24])) == len(np.unique(ids[10, 10, 27:46])) == 1


@pytest.mark.parametrize("name", PRESETS)
def test_no_object_at_all(tmp_path, monkeypatch, name):
    small_shards(16, monkeypatch.setattr)
    store(tmp_path / "s", np.zeros((9, 10, 11), np.uint8))
    assert split(tmp_path, split=PRESETS[name].split).max() == 0


def test_messages_of_invalid_input(tmp_path, monkeypatch, capsys):
    small_shards(16, monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "s", np.ones((9, 10, 11), np.uint8))
    store(tmp_path / "small", np.ones((9, 10, 9), np.uint8), kind="image")

    def refused(*words):
        assert main(["instances", "s", "out", *words]) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err.splitlines()[-1]

    assert "--probability: only separates objects; give --split" in refused("--probability", "s")
    assert "holds labels" in refused("--split", "--probability", "s")
    assert "small has 9 x 10 x 9 voxels" in refused("--split", "--probability", "small")
    assert "unknown structure" in refused("--split", "--structure", "mitos")
