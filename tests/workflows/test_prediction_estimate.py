"""Estimates of a dry run equal the sum over all blocks, and take no time for large images."""

import json

import numpy as np
import pytest

from asem.blocks.block_output import write_blocks
from asem.blocks.executors import SERIAL_EXECUTOR
from asem.cli import main
from asem.model.block_prediction import find_required_raw, find_sample_box, plan_box_tiles
from asem.model.receptive_field import count_flops
from asem.volume import ngff
from asem.volume.pyramid_levels import plan_pyramid
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import create_level
from asem.workflows import prediction_estimate
from asem.workflows.prediction_estimate import _Workload
from asem.workflows.prediction_inputs import make_prediction_input
from asem.workflows.prediction_plan import PredictionPlan
from extremes import bounded
from shards import small_shards

SIZE = (10.0, 10.0, 10.0)


def declare(path, shape, *, kind="image", voxel_size=SIZE, voxels=None):
    """Write the metadata of an image, and its voxels if there are any."""
    plan = plan_pyramid(shape, voxel_size, (0.0, 0.0, 0.0))
    arrays = [create_level(path, level, np.dtype(np.uint8), is_labels=False) for level in plan]
    window = (0.0, 255.0) if kind == "image" else None
    volume = Volume(arrays[0], voxel_size, kind=kind, window=window)
    if voxels is not None:
        arrays[0].write((slice(None),) * 3, voxels).result()
    ngff.write_image_metadata(path, volume, plan, {"command": "import", "request": {}})
    return path


@pytest.mark.parametrize("edge", [512, 20_000, 100_000])
def test_no_image_is_too_large_for_a_dry_run(edge, run, tmp_path, capsys):
    raw = declare(tmp_path / "raw", (edge, edge, edge))
    words = ["predict", run, raw, tmp_path / "out", "--dry-run", "--json", "--tile", "8"]
    with bounded():
        assert main([str(word) for word in words]) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert estimate["blocks"] == (-(-edge // 256)) ** 3
    assert estimate["voxels"] == edge**3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("voxel_size", [SIZE, (10.0, 13.0, 7.0), (20.0, 5.0, 10.0)])
@pytest.mark.parametrize("roi", [None, "3:39,5:42,1:60"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_estimate_is_the_sum_over_blocks(
    voxel_size, roi, masked, cell, run, tmp_path, monkeypatch, rng
):
    small_shards(16, monkeypatch.setattr)
    monkeypatch.setattr(prediction_estimate, "SHARD", (16, 16, 16))
    raw = declare(tmp_path / "raw", (41, 47, 66), voxel_size=voxel_size)
    mask = None
    if masked:
        filled = np.zeros((41, 47, 66), np.uint8)
        filled[4:30, 8:20, 9:50], filled[40, 46, 65] = 1, 1
        mask = tmp_path / "mask"
        declare(mask, filled.shape, kind="labels", voxel_size=voxel_size, voxels=filled)
        monkeypatch.setattr(prediction_estimate, "MAX_SAMPLED_BLOCKS", 1000)
    prediction = make_prediction_input(
        run, raw, tmp_path / "out", roi=roi, mask=mask, tile=8, mirror=True
    )
    plan = PredictionPlan.from_input(
        prediction, device="cpu", overwrite=False, executor=SERIAL_EXECUTOR
    )
    (model,) = plan.models
    network, workload = model.network, _Workload.from_plan(plan)
    boxes = [
        box
        for block in write_blocks(Roi.of_shape(plan.predicted_roi.shape), plan.shards_per_block)
        if (
            box := find_sample_box(plan.raw, plan.mask, block.shift(plan.predicted_roi.offset))[0]
        ).size
    ]
    assert workload.blocks == len(boxes)
    assert workload.voxels == sum(box.size for box in boxes)
    tiles = [plan_box_tiles(network, plan.raw, box, network.tile).tiles for box in boxes]
    whole = sum(len(some) * count_flops(network.config, some[0].shape) for some in tiles)
    assert workload.count_flops(network) == 8 * whole
    assert workload.max_read_voxels(network) == max(
        find_required_raw(network, plan.raw, box).size for box in boxes
    )


def test_a_sample_of_blocks_estimates_a_large_mask(cell, run, tmp_path, monkeypatch):
    small_shards(16, monkeypatch.setattr)
    monkeypatch.setattr(prediction_estimate, "SHARD", (16, 16, 16))
    monkeypatch.setattr(prediction_estimate, "MAX_SAMPLED_BLOCKS", 8)
    raw = declare(tmp_path / "raw", (64, 64, 64))
    filled = np.ones((64, 64, 64), np.uint8)
    mask = declare(tmp_path / "mask", filled.shape, kind="labels", voxels=filled)
    prediction = make_prediction_input(run, raw, tmp_path / "out", mask=mask, tile=8)
    workload = _Workload.from_plan(
        PredictionPlan.from_input(
            prediction, device="cpu", overwrite=False, executor=SERIAL_EXECUTOR
        )
    )
    assert len(workload.grids) == 8
    assert (workload.blocks, workload.voxels) == (64, 64**3)


@pytest.mark.parametrize("key", ["shards", "tile", "precision"])
@pytest.mark.parametrize("value", [0, -8, 10**9, "x", [2], 1.5, True, {}])
def test_invalid_settings_in_a_journal_are_ignored(key, value, cell, run, tmp_path, capsys):
    journal = tmp_path / "out/.asem/journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text(json.dumps({"request": {"command": "predict", key: value}}) + "\n")
    with bounded():
        code = main(["predict", str(run), str(cell / "cell.zarr/raw"), str(tmp_path / "out")])
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "out" in line
