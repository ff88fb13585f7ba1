"""Training regions whose voxel size is not the model's, by a factor that is not an integer."""

from itertools import product

import numpy as np
import pytest
import tifffile

from asem.model.config import ModelConfig
from asem.training.config import TrainConfig
from asem.training.labelled_regions import load_region
from asem.training.region_config import TrainingRegion
from asem.training.targets import FOREGROUND, UNLABELLED
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.volume.voxel_size_view import view_at_voxel_size
from asem.workflows.importing import import_volume

NET = ModelConfig(features=2, levels=2)
SIZE = (5.2, 4.0, 4.0)
SHAPE = (26, 30, 33)


def config(voxel_size=(5.0, 5.0, 5.0)):
    return TrainConfig(
        structure="mito",
        voxel_size=voxel_size,
        train=(TrainingRegion(raw="r", labels="l"),),
        model=NET,
        patch=28,
    )


@pytest.fixture
def stored(tmp_path):
    """Return a function that imports voxels and returns their path."""

    def store(name, voxels, kind="labels", **options):
        tifffile.imwrite(tmp_path / f"{name}.tif", voxels, photometric="minisblack")
        settings = {"voxel_size": SIZE, "kind": kind, **options}
        import_volume(tmp_path / f"{name}.tif", tmp_path / name, **settings)
        return tmp_path / name

    return store


@pytest.fixture
def grey(rng):
    return rng.integers(0, 255, SHAPE).astype(np.uint8)


def raw_on_target(region):
    """Return the raw of a region where its target is."""
    return region.read_uint8(Roi(region.target_offset, region.target.shape))


def test_voxels_are_labelled_where_labels_cover_all_of_them(stored, grey):
    # Along z 15.6 .. 104 nm behind the first face: voxels of 5 nm from 20 to 100.
    # Along y 24 .. 80: from 25 to 80. Along x 0 .. 132, raw's own end: 27 voxels, the last partial.
    labels = stored("labels", np.ones((17, 14, 33), np.uint8), offset_nm=(3 * 5.2, 6 * 4.0, 0.0))
    loaded = load_region(TrainingRegion(raw=stored("raw", grey, "image"), labels=labels), config())
    assert loaded.original_offset == (4, 5, 0)
    assert loaded.target.shape == (16, 11, 27)
    assert (loaded.target == FOREGROUND).all()


def test_a_roi_acts_as_labels(stored, grey):
    region = TrainingRegion(
        raw=stored("raw", grey, "image"),
        labels=stored("labels", np.ones(SHAPE, np.uint8)),
        roi="3:20,6:20,:",
    )
    loaded = load_region(region, config())
    assert (loaded.original_offset, loaded.target.shape) == ((4, 5, 0), (16, 11, 27))


@pytest.mark.parametrize("model", [(5.0, 5.0, 5.0), (2.6, 8.0, 3.0), (2.6, 2.0, 2.0)])
def test_target_is_aligned_with_raw(stored, model):
    """Labels of the bright voxels, with another offset than raw, stay on the bright voxels."""
    z, y, x = np.ogrid[:26, :30, :33]
    bright = (z * 1.3 - 16) ** 2 + (y - 15.0) ** 2 + (x - 16.5) ** 2 < 121
    raw = stored("raw", np.where(bright, 200, 0).astype(np.uint8), "image")
    labels = stored(
        "labels", bright[2:24, 3:, :31].astype(np.uint8), offset_nm=(2 * 5.2, 3 * 4.0, 0.0)
    )
    loaded = load_region(TrainingRegion(raw=raw, labels=labels), config(model))
    bright = raw_on_target(loaded) >= 100  # a half is foreground, as for labels
    target = loaded.target == FOREGROUND
    assert 500 < np.count_nonzero(bright) < 0.6 * bright.size
    # Interpolated greys and covered parts differ by a part of a voxel at the surface.
    wrong = np.count_nonzero(bright != target)
    assert wrong < 0.08 * np.count_nonzero(bright)
    for axis, step in product(range(3), (-1, 1)):
        assert wrong < 0.7 * np.count_nonzero(bright != np.roll(target, step, axis))


