import numpy as np
import pytest
import tifffile

from asem.model.config import ModelConfig, Region, SamplingConfig, TrainConfig
from asem.model.sampling import (
    BEYOND,
    FOREGROUND,
    UNKNOWN,
    Sample,
    Sampler,
    load_sample,
    patch_output,
)
from asem.model.unet import context, lattice, reach
from asem.workflows.importing import import_volume

NET = ModelConfig(features=2, levels=2)
CONTEXT = context(NET)
BEFORE = CONTEXT + lattice(NET)


def config(**changes):
    settings = {
        "structure": "mito",
        "voxel_size": (10, 10, 10),
        "train": [{"raw": "r", "labels": "l"}],
        "model": NET,
        "patch": 28,
        "augment": {"mirror": False, "transpose": False, "contrast": 0, "brightness": 0},
        **changes,
    }
    return TrainConfig.model_validate(settings)


def store(tmp_path, name, voxels, **options):
    tifffile.imwrite(tmp_path / f"{name}.tif", voxels, photometric="minisblack")
    kind = "image" if name == "raw" else "labels"
    settings = {"voxel_size": (10.0, 10.0, 10.0), "kind": kind, **options}
    import_volume(tmp_path / f"{name}.tif", tmp_path / name, **settings)
    return tmp_path / name


@pytest.fixture
def raw(rng):
    return rng.integers(0, 255, (20, 24, 28)).astype(np.uint8)


def test_labels_are_placed_by_world_position(tmp_path, raw):
    labels = (raw[4:16, 6:20, 8:26] > 99).astype(np.uint16)
    region = Region(
        raw=store(tmp_path, "raw", raw, offset_nm=(5.0, 0.0, -30.0)),
        labels=store(tmp_path, "labels", labels, offset_nm=(45.0, 60.0, 50.0)),
        roi="5:15,:,:20",
    )
    sample = load_sample(region, config())
    padded = np.pad(raw, 2 * reach(NET), mode="reflect")
    start = [2 * reach(NET) + offset - BEFORE for offset in (5, 6, 8)]
    cut = tuple(
        slice(s, s + n + BEFORE + reach(NET)) for s, n in zip(start, (10, 14, 12), strict=True)
    )
    assert (sample.before, sample.origin) == (BEFORE, (5, 6, 8))
    assert len(sample.inputs) == 2
    assert (sample.target == (raw[5:15, 6:20, 8:20] > 99)).all()
    assert (sample.raw == padded[cut]).all()


def test_coarse_bins_lie_wholly_inside_the_roi(tmp_path, raw):
    labels = np.ones(raw.shape, np.uint8)
    region = Region(
        raw=store(tmp_path, "raw", raw),
        labels=store(tmp_path, "labels", labels),
        roi="3:20,0:15,1:28",
    )
    sample = load_sample(region, config(voxel_size=(20, 20, 20)))
    assert sample.target.shape == (10 - 2, 7, 14 - 1)


