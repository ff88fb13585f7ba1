import numpy as np
import psutil
import pytest
import tifffile
import torch

from asem.model.config import AugmentConfig, ModelConfig, Region, TrainConfig
from asem.training.patches import DeviceCutter, HostCutter, make_cutter
from asem.training.regions import kept, kept_grey, lies_in_memory, load_sample
from asem.training.sampling import Sampler
from asem.training.targets import FOREGROUND, UNKNOWN
from asem.volume.roi import Roi
from asem.workflows.importing import import_volume

NET = ModelConfig(features=2, levels=2)


def config(**changes):
    settings = {
        "structure": "mito",
        "voxel_size": (10, 10, 10),
        "train": [{"raw": "r", "labels": "l"}],
        "model": NET,
        "patch": 28,
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
    assert (sample.place, sample.origin) == ((5, 6, 8), (5, 6, 8))
    assert len(sample.inputs) == 2
    assert (sample.target == (raw[5:15, 6:20, 8:20] > 99)).all()
    (there,) = kept([sample], (3, 4, 30))
    assert (there.place, there.origin) == ((3, 4, 8), (5, 6, 8))
    assert (np.asarray(there.raw.array) == raw[2:18, 2:]).all()


@pytest.mark.parametrize(
    ("size", "seen"), [((5.2, 4.0, 4.0), (5.2, 4.0, 4.0)), ((5.3, 4.0, 4.0), (4.0, 4.0, 4.0))]
)
def test_voxel_sizes_in_the_range_are_trained_on_as_they_are(tmp_path, raw, size, seen):
    region = Region(
        raw=store(tmp_path, "raw", raw, voxel_size=size),
        labels=store(tmp_path, "labels", (raw > 99).astype(np.uint8), voxel_size=size),
    )
    own = {"voxel_size": (4, 4, 4), "voxel_size_range": ((3.2, 4, 4), (5.24, 4, 4))}
    sample = load_sample(region, config(**own, resample=seen != size))
    assert sample.raw.voxel_size == pytest.approx(seen)
    if seen == size:
        assert (sample.target == (raw > 99)).all()
    with pytest.raises(ValueError, match=r"'voxel_size_range': 3.2-5.24 x 4 x 4 nm does not hold"):
        config(**own | {"voxel_size": (5, 5, 5)})


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
    grey = sample.grey(Roi(sample.place, sample.target.shape))
    assert (grey == (2 * means + 8) // 16).all()


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
    assert sample.target.shape == (10, 12, 7)  # half of the seventh bin is sample
    assert (sample.target == FOREGROUND).all()


def test_mask_and_unknown_count_for_nothing(tmp_path, raw):
    labels = np.zeros(raw.shape, np.uint8)
    labels[:, :6] = 1
    labels[:, 12:] = 255
    labels[10, 7:9, 3] = 255
    mask = np.ones((20, 24, 14), np.uint8)
    mask[:4] = 0
    region = Region(
        raw=store(tmp_path, "raw", raw),
        labels=store(tmp_path, "labels", labels),
        mask=store(tmp_path, "mask", mask),
    )
    sample = load_sample(region, config())
    assert (sample.place, sample.origin) == ((4, 0, 0), (4, 0, 0))
    assert sample.target.shape == (16, 12, 14)  # nothing is known further out
    assert (sample.target[:, :6] == FOREGROUND).all()
    assert (sample.target[6, 7:9, 3] == UNKNOWN).all()
    assert sample.known == 16 * 12 * 14 - 2


def test_touching_objects_are_foreground_together(tmp_path, raw):
    """Five of eight voxels of each bin, in three instances: none has the most voxels."""
    labels = np.zeros(raw.shape, np.uint16)
    labels[::2, ::2] = 300
    labels[::2, 1::2] = 301
    labels[1::2, ::2, ::2] = 302
    region = Region(raw=store(tmp_path, "raw", raw), labels=store(tmp_path, "labels", labels))
    assert (load_sample(region, config(voxel_size=(20, 20, 20))).target == FOREGROUND).all()


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


@pytest.fixture
def regions(tmp_path, raw):
    place = {"offset_nm": (40.0, 60.0, 50.0)}
    labels = (raw[4:18, 6:20, 5:26] > 99).astype(np.uint8)
    return Region(
        raw=store(tmp_path, "raw", raw), labels=store(tmp_path, "labels", labels, **place)
    )


def test_patches_from_disk_are_those_from_memory(regions, monkeypatch, caplog):
    """Where memory is short, each patch reads its own box."""
    settings = config(recipe="paper", augment=AugmentConfig(scale=0.1))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("", (), {"available": 1000})())
    sample = load_sample(regions, settings)
    (on_disk,) = kept_grey([sample], (30, 30, 30))
    assert on_disk is sample
    assert not isinstance(sample.target, np.ndarray)
    assert "training regions stay on disk and are read part by part" in caplog.text
    monkeypatch.undo()
    (in_memory,) = kept_grey([sample], (30, 30, 30))
    assert lies_in_memory(in_memory)
    assert (in_memory.target == load_sample(regions, settings).target).all()
    sampler = Sampler([sample], settings)
    assert (sampler.places[0].below == Sampler([in_memory], settings).places[0].below).all()
    for seed in range(5):
        draw = sampler.draw(np.random.default_rng(seed))
        here, there = (HostCutter([one]).cut(draw, sampler.edge) for one in (in_memory, on_disk))
        assert (here[0] == there[0]).all()
        assert (here[1] == there[1]).all()


def test_the_device_cuts_what_the_processor_cuts(regions):
    settings = config(recipe="paper", augment=AugmentConfig(scale=0.1))
    samples = kept_grey([load_sample(regions, settings)], (30, 30, 30))
    sampler = Sampler(samples, settings)
    for seed in range(5):
        draw = sampler.draw(np.random.default_rng(seed))
        here = HostCutter(samples).cut(draw, sampler.edge)
        there = DeviceCutter(samples, torch.device("cpu")).cut(draw, sampler.edge)
        assert (here[0] - there[0]).abs().max() < 5e-3
        assert (here[1] == there[1]).float().mean() > 0.999
    assert isinstance(make_cutter(samples, torch.device("cpu")), HostCutter)


def test_a_run_that_goes_on_cuts_where_it_did(regions, monkeypatch, caplog):
    samples = kept_grey([load_sample(regions, config())], (30, 30, 30))
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(DeviceCutter, "__init__", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10**10, 10**10))
    assert make_cutter(samples, gpu).where == "device"
    assert make_cutter(samples, gpu, "processor").where == "processor"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 10**10))
    assert make_cutter(samples, gpu).where == "processor"
    assert "noise" not in caplog.text
    assert make_cutter(samples, gpu, "device").where == "processor"
    assert "cut on the GPU before and are now cut on the processor" in caplog.text


