import numpy as np
import psutil
import pytest
import tifffile
import torch

from asem.model.config import ModelConfig
from asem.training.config import AugmentConfig, TrainConfig
from asem.training.labelled_regions import (
    cache_regions,
    cache_regions_as_uint8,
    is_in_memory,
    load_region,
)
from asem.training.patch_extraction import (
    DevicePatchExtractor,
    HostPatchExtractor,
    make_patch_extractor,
)
from asem.training.patch_sampling import PatchSampler
from asem.training.region_config import TrainingRegion
from asem.training.targets import FOREGROUND, UNLABELLED
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
    region = TrainingRegion(
        raw=store(tmp_path, "raw", raw, offset_nm=(5.0, 0.0, -30.0)),
        labels=store(tmp_path, "labels", labels, offset_nm=(45.0, 60.0, 50.0)),
        roi="5:15,:,:20",
    )
    loaded = load_region(region, config())
    assert (loaded.target_offset, loaded.original_offset) == ((5, 6, 8), (5, 6, 8))
    assert len(loaded.inputs) == 2
    assert (loaded.target == (raw[5:15, 6:20, 8:20] > 99)).all()
    (cached,) = cache_regions([loaded], (3, 4, 30))
    assert (cached.target_offset, cached.original_offset) == ((3, 4, 8), (5, 6, 8))
    assert (np.asarray(cached.raw.array) == raw[2:18, 2:]).all()


@pytest.mark.parametrize(
    ("size", "seen"), [((5.2, 4.0, 4.0), (5.2, 4.0, 4.0)), ((5.3, 4.0, 4.0), (4.0, 4.0, 4.0))]
)
def test_voxel_sizes_in_the_range_are_not_resampled(tmp_path, raw, size, seen):
    region = TrainingRegion(
        raw=store(tmp_path, "raw", raw, voxel_size=size),
        labels=store(tmp_path, "labels", (raw > 99).astype(np.uint8), voxel_size=size),
    )
    own = {"voxel_size": (4, 4, 4), "voxel_size_range": ((3.2, 4, 4), (5.24, 4, 4))}
    loaded = load_region(region, config(**own, resample=seen != size))
    assert loaded.raw.voxel_size == pytest.approx(seen)
    if seen == size:
        assert (loaded.target == (raw > 99)).all()
    with pytest.raises(
        ValueError, match=r"'voxel_size_range': 3.2-5.24 x 4 x 4 nm does not contain"
    ):
        config(**own | {"voxel_size": (5, 5, 5)})


def test_coarse_bins_are_wholly_inside_the_roi(tmp_path, raw):
    labels = np.ones(raw.shape, np.uint8)
    region = TrainingRegion(
        raw=store(tmp_path, "raw", raw),
        labels=store(tmp_path, "labels", labels),
        roi="3:20,0:15,1:28",
    )
    loaded = load_region(region, config(voxel_size=(20, 20, 20)))
    assert loaded.target.shape == (10 - 2, 7, 14 - 1)