@pytest.mark.parametrize("start", [(0, 0, 0), (3, 1, 4)])
def test_a_crop_trains_on_the_bins_of_the_original_grid(tmp_path, raw, start):
    """A bin counts when labels cover it wholly, wherever crop and labels begin."""
    z, y, x = start
    crop = store(tmp_path, "raw", raw, roi=f"{z}:,{y}:,{x}:")
    labels = (raw[5:17, 6:, 7:] > 128).astype(np.uint8)
    place = {"offset_nm": (50.0, 60.0, 70.0)}
    region = Region(raw=crop, labels=store(tmp_path, "labels", labels, **place))
    sample = load_sample(region, config(voxel_size=(20, 20, 20)))
    assert sample.origin == (3, 3, 4)  # 5 and 7 lie in the middle of a bin
    assert sample.target.shape == (5, 9, 10)
    bins = labels[1:11, :, 1:].reshape(5, 2, 9, 2, -1, 2)[:, :, :, :, :10]
    assert (sample.target == (bins.sum((1, 3, 5)) >= 4)).all()
    means = raw[6:16, 6:, 8:].reshape(5, 2, 9, 2, 10, 2).sum((1, 3, 5))
    inner = tuple(slice(BEFORE, BEFORE + n) for n in (5, 9, 10))
    assert (sample.raw[inner] == (2 * means + 8) // 16).all()


@pytest.mark.parametrize("true", [1, 255])
def test_a_coarse_mask_is_a_vote_whatever_true_is(tmp_path, raw, true):
    mask = np.zeros(raw.shape, np.uint8)
    mask[:, :, :13] = true
    region = Region(
        raw=store(tmp_path, "raw", raw),
        labels=store(tmp_path, "labels", np.ones(raw.shape, np.uint8)),
        mask=store(tmp_path, "mask", mask, kind="image"),
    )
    sample = load_sample(region, config(voxel_size=(20, 20, 20)))
    assert (sample.target[:, :, :7] == FOREGROUND).all()  # half of the seventh bin is sample
    assert (sample.target[:, :, 7:] == UNKNOWN).all()


def test_mask_and_unknown_count_for_nothing(tmp_path, raw):
    labels = np.zeros(raw.shape, np.uint8)
    labels[:, :6] = 1
    labels[:, 12:] = 255
    mask = np.ones((20, 24, 14), np.uint8)
    mask[:4] = 0
    region = Region(
        raw=store(tmp_path, "raw", raw),
        labels=store(tmp_path, "labels", labels),
        mask=store(tmp_path, "mask", mask),
    )
    sample = load_sample(region, config(), at_least=26)
    inner = sample.target[6:-6, 2:-2]  # 26 - 20 and 26 - 24 voxels of filling on each side
    assert (sample.target[:6] == BEYOND).all()
    assert (inner[:4] == UNKNOWN).all()
    assert (inner[:, :, 14:] == UNKNOWN).all()
    assert (inner[4:, :6, :14] == FOREGROUND).all()
    assert (inner[4:, 12:, :14] == UNKNOWN).all()
    assert sample.known == 16 * 12 * 14


@pytest.mark.parametrize(
    ("labels", "place", "roi", "message"),
    [
        (
            np.ones((4, 4, 4), np.uint8),
            {"offset_nm": (900.0, 0.0, 0.0)},
            None,
            "no voxel in common",
        ),
        (np.ones((4, 4, 4), np.uint8), {}, "9:,9:,9:", "no voxel in common within 9:,9:,9:"),
        (np.ones((4, 4, 4), np.uint8), {"voxel_size": (5.0,) * 3}, None, "one voxel size"),
        (np.ones((4, 4, 4), np.uint8), {"offset_nm": (5.0, 0.0, 0.0)}, None, "whole number of vox"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, raw, labels, place, roi, message):
    region = Region(
        raw=store(tmp_path, "raw", raw),
        labels=store(tmp_path, "labels", labels, **place),
        roi=roi,
    )
    with pytest.raises(ValueError, match=message.replace(" .* ", ".*")):
        load_sample(region, config())


def test_an_image_is_no_labels(tmp_path, raw):
    path = store(tmp_path, "raw", raw)
    with pytest.raises(ValueError, match="import labels with --kind labels"):
        load_sample(Region(raw=path, labels=path), config())


def plain_sample(target):
    edge = BEFORE + reach(NET)
    raw = np.zeros(tuple(n + edge for n in target.shape), np.uint8)
    inner = tuple(slice(BEFORE, BEFORE + n) for n in target.shape)
    raw[inner] = np.where(target == FOREGROUND, 255, 0)
    known = int(np.count_nonzero(target < BEYOND))
    return Sample(raw, target.astype(np.uint8), (0.0, 255.0), BEFORE, (0, 0, 0), known, ())


def test_a_patch_is_raw_with_its_target_at_the_centre(rng):
    settings = config()
    edge = patch_output(settings)
    sampler = Sampler([plain_sample(rng.integers(0, 2, (20, 20, 20)))], settings)
    grey, target = sampler.draw(rng)
    assert grey.shape == (28,) * 3
    assert target.shape == (edge,) * 3
    centre = (slice(CONTEXT, CONTEXT + edge),) * 3
    assert (grey[centre] == np.where(target == 1, 1.0, -1.0)).all()


def test_poor_patches_are_mostly_rejected():
    target = np.zeros((20, 20, 400))
    target[:, :, :200] = 1  # half of all places are all foreground
    for reject, expected in ((0.0, 0.5), (0.9, 10 / 11)):
        settings = config(sampling=SamplingConfig(reject=reject))
        sampler = Sampler([plain_sample(target)], settings)
        draws = [sampler.draw(np.random.default_rng(n))[1].any() for n in range(300)]
        assert np.mean(draws) == pytest.approx(expected, abs=0.08)


def test_patches_of_unknown_voxels_are_always_rejected(rng):
    target = np.zeros((20, 20, 200))
    target[:, :, 20:] = UNKNOWN
    sampler = Sampler([plain_sample(target)], config())
    for _ in range(50):
        assert np.mean(sampler.draw(rng)[1] == UNKNOWN) <= 0.25
    sampler = Sampler([plain_sample(np.where(target == 0, 1, target)[:, :, 19:])], config())
    with pytest.raises(ValueError, match="none of 10000 random blocks was accepted"):
        sampler.draw(rng)


def test_samples_are_drawn_by_their_known_voxels(rng):
    small, large = plain_sample(np.zeros((20, 20, 20))), plain_sample(np.ones((20, 20, 60)))
    sampler = Sampler([small, large], config(sampling=SamplingConfig(reject=0)))
    share = np.mean([sampler.draw(rng)[1].any() for _ in range(400)])
    assert share == pytest.approx(0.75, abs=0.07)


def test_a_patch_that_does_not_fit_is_told_with_one_that_does():
    with pytest.raises(ValueError, match=r"'patch': 29 voxels do not fit the network; take 30 or"):
        patch_output(config(patch=29))