def test_a_crop_trains_on_the_voxels_of_the_original_grid(stored, grey):
    labels = (grey > 128).astype(np.uint8)
    whole = stored("raw", grey, "image")
    part = stored("part", grey, "image", roi="3:,1:,4:")
    on = stored("labels", labels)
    view = view_at_voxel_size(open_volume(whole), (5.0, 5.0, 5.0))
    of_whole = load_region(TrainingRegion(raw=whole, labels=on, roi="5:22,6:,7:"), config())
    of_part = load_region(TrainingRegion(raw=part, labels=on, roi="2:19,5:,3:"), config())
    assert of_part.original_offset == of_whole.original_offset == (6, 5, 6)
    assert (of_part.target == of_whole.target).all()
    assert (raw_on_target(of_part) == raw_on_target(of_whole)).all()
    assert (raw_on_target(of_whole) == view.read(view.roi)[6:22, 5:, 6:]).all()


def test_unlabelled_and_masked_voxels_are_ignored(stored, grey):
    labels = np.ones(SHAPE, np.uint8)
    labels[:, :15] = 255  # 60 of 120 nm: 12 of 24 voxels
    mask = np.ones(SHAPE, np.uint8)
    mask[:, :, 16:] = 0  # from 64 nm on: the thirteenth voxel is mostly within
    region = TrainingRegion(
        raw=stored("raw", grey, "image"),
        labels=stored("labels", labels),
        mask=stored("mask", mask, "image"),
    )
    loaded = load_region(region, config())
    assert loaded.target_offset == (0, 12, 0)
    assert loaded.target.shape[1:] == (12, 13)
    assert (loaded.target == FOREGROUND).all()


@pytest.mark.parametrize(
    ("model", "count"),
    [((5.0, 5.0, 5.0), 1), ((2.6, 2.0, 2.0), 1), ((5.2, 8.0, 8.0), 0), (SIZE, 0)],
)
def test_interpolation_logs_a_warning(stored, grey, caplog, model, count):
    region = TrainingRegion(
        raw=stored("raw", grey, "image"), labels=stored("labels", np.ones(SHAPE, np.uint8))
    )
    load_region(region, config(model))
    warnings = [message for message in caplog.messages if "are interpolated to" in message]
    assert len(warnings) == count


def test_resampling_can_be_refused(stored, grey):
    region = TrainingRegion(
        raw=stored("raw", grey, "image"), labels=stored("labels", np.ones(SHAPE, np.uint8))
    )
    settings = config((5.2, 8.0, 8.0)).model_copy(update={"resample": False})
    with pytest.raises(ValueError, match=r"voxels of 5\.2 x 4 x 4 nm"):
        load_region(region, settings)


def test_a_thin_trace_is_widened_before_it_is_resampled(stored, grey):
    """Of two voxels of each of three axes, a single row is never the majority."""
    trace = np.zeros(SHAPE, np.uint8)
    trace[12, 2:28, 16] = 1
    region = TrainingRegion(raw=stored("raw", grey, "image"), labels=stored("labels", trace))
    coarse = config((10.4, 8.0, 8.0))
    assert load_region(region, coarse).foreground_voxels == 0
    rules = coarse.sampling.model_copy(update={"widen_nm": 8, "tolerance_nm": 8})
    loaded = load_region(region, coarse.model_copy(update={"sampling": rules}))
    middle = loaded.target[6, 3:12]
    assert (middle[:, 7:9] == FOREGROUND).all()
    assert (middle[:, [0, 1, -1]] == 0).all()
    assert (middle == UNLABELLED).any()
    assert loaded.foreground_voxels < loaded.target.size / 10