@pytest.mark.parametrize("start", [(0, 0, 0), (3, 1, 4)])
def test_a_crop_trains_on_the_bins_of_the_original_grid(tmp_path, raw, start):
    """A bin counts when labels cover it wholly, for any start of crop and labels."""
    z, y, x = start
    crop = store(tmp_path, "raw", raw, roi=f"{z}:,{y}:,{x}:")
    labels = (raw[5:17, 6:, 7:] > 128).astype(np.uint8)
    place = {"offset_nm": (50.0, 60.0, 70.0)}
    region = TrainingRegion(raw=crop, labels=store(tmp_path, "labels", labels, **place))
    loaded = load_region(region, config(voxel_size=(20, 20, 20)))
    assert loaded.original_offset == (3, 3, 4)  # 5 and 7 are in the middle of a bin
    assert loaded.target.shape == (5, 9, 10)
    bins = labels[1:11, :, 1:].reshape(5, 2, 9, 2, -1, 2)[:, :, :, :, :10]
    assert (loaded.target == (bins.sum((1, 3, 5)) >= 4)).all()
    means = raw[6:16, 6:, 8:].reshape(5, 2, 9, 2, 10, 2).sum((1, 3, 5))
    grey = loaded.read_uint8(Roi(loaded.target_offset, loaded.target.shape))
    assert (grey == (2 * means + 8) // 16).all()


@pytest.mark.parametrize("true", [1, 255])
def test_a_coarse_mask_is_a_majority_for_any_true_value(tmp_path, raw, true):
    mask = np.zeros(raw.shape, np.uint8)
    mask[:, :, :13] = true
    region = TrainingRegion(
        raw=store(tmp_path, "raw", raw),
        labels=store(tmp_path, "labels", np.ones(raw.shape, np.uint8)),
        mask=store(tmp_path, "mask", mask, kind="image"),
    )
    loaded = load_region(region, config(voxel_size=(20, 20, 20)))
    assert loaded.target.shape == (10, 12, 7)  # half of the seventh bin is within the mask
    assert (loaded.target == FOREGROUND).all()


def test_masked_and_unlabelled_voxels_are_ignored(tmp_path, raw):
    labels = np.zeros(raw.shape, np.uint8)
    labels[:, :6] = 1
    labels[:, 12:] = 255
    labels[10, 7:9, 3] = 255
    mask = np.ones((20, 24, 14), np.uint8)
    mask[:4] = 0
    region = TrainingRegion(
        raw=store(tmp_path, "raw", raw),
        labels=store(tmp_path, "labels", labels),
        mask=store(tmp_path, "mask", mask),
    )
    loaded = load_region(region, config())
    assert (loaded.target_offset, loaded.original_offset) == ((4, 0, 0), (4, 0, 0))
    assert loaded.target.shape == (16, 12, 14)  # nothing is labelled further out
    assert (loaded.target[:, :6] == FOREGROUND).all()
    assert (loaded.target[6, 7:9, 3] == UNLABELLED).all()
    assert loaded.labelled_voxels == 16 * 12 * 14 - 2


def test_touching_objects_are_foreground_together(tmp_path, raw):
    """Five of eight voxels of each bin, in three instances: none has the most voxels."""
    labels = np.zeros(raw.shape, np.uint16)
    labels[::2, ::2] = 300
    labels[::2, 1::2] = 301
    labels[1::2, ::2, ::2] = 302
    region = TrainingRegion(
        raw=store(tmp_path, "raw", raw), labels=store(tmp_path, "labels", labels)
    )
    assert (load_region(region, config(voxel_size=(20, 20, 20))).target == FOREGROUND).all()


@pytest.mark.parametrize(
    ("labels", "place", "roi", "message"),
    [
        (
            np.ones((4, 4, 4), np.uint8),
            {"offset_nm": (900.0, 0.0, 0.0)},
            None,
            "no voxel in common",
        ),
        (
            np.ones((4, 4, 4), np.uint8),
            {},
            "9:,9:,9:",
            "no whole voxel of the model within 9:,9:,9:",
        ),
        (np.ones((4, 4, 4), np.uint8), {"voxel_size": (5.0,) * 3}, None, "one voxel size"),
        (np.ones((4, 4, 4), np.uint8), {"offset_nm": (5.0, 0.0, 0.0)}, None, "whole number of vox"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, raw, labels, place, roi, message):
    region = TrainingRegion(
        raw=store(tmp_path, "raw", raw),
        labels=store(tmp_path, "labels", labels, **place),
        roi=roi,
    )
    with pytest.raises(ValueError, match=message.replace(" .* ", ".*")):
        load_region(region, config())


def test_an_image_is_no_labels(tmp_path, raw):
    path = store(tmp_path, "raw", raw)
    with pytest.raises(ValueError, match="import labels with --kind labels"):
        load_region(TrainingRegion(raw=path, labels=path), config())


@pytest.fixture
def regions(tmp_path, raw):
    place = {"offset_nm": (40.0, 60.0, 50.0)}
    labels = (raw[4:18, 6:20, 5:26] > 99).astype(np.uint8)
    return TrainingRegion(
        raw=store(tmp_path, "raw", raw), labels=store(tmp_path, "labels", labels, **place)
    )


def test_patches_from_disk_are_those_from_memory(regions, monkeypatch, caplog):
    """With little memory, each patch reads its own box."""
    settings = config(recipe="paper", augment=AugmentConfig(scale=0.1))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("", (), {"available": 1000})())
    loaded = load_region(regions, settings)
    (on_disk,) = cache_regions_as_uint8([loaded], (30, 30, 30))
    assert on_disk is loaded
    assert not isinstance(loaded.target, np.ndarray)
    assert "training regions stay on disk and are read patch by patch" in caplog.text
    monkeypatch.undo()
    (in_memory,) = cache_regions_as_uint8([loaded], (30, 30, 30))
    assert is_in_memory(in_memory)
    assert (in_memory.target == load_region(regions, settings).target).all()
    sampler = PatchSampler([loaded], settings)
    assert (
        sampler.locations[0].cumulative
        == PatchSampler([in_memory], settings).locations[0].cumulative
    ).all()
    for seed in range(5):
        spec = sampler.draw(np.random.default_rng(seed))
        in_ram, from_disk = (
            HostPatchExtractor([one]).extract(spec, sampler.output_edge)
            for one in (in_memory, on_disk)
        )
        assert (in_ram[0] == from_disk[0]).all()
        assert (in_ram[1] == from_disk[1]).all()


def test_device_and_cpu_extract_the_same_patch(regions):
    settings = config(recipe="paper", augment=AugmentConfig(scale=0.1))
    loaded = cache_regions_as_uint8([load_region(regions, settings)], (30, 30, 30))
    sampler = PatchSampler(loaded, settings)
    for seed in range(5):
        spec = sampler.draw(np.random.default_rng(seed))
        on_cpu = HostPatchExtractor(loaded).extract(spec, sampler.output_edge)
        on_device = DevicePatchExtractor(loaded, torch.device("cpu")).extract(
            spec, sampler.output_edge
        )
        assert (on_cpu[0] - on_device[0]).abs().max() < 5e-3
        assert (on_cpu[1] == on_device[1]).float().mean() > 0.999
    assert isinstance(make_patch_extractor(loaded, torch.device("cpu")), HostPatchExtractor)


def test_a_resumed_run_extracts_on_the_same_device(regions, monkeypatch, caplog):
    loaded = cache_regions_as_uint8([load_region(regions, config())], (30, 30, 30))
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(DevicePatchExtractor, "__init__", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10**10, 10**10))
    assert make_patch_extractor(loaded, gpu).cut_on == "device"
    assert make_patch_extractor(loaded, gpu, "processor").cut_on == "processor"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 10**10))
    assert make_patch_extractor(loaded, gpu).cut_on == "processor"
    assert "noise" not in caplog.text
    assert make_patch_extractor(loaded, gpu, "device").cut_on == "processor"
    assert "no longer fit into memory: patches were extracted on the GPU before" in caplog.text