@pytest.mark.gpu
def test_a_gpu_cuts_what_the_processor_cuts(regions):
    settings = config(recipe="paper", augment=AugmentConfig(scale=0.1))
    samples = kept_grey([load_sample(regions, settings)], (30, 30, 30))
    sampler, gpu = Sampler(samples, settings), make_cutter(samples, torch.device("cuda:0"))
    assert isinstance(gpu, DeviceCutter)
    for seed in range(5):
        draw = sampler.draw(np.random.default_rng(seed))
        here = HostCutter(samples).cut(draw, sampler.edge)
        there = gpu.cut(draw, sampler.edge)
        assert (here[0] - there[0].cpu()).abs().max() < 5e-3
        assert (here[1] == there[1].cpu()).float().mean() > 0.999


def test_sixteen_bits_are_kept_as_eight_through_their_window(tmp_path, raw):
    deep = raw.astype(np.uint16) * 100 + 500
    region = Region(
        raw=store(tmp_path, "raw", deep),
        labels=store(tmp_path, "labels", np.ones(raw.shape, np.uint8)),
    )
    sample = load_sample(region, config())
    (small,) = kept_grey([sample], (0, 0, 0))
    low, high = sample.window
    expected = np.rint(np.clip((deep - low) / (high - low), 0, 1) * 255)
    assert small.raw.array.dtype == np.uint8
    assert np.abs(np.asarray(small.raw.array) - expected).max() <= 1  # a tie in float32
    assert small.window == (0, 255)


def test_regions_are_read_block_by_block(regions, monkeypatch):
    whole = load_sample(regions, config())
    for module in ("regions", "targets"):
        monkeypatch.setattr(f"asem.training.{module}.BLOCK", (5, 4, 7))
    parts = load_sample(regions, config())
    assert (whole.target == parts.target).all()
    assert (kept([whole], (9, 9, 9))[0].raw.array == kept([parts], (9, 9, 9))[0].raw.array).all()
