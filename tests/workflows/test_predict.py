import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from asem.model.checkpoint import find_checkpoint, load_checkpoint
from asem.model.unet import context, lattice
from asem.volume.contrast import scale_to_unit
from asem.volume.sources import open_volume
from asem.volume.voxel_size_view import view_at_voxel_size
from asem.workflows.clahe import clahe_volume
from asem.workflows.describe import describe_volume
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.exporting import export_volume
from asem.workflows.importing import import_volume
from asem.workflows.predict import predict_volume
from asem.workflows.segment import segment_volume


def voxels(path):
    volume = open_volume(path)
    return volume.read(volume.roi).astype(int)


@pytest.fixture(scope="module")
def probability(cell, run, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "p"
    predict_volume(run, cell / "cell.zarr/raw", path, precision="32")
    return path


def test_a_prediction_is_aligned_with_raw_and_states_its_request(cell, run, probability):
    raw, predicted = open_volume(cell / "cell.zarr/raw"), open_volume(probability)
    assert (predicted.shape, predicted.dtype) == (raw.shape, np.uint8)
    assert raw.roi_of(predicted) == raw.roi
    made = describe_volume(probability)["made_by"]
    assert made["request"]["raw"] == raw.identity
    assert made["request"]["tile"] == 264
    assert made["request"]["checkpoint"]["model"]["features"] == 2
    assert voxels(probability).std() > 1


@pytest.mark.parametrize("tile", [8, 24])
def test_the_tile_does_not_show(cell, run, probability, tmp_path, tile):
    predict_volume(run, cell / "cell.zarr/raw", tmp_path / "p", precision="32", tile=tile)
    assert np.abs(voxels(tmp_path / "p") - voxels(probability)).max() <= 1


def test_a_roi_reads_its_real_neighbours(cell, run, probability, tmp_path):
    predict_volume(
        run, cell / "cell.zarr/raw", tmp_path / "p", roi="7:21,9:30,5:41", precision="32"
    )
    part = open_volume(tmp_path / "p")
    assert open_volume(probability).roi_of(part).offset == (7, 9, 5)
    whole = voxels(probability)[7:21, 9:30, 5:41]
    assert np.abs(voxels(tmp_path / "p") - whole).max() <= 1


def finer(cell, tmp_path):
    """The cell in voxels of 5 nm with noise, so that a wrong bin changes the result."""
    coarse = voxels(cell / "cell.zarr/raw")
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    fine = fine + np.random.default_rng(1).integers(-20, 20, fine.shape)
    tifffile.imwrite(tmp_path / "fine.tif", np.clip(fine, 0, 255).astype(np.uint8))
    return tmp_path / "fine.tif"


@pytest.mark.parametrize("size", [(5.0, 5.0, 5.0), (6.5, 5.24, 4.0), (5.0, 12.5, 7.0)])
def test_a_crop_at_odd_indices_changes_nothing_further_than_the_context(cell, run, tmp_path, size):
    stack = finer(cell, tmp_path)
    import_volume(stack, tmp_path / "whole", voxel_size=size)
    start = (13, 11, 17)
    import_volume(stack, tmp_path / "crop", voxel_size=size, roi="13:80,11:96,17:144")
    for name in ("whole", "crop"):
        predict_volume(run, tmp_path / name, tmp_path / f"p_{name}", precision="32")
    whole, crop = voxels(tmp_path / "p_whole"), voxels(tmp_path / "p_crop")
    net = load_checkpoint(find_checkpoint(run))[1].model
    margin = [int((context(net) + lattice(net)) * 10 / edge) + 1 for edge in size]
    inner = tuple(slice(m, None) for m in margin)
    beyond = tuple(slice(s + m, None) for s, m in zip(start, margin, strict=True))
    assert crop[inner].size > 10_000
    assert np.abs(crop[inner] - whole[beyond]).max() <= 1
    assert whole.std() > 1


def test_a_model_of_twice_the_voxel_size_is_the_prediction_of_the_means(cell, run, tmp_path):
    stack = finer(cell, tmp_path)
    import_volume(stack, tmp_path / "fine", voxel_size=(5.0, 5.0, 5.0))
    fine = tifffile.imread(stack).astype(int)
    shape = np.array(fine.shape) // 2
    bins = fine.reshape(shape[0], 2, shape[1], 2, shape[2], 2).sum((1, 3, 5))
    tifffile.imwrite(tmp_path / "coarse.tif", ((2 * bins + 8) // 16).astype(np.uint8))
    import_volume(tmp_path / "coarse.tif", tmp_path / "coarse", voxel_size=(10.0, 10.0, 10.0))
    for name in ("fine", "coarse"):
        predict_volume(run, tmp_path / name, tmp_path / f"p_{name}", precision="32")
    between = np.ix_(*((np.arange(n) + 0.5) / 2 - 0.5 for n in fine.shape))
    centres = np.stack(np.broadcast_arrays(*between))
    coarse = voxels(tmp_path / "p_coarse").astype(float)
    expected = ndimage.map_coordinates(coarse, centres, order=1, mode="mirror")
    assert (voxels(tmp_path / "p_fine") == np.floor(expected + 0.5)).all()
    assert open_volume(tmp_path / "p_fine").voxel_size == (5.0, 5.0, 5.0)


def test_any_voxel_size_is_predicted_at_the_models_and_brought_back(cell, run, tmp_path):
    """Along z and x raw is finer than the model; along y a voxel of raw is two model voxels."""
    size = (8.0, 20.0, 3.2)
    import_volume(cell / "raw.tif", tmp_path / "raw", voxel_size=size)
    view = view_at_voxel_size(open_volume(tmp_path / "raw"), (10.0, 10.0, 10.0))
    tifffile.imwrite(tmp_path / "seen.tif", view.read(view.roi))
    import_volume(tmp_path / "seen.tif", tmp_path / "seen", voxel_size=(10.0, 10.0, 10.0))
    for name in ("raw", "seen"):
        predict_volume(run, tmp_path / name, tmp_path / f"p_{name}", precision="32")
    seen = voxels(tmp_path / "p_seen").astype(float)
    assert seen.shape == (32, 96, 24)
    pairs = (seen[:, ::2] + seen[:, 1::2]) / 2
    z, x = (np.arange(40) + 0.5) * 0.8 - 0.5, (np.arange(72) + 0.5) * 0.32 - 0.5
    centres = np.stack(np.broadcast_arrays(*np.ix_(z, np.arange(48), x)))
    expected = ndimage.map_coordinates(pairs, centres, order=1, mode="mirror")
    predicted = open_volume(tmp_path / "p_raw")
    assert (predicted.voxel_size, predicted.shape) == (size, (40, 48, 72))
    # Half a step for rounding.
    assert np.abs(voxels(tmp_path / "p_raw") - expected).max() <= 0.5 + 1e-6
    assert expected.std() > 1


@pytest.mark.parametrize("size", [(5.0, 5.0, 5.0), (8.0, 12.5, 6.4)])
def test_neither_blocks_nor_tiles_nor_a_roi_show_in_a_resampled_prediction(
    cell, run, tmp_path, monkeypatch, size
):
    raw = tmp_path / "raw"
    import_volume(cell / "raw.tif", raw, voxel_size=size)
    predict_volume(run, raw, tmp_path / "whole", precision="32")
    predict_volume(run, raw, tmp_path / "part", precision="32", roi="7:21,9:30,5:41")
    predict_volume(run, raw, tmp_path / "tiles", precision="32", tile=8)
    monkeypatch.setattr("asem.blocks.block_output.SHARD", (17, 18, 19))
    predict_volume(run, raw, tmp_path / "blocks", precision="32")
    whole = voxels(tmp_path / "whole")
    assert whole.std() > 1
    for other in ("tiles", "blocks"):
        assert np.abs(voxels(tmp_path / other) - whole).max() <= 1
    assert np.abs(voxels(tmp_path / "part") - whole[7:21, 9:30, 5:41]).max() <= 1


def test_an_interrupted_prediction_is_resumed(cell, run, probability, tmp_path, monkeypatch):
    monkeypatch.setattr("asem.blocks.block_output.SHARD", (16, 48, 40))
    raw, out = cell / "cell.zarr/raw", tmp_path / "p"

    def stop(stage, done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_volume(run, raw, out, precision="32", progress=stop)
    with pytest.raises(ValueError, match=r"another request .it differs in tile"):
        predict_volume(run, raw, out, precision="32", tile=24)
    # With less memory it is the same request, in smaller tiles.
    monkeypatch.setattr("asem.workflows.worker_capabilities.free_device_memory", lambda _: 10**6)
    monkeypatch.setattr("asem.model.device_pool.free_device_memory", lambda _: 10**6)
    predict_volume(run, raw, out, precision="32")
    assert np.abs(voxels(out) - voxels(probability)).max() <= 1
    made = describe_volume(out)["made_by"]
    assert made["request"]["tile"] == 264
    assert all(int(tile) < 50 for tile in made["facts"]["smaller_tiles"])
    predict_volume(run, raw, tmp_path / "small", precision="32", roi="0:4,0:4,0:4")
    assert describe_volume(tmp_path / "small")["made_by"]["request"]["tile"] < 20


KILLED = """
import os, signal
from pathlib import Path
import asem.blocks.block_output
from asem.workflows.predict import predict_volume

asem.blocks.block_output.SHARD = (16, 48, 40)

def kill(stage, done, total):
    if done > 3.5 * 16 * 48 * 40:  # at most three blocks are in flight
        os.kill(os.getpid(), signal.SIGKILL)

predict_volume(Path({run!r}), Path({raw!r}), Path({out!r}), precision="32", tile=16, progress=kill)
"""


def test_a_killed_prediction_is_resumed_to_the_same_bits(cell, run, tmp_path, monkeypatch):
    raw, out, whole = cell / "cell.zarr/raw", tmp_path / "killed", tmp_path / "whole"
    code = KILLED.format(run=str(run), raw=str(raw), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(ValueError, match="is unfinished"):
        open_volume(out)
    monkeypatch.setattr("asem.blocks.block_output.SHARD", (16, 48, 40))
    seen = []
    predict_volume(
        run, raw, out, precision="32", tile=16, progress=lambda s, done, n: seen.append(done)
    )
    assert seen[0] > 0  # finished blocks are not computed again
    predict_volume(run, raw, whole, precision="32", tile=16)
    assert (voxels(out) == voxels(whole)).all()


def test_positions_survive_from_tiff_to_tiff(cell, run, probability, tmp_path):
    """TIFF -> crop -> prediction of a part -> segmentation -> TIFF, in fractions of nm."""
    size = (10.0, 10.0, 10.0)
    offset = {"voxel_size": size, "offset_nm": (-0.25, 1 / 3, 1e5 + 0.7)}
    import_volume(cell / "raw.tif", tmp_path / "crop", roi="3:,5:,7:", **offset)
    predict_volume(run, tmp_path / "crop", tmp_path / "p", roi="12:30,9:40,14:60", precision="32")
    threshold = float(np.median(voxels(probability))) / 255
    segment_volume(tmp_path / "p", tmp_path / "s", threshold=threshold)
    export_volume(tmp_path / "s", tmp_path / "planes")
    planes = np.stack([tifffile.imread(path) for path in sorted((tmp_path / "planes").iterdir())])
    expected = np.zeros((40, 48, 72), np.uint8)
    part = (slice(15, 33), slice(14, 45), slice(21, 67))
    expected[part] = voxels(probability)[part] >= np.ceil(255 * threshold)
    assert planes.shape == expected.shape
    differing = np.count_nonzero(planes != expected)
    assert differing <= 1e-3 * expected.size  # 1 of 255 may cross the threshold
    assert 0 < expected.sum() < expected.size


def test_clahe_on_the_fly_is_clahe_beforehand(cell, run, tmp_path):
    raw = cell / "cell.zarr/raw"
    clahe_volume(raw, tmp_path / "clahe")
    part = {"precision": "32", "roi": "5:31,7:41,3:61"}
    predict_volume(run, raw, tmp_path / "fly", clahe=True, **part)
    predict_volume(run, tmp_path / "clahe", tmp_path / "stored", **part)
    predict_volume(run, raw, tmp_path / "plain", **part)
    assert (voxels(tmp_path / "fly") == voxels(tmp_path / "stored")).all()
    assert not (voxels(tmp_path / "fly") == voxels(tmp_path / "plain")).all()


def test_out_of_memory_in_a_block_advises_a_smaller_tile(cell, run, tmp_path, monkeypatch):
    def run_out(*_, **__):
        raise MemoryError("no 3 GB")

    monkeypatch.setattr("asem.blocks.executors.RETRY_INTERVAL_S", 0)
    monkeypatch.setattr("asem.model.block_prediction.predict_array", run_out)
    message = r"block 0:40.*out of memory \(no 3 GB\); take a smaller --tile"
    with pytest.raises(ValueError, match=message):
        predict_volume(run, cell / "cell.zarr/raw", tmp_path / "p")


def test_thin_volumes_are_reflected(run, tmp_path, rng):
    for shape in ((1, 20, 20), (3, 2, 40)):
        path = tmp_path / f"v{shape[0]}"
        plane = rng.integers(0, 255, shape).astype(np.uint8)
        tifffile.imwrite(tmp_path / "v.tif", plane, photometric="minisblack")
        import_volume(tmp_path / "v.tif", path, voxel_size=(10.0, 10.0, 10.0))
        assert predict_volume(run, path, tmp_path / f"p{shape[0]}").shape == shape


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_deep_images_are_scaled_by_their_window(cell, run, tmp_path, dtype):
    grey = (voxels(cell / "cell.zarr/raw") * 100 - 9.5).astype(dtype)
    stacks = {"deep": grey}
    for name in ("deep", "flat"):
        tifffile.imwrite(tmp_path / f"{name}.tif", stacks[name])
        import_volume(tmp_path / f"{name}.tif", tmp_path / name, voxel_size=(10.0, 10.0, 10.0))
        predict_volume(run, tmp_path / name, tmp_path / f"p_{name}", precision="32")
        unit = scale_to_unit(grey, open_volume(tmp_path / "deep").window)
        stacks["flat"] = np.rint(255 * unit).astype(np.uint8)
    deep, flat = (voxels(tmp_path / f"p_{name}") for name in ("deep", "flat"))
    assert np.abs(deep - flat).mean() < 0.05 * deep.std()
    assert deep.std() > 1


@pytest.mark.parametrize("size", [(5.0, 5.0, 5.0), (4.0, 5.0, 12.0)])
def test_resampling_can_be_switched_off(cell, run, tmp_path, size):
    import_volume(cell / "raw.tif", tmp_path / "raw", voxel_size=size)
    message = "the model of 10 x 10 x 10 nm, and resampling is switched off; leave out --no-resam"
    with pytest.raises(ValueError, match=message):
        predict_volume(run, tmp_path / "raw", tmp_path / "p", resample=False)
    assert not (tmp_path / "p").exists()
    # The model's own voxel size needs no resampling.
    predict_volume(run, cell / "cell.zarr/raw", tmp_path / "p", resample=False, roi=":9,:9,:9")


@pytest.mark.parametrize(
    ("size", "warnings"), [((10.0, 10.0, 10.0), 0), ((5.0, 10.0, 5.0), 0), ((4.0, 10.0, 10.0), 1)]
)
def test_interpolation_is_warned_of_once(cell, run, tmp_path, caplog, size, warnings):
    import_volume(cell / "raw.tif", tmp_path / "raw", voxel_size=size)
    predict_volume(run, tmp_path / "raw", tmp_path / "p", clahe=True, roi=":9,:9,:9")
    assert (
        sum("are interpolated to the model's 10 x" in line for line in caplog.messages) == warnings
    )


def test_bad_requests_create_nothing(cell, run, tmp_path):
    raw = cell / "cell.zarr/raw"
    for message, options in (
        ("leaves the volume", {"roi": "0:99,:,:"}),
        ("--tile 3 must be a multiple of 2", {"tile": 3}),
        ("unknown device", {"device": "tpu"}),
    ):
        with pytest.raises(ValueError, match=message):
            predict_volume(run, raw, tmp_path / "p", **options)
    with pytest.raises(ValueError, match="is no checkpoint"):
        predict_volume(cell, raw, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_checkpoint_is_as_good_as_its_run(cell, run, probability, tmp_path):
    predict_volume(find_checkpoint(run), cell / "cell.zarr/raw", tmp_path / "p", precision="32")
    assert (voxels(tmp_path / "p") == voxels(probability)).all()


@pytest.mark.parametrize("block", [(256, 256, 256), (16, 17, 18)])
def test_segmentation_is_threshold_mask_and_size(cell, probability, tmp_path, monkeypatch, block):
    monkeypatch.setattr("asem.blocks.block_output.SHARD", block)
    mask = np.zeros((20, 30, 40), np.uint8)
    mask[2:, 3:, :] = 7
    tifffile.imwrite(tmp_path / "m.tif", mask)
    import_volume(
        tmp_path / "m.tif",
        tmp_path / "mask",
        voxel_size=(10.0, 10.0, 10.0),
        offset_nm=(50.0, 0.0, 100.0),
    )
    threshold = float(np.quantile(voxels(probability), 0.6)) / 255
    segment_volume(
        probability, tmp_path / "s", threshold=threshold, mask=tmp_path / "mask", min_size=12
    )
    thresholded = np.zeros((40, 48, 72), bool)
    thresholded[7:25, 3:30, 10:50] = voxels(probability)[7:25, 3:30, 10:50] >= np.ceil(
        255 * threshold
    )
    ids, _ = ndimage.label(thresholded)
    sizes = np.bincount(ids.ravel())
    sizes[0] = 0
    expected = sizes[ids] >= 12
    assert 0 < expected.sum() < thresholded.sum()
    assert (voxels(tmp_path / "s") == expected).all()
    assert open_volume(tmp_path / "s").kind == "labels"


def test_half_is_128(probability, tmp_path):
    segment_volume(probability, tmp_path / "s")
    assert (voxels(tmp_path / "s") == (voxels(probability) >= 128)).all()


def test_bad_segmentations(cell, probability, tmp_path):
    with pytest.raises(ValueError, match="threshold 0 must be above 0"):
        segment_volume(probability, tmp_path / "s", threshold=0)
    with pytest.raises(ValueError, match="must be at least 0"):
        segment_volume(probability, tmp_path / "s", min_size=-1)
    with pytest.raises(ValueError, match="holds labels; name an image"):
        segment_volume(cell / "cell.zarr/labels/mito", tmp_path / "s")


def test_scores_stream(cell, probability, tmp_path, monkeypatch):
    labels = cell / "cell.zarr/labels/mito"
    at_once = evaluate_volume(probability, labels, structure_name="mito")
    monkeypatch.setattr("asem.workflows.evaluate.BLOCK_SHAPE", (7, 11, 13))
    assert evaluate_volume(probability, labels, structure_name="mito") == at_once
    ball = evaluate_volume(probability, labels, zone_out_nm=20, zone_in_nm=20, zone_shape="ball")
    assert ball["zone"]["shape"] == "ball"
    assert ball["exclusion_zone"]["voxels"] < at_once["exclusion_zone"]["voxels"]
    assert ball["all"] == at_once["all"]
