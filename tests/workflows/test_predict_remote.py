"""A prediction of a part of an image in a bucket reads only the chunks of that part."""

import re

import numpy as np
import pytest
import tensorstore as ts
from moto.s3.responses import S3Response

from asem.cli import main
from asem.volume.sources import open_volume
from chunked import add_attributes
from remote_servers import serve_s3, upload

CHUNK, EDGE, START = 64, 2000, 896
"""Voxels: edge of a chunk and of the image, and the first of the region that has chunks."""


def write_cell(folder, rng):
    """Write an N5 image of 2000^3 voxels of 10 nm, most of whose chunks have no file."""
    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "metadata": {
            "dimensions": [EDGE] * 3,
            "blockSize": [CHUNK] * 3,
            "dataType": "uint8",
            "compression": {"type": "raw"},
        },
    }
    part = (slice(START, START + 3 * CHUNK),) * 3
    voxels = rng.integers(1, 255, (3 * CHUNK,) * 3).astype(np.uint8)
    ts.open(spec, create=True).result()[part].write(voxels).result()
    placement = {"axes": ["z", "y", "x"], "units": ["nm"] * 3, "translate": [0.0] * 3}
    add_attributes(folder / "attributes.json", {"transform": {**placement, "scale": [10.0] * 3}})


@pytest.fixture
def requested(monkeypatch):
    """Keys of the objects that the server is sent requests for, also of missing ones."""
    keys, get_object = [], S3Response.get_object

    def record(self):
        keys.append(self.path.partition("cell.n5/")[2])
        return get_object(self)

    monkeypatch.setattr(S3Response, "get_object", record)
    return keys


def test_only_the_chunks_of_the_region_are_read(run, tmp_path, monkeypatch, rng, requested):
    write_cell(tmp_path / "cell.n5/em/s0", rng)
    source, out, local = (
        "s3://paper/cell.n5/em/s0",
        tmp_path / "out.zarr/p",
        tmp_path / "local.zarr/p",
    )
    roi = f"{START + 40}:{START + 72},{START + 88}:{START + 104},{START + 88}:{START + 104}"
    options = ["--roi", roi, "--tile", "16", "--precision", "32", "--device", "cpu"]
    with serve_s3("paper") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        upload(url, "paper", tmp_path / "cell.n5", "cell.n5")
        requested.clear()
        assert main(["predict", str(run), source, str(out), *options]) == 0
    chunks = [key for key in requested if re.fullmatch(r"em/s0/\d+/\d+/\d+", key)]
    first = START // CHUNK
    columns = {f"em/s0/{first + 1}/{first + 1}/{first + z}" for z in range(2)}
    assert set(chunks) == columns  # z is the last axis of N5; the context is within these, too
    assert len(requested) - len(chunks) < 60  # metadata
    assert main(["predict", str(run), str(tmp_path / "cell.n5/em/s0"), str(local), *options]) == 0
    remote_part, local_part = open_volume(out), open_volume(local)
    voxels = remote_part.read(remote_part.roi)
    assert (voxels == local_part.read(local_part.roi)).all()
    assert len(np.unique(voxels)) > 1
    assert remote_part.offset_nm == tuple(10.0 * (START + n) for n in (40, 88, 88))
