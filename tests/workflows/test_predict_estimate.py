"""What a dry run tells: the same as for each block by itself, in no time for any image."""

import json

import numpy as np
import pytest

from asem.blocks.executors import SERIAL
from asem.blocks.output import write_blocks
from asem.cli import main
from asem.model.extent import flops_of
from asem.model.predictor import needed_of, sample_box, tiling_of
from asem.volume import ngff
from asem.volume.arrays import create_level
from asem.volume.levels import pyramid
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows import predict_estimate
from asem.workflows.predict_estimate import _Load
from asem.workflows.predict_jobs import one_job
from asem.workflows.predict_plan import Plan
from extremes import bounded
from shards import small_shards

SIZE = (10.0, 10.0, 10.0)


def declare(path, shape, *, kind="image", voxel_size=SIZE, voxels=None):
    """Write the metadata of an image, and its voxels if there are any."""
    plan = pyramid(shape, voxel_size, (0.0, 0.0, 0.0))
    arrays = [create_level(path, level, np.dtype(np.uint8), labels=False) for level in plan]
    window = (0.0, 255.0) if kind == "image" else None
    volume = Volume(arrays[0], voxel_size, kind=kind, window=window)
    if voxels is not None:
        arrays[0].write((slice(None),) * 3, voxels).result()
    ngff.write_metadata(path, volume, plan, {"command": "import", "request": {}})
    return path


@pytest.mark.parametrize("edge", [512, 20_000, 100_000])
def test_no_image_is_too_large_for_a_dry_run(edge, run, tmp_path, capsys):
    raw = declare(tmp_path / "raw", (edge, edge, edge))
    words = ["predict", run, raw, tmp_path / "out", "--dry-run", "--json", "--tile", "8"]
    with bounded():
        assert main([str(word) for word in words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["blocks"] == (-(-edge // 256)) ** 3
    assert found["voxels"] == edge**3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("voxel_size", [SIZE, (10.0, 13.0, 7.0), (20.0, 5.0, 10.0)])
@pytest.mark.parametrize("roi", [None, "3:39,5:42,1:60"])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_what_each_block_takes(
    voxel_size, roi, masked, cell, run, tmp_path, monkeypatch, rng
):
    small_shards(16, monkeypatch.setattr)
    monkeypatch.setattr(predict_estimate, "SHARD", (16, 16, 16))
    raw = declare(tmp_path / "raw", (41, 47, 66), voxel_size=voxel_size)
    mask = None
    if masked:
        there = np.zeros((41, 47, 66), np.uint8)
        there[4:30, 8:20, 9:50], there[40, 46, 65] = 1, 1
        mask = tmp_path / "mask"
        declare(mask, there.shape, kind="labels", voxel_size=voxel_size, voxels=there)
        monkeypatch.setattr(predict_estimate, "MOST_BLOCKS", 1000)
    job = one_job(run, raw, tmp_path / "out", roi=roi, mask=mask, tile=8, mirror=True)
    plan = Plan.of(job, device="cpu", overwrite=False, executor=SERIAL)
    (model,) = plan.models
    network, load = model.network, _Load.of(plan)
    boxes = [
        box
        for block in write_blocks(Roi.whole(plan.part.shape), plan.shards)
        if (box := sample_box(plan.raw, plan.mask, block.shift(plan.part.offset))[0]).size
    ]
    assert load.blocks == len(boxes)
    assert load.voxels == sum(box.size for box in boxes)
    tiles = [tiling_of(network, plan.raw, box, network.tile).tiles for box in boxes]
    whole = sum(len(some) * flops_of(network.config, some[0].shape) for some in tiles)
    assert load.operations(network) == 8 * whole
    assert load.most_read(network) == max(needed_of(network, plan.raw, box).size for box in boxes)


def test_some_blocks_stand_for_all_of_a_large_mask(cell, run, tmp_path, monkeypatch):
    small_shards(16, monkeypatch.setattr)
    monkeypatch.setattr(predict_estimate, "SHARD", (16, 16, 16))
    monkeypatch.setattr(predict_estimate, "MOST_BLOCKS", 8)
    raw = declare(tmp_path / "raw", (64, 64, 64))
    there = np.ones((64, 64, 64), np.uint8)
    mask = declare(tmp_path / "mask", there.shape, kind="labels", voxels=there)
    job = one_job(run, raw, tmp_path / "out", mask=mask, tile=8)
    load = _Load.of(Plan.of(job, device="cpu", overwrite=False, executor=SERIAL))
    assert len(load.grids) == 8
    assert (load.blocks, load.voxels) == (64, 64**3)


@pytest.mark.parametrize("key", ["shards", "tile", "precision"])
@pytest.mark.parametrize("value", [0, -8, 10**9, "x", [2], 1.5, True, {}])
def test_what_a_journal_states_is_not_believed(key, value, cell, run, tmp_path, capsys):
    journal = tmp_path / "out/.asem/journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text(json.dumps({"request": {"command": "predict", key: value}}) + "\n")
    with bounded():
        code = main(["predict", str(run), str(cell / "cell.zarr/raw"), str(tmp_path / "out")])
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "out" in line
