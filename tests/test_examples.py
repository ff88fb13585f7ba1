"""The example scripts run as they stand."""

import json
import re
import runpy
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import funlib
from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.volume.sources import open_volume
from chunked import write_zarr
from remote_servers import make_client, serve_s3, upload

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_a_cell_is_prepared_from_python(tmp_path, workers):
    raw, labels = make_synthetic_cell((20, 30, 40), (10.0,) * 3, np.random.default_rng(0))
    for name, voxels in (("stack", raw), ("mito", labels)):
        (tmp_path / name).mkdir()
        for number, plane in enumerate(voxels):
            tifffile.imwrite(tmp_path / f"{name}/{number}.tif", plane)
    words = [sys.executable, str(EXAMPLES / "prepare_cell.py"), "stack", "mito", "cell.zarr"]
    words += ["--voxel-size", "10", *workers]
    for _ in range(1 if workers else 2):  # the second time all is there
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 6
    cell = tmp_path / "cell.zarr"
    for name in ("clahe", "mask", "labels/mito", "exclusion/mito", "instances/mito"):
        volume = open_volume(cell / name)
        assert volume.shape == raw.shape
        assert volume.read(volume.roi).any()
    assert (tmp_path / "cell.csv").read_text().startswith("id,voxels,volume_nm3\n1,")


CELL, CHECKPOINT = "cell_6", "model_checkpoint_1841_er_CF.pt"
RAW_OFFSET, ROI_OFFSET, ROI_SHAPE = (100, 8, 3), (112, 22, 19), (20, 18, 24)
"""Voxels of 5 nm from the origin of the world."""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """The layout of the paper's bucket; the labels are what the network computes, part of raw."""
    folder, size = tmp_path_factory.mktemp("bucket"), (5.0, 5.0, 5.0)
    raw, _ = make_synthetic_cell((48, 52, 64), size, np.random.default_rng(2))
    state = funlib.random_state(levels=1)
    logits = funlib.computed(state, torch.from_numpy(raw / np.float32(127.5) - 1)[None, None])
    difference = logits[0, 1] - logits[0, 0]
    state["final_conv_pass.conv_pass.0.bias"][1] -= difference.median()
    found = (difference > difference.median()).numpy()
    context = (raw.shape[0] - found.shape[0]) // 2
    volumes = folder / f"datasets/{CELL}/{CELL}.zarr/volumes"
    for name, voxels, first in (
        ("raw_equalized_0.02", raw, RAW_OFFSET),
        ("labels/er", found.astype(np.uint32), [start + context for start in RAW_OFFSET]),
    ):
        offset = [5 * start for start in first]
        attributes = {"offset": offset, "resolution": [5, 5, 5]}
        write_zarr(volumes / name, voxels, attributes, chunk=32)
    checkpoints = folder / "models/pretrained_checkpoints"
    checkpoints.mkdir(parents=True)
    funlib.save(checkpoints / CHECKPOINT, state)
    with serve_s3("phantom") as url:
        upload(url, "phantom", folder, "asem")
        yield url


@contextmanager
def placed(url, array, first):
    """Change the offset of an array for the body; voxels."""
    client, key = make_client(url), f"asem/datasets/{CELL}/{CELL}.zarr/volumes/{array}/.zattrs"
    before = client.get_object(Bucket="phantom", Key=key)["Body"].read()
    attributes = {"offset": [5 * start for start in first], "resolution": [5, 5, 5]}
    put = {"Bucket": "phantom", "Key": key, "ACL": "public-read"}
    client.put_object(Body=json.dumps(attributes), **put)
    try:
        yield
    finally:
        client.put_object(Body=before, **put)


@pytest.fixture
def reproduce(bucket, tmp_path, monkeypatch, capsys):
    """Run the script on the bucket, in this process; returns exit message, stdout and scores."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket)

    def run(*more, out="out"):
        words = ["reproduce_paper.py", str(tmp_path / out), "--bucket", "s3://phantom/asem"]
        words += ["--offset", *map(str, ROI_OFFSET), "--shape", *map(str, ROI_SHAPE)]
        monkeypatch.setattr(sys, "argv", [*words, "--min-f1", "0.99", *more])
        try:
            runpy.run_path(str(EXAMPLES / "reproduce_paper.py"), run_name="__main__")
        except SystemExit as stopped:
            return str(stopped.code), capsys.readouterr().out
        return "", capsys.readouterr().out

    return run


def test_the_paper_is_reproduced_on_a_phantom_bucket(reproduce, tmp_path):
    for _ in range(2):  # the second time all is there
        message, printed = reproduce()
        assert message == ""
    scores = json.loads(re.findall(f"^{CELL}, all: (.*)$", printed, re.MULTILINE)[0])
    assert scores["voxels"] == np.prod(ROI_SHAPE)
    predicted = open_volume(tmp_path / f"out/{CELL}.zarr/probability")
    assert predicted.shape == ROI_SHAPE
    assert predicted.offset_nm == tuple(5 * start + 2.5 for start in ROI_OFFSET)


@pytest.mark.parametrize(
    ("array", "offset", "message"),
    [
        ("raw_equalized_0.02", (104, 8, 3), r"F1 is 0\.[0-8]"),
        ("labels/er", (106, 10, 5), r"F1 is 0\.[0-8]"),
        ("raw_equalized_0.02", (100.5, 8, 3), "between two voxels"),
        ("raw_equalized_0.02", (130, 8, 3), "which has no such voxels"),
    ],
)
def test_a_shifted_offset_fails(bucket, reproduce, array, offset, message):
    with placed(bucket, array, offset):
        assert re.search(message, reproduce()[0])


def test_what_the_bucket_does_not_have_is_one_line(reproduce):
    message, _ = reproduce("--model", "1847")
    assert "\n" not in message
    assert "there is nothing at s3://phantom/asem/models" in message


def test_a_shift_of_one_voxel_lowers_the_score(bucket, reproduce):
    """The exclusion zone of the structure is one voxel wide; the scores of all voxels have none."""
    found = []
    for first in (RAW_OFFSET[2], RAW_OFFSET[2] + 1):
        with placed(bucket, "raw_equalized_0.02", (*RAW_OFFSET[:2], first)):
            _, printed = reproduce("--min-f1", "0", out=str(first))
        found.append(json.loads(re.findall("^.*, all: (.*)$", printed, re.MULTILINE)[0])["f1"])
    assert found[0] > 0.99
    assert found[1] < 0.9