@pytest.mark.gpu
def test_gpu_and_cpu_extract_the_same_patch(regions):
    settings = config(recipe="paper", augment=AugmentConfig(scale=0.1))
    loaded = cache_regions_as_uint8([load_region(regions, settings)], (30, 30, 30))
    sampler, gpu = (
        PatchSampler(loaded, settings),
        make_patch_extractor(loaded, torch.device("cuda:0")),
    )
    assert isinstance(gpu, DevicePatchExtractor)
    for seed in range(5):
        spec = sampler.draw(np.random.default_rng(seed))
        on_cpu = HostPatchExtractor(loaded).extract(spec, sampler.output_edge)
        on_device = gpu.extract(spec, sampler.output_edge)
        assert (on_cpu[0] - on_device[0].cpu()).abs().max() < 5e-3
        assert (on_cpu[1] == on_device[1].cpu()).float().mean() > 0.999


def test_16_bit_raw_is_cached_as_8_bit_of_its_window(tmp_path, raw):
    deep = raw.astype(np.uint16) * 100 + 500
    region = TrainingRegion(
        raw=store(tmp_path, "raw", deep),
        labels=store(tmp_path, "labels", np.ones(raw.shape, np.uint8)),
    )
    loaded = load_region(region, config())
    (small,) = cache_regions_as_uint8([loaded], (0, 0, 0))
    low, high = loaded.window
    expected = np.rint(np.clip((deep - low) / (high - low), 0, 1) * 255)
    assert small.raw.array.dtype == np.uint8
    assert np.abs(np.asarray(small.raw.array) - expected).max() <= 1  # a tie in float32
    assert small.window == (0, 255)


def test_regions_are_read_block_by_block(regions, monkeypatch):
    whole = load_region(regions, config())
    for module in ("labelled_regions", "targets"):
        monkeypatch.setattr(f"asem.training.{module}.READ_BLOCK", (5, 4, 7))
    parts = load_region(regions, config())
    assert (whole.target == parts.target).all()
    assert (
        cache_regions([whole], (9, 9, 9))[0].raw.array
        == cache_regions([parts], (9, 9, 9))[0].raw.array
    ).all()
