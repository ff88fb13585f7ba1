"""`asem measure`: the numbers of the whole volume, whatever the blocks and workers."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.measure import regionprops

from asem.cli import main
from asem.measure.object_table import OBJECT_COLUMNS
from asem.tables import read_table
from asem.workflows.importing import import_volume
from asem.workflows.measure import FILES, measure_instances
from remote_servers import serve_files
from shards import small_shards

SHAPE = (37, 45, 53)
SIZE = (5.24, 4.0, 4.0)
BIG = 2**40 + 7


def save(path, voxels, kind, **options):
    tifffile.imwrite(path.with_suffix(".tif"), voxels, photometric="minisblack")
    import_volume(path.with_suffix(".tif"), path, voxel_size=SIZE, kind=kind, **options)


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """Raw, and instances: a beam through all blocks, a ball, a voxel, and unlabelled voxels."""
    small_shards(16, monkeypatch.setattr)
    labels = np.zeros(SHAPE, np.uint64)
    labels[10:14, 20:25] = BIG
    z, y, x = np.ogrid[:37, :45, :53]
    labels[(z - 25) ** 2 + (y - 30) ** 2 + (x - 17) ** 2 <= 36] = 3
    labels[5, 5, 5] = 2**33
    labels[:4] = np.iinfo(np.uint64).max
    save(tmp_path / "instances", labels, "labels", offset_nm=(100.0, -50.0, 0.0))
    raw = rng.integers(0, 2**16, SHAPE).astype(np.uint16)
    save(tmp_path / "raw", raw, "image", offset_nm=(100.0, -50.0, 0.0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measured(folder, out, **options):
    measure_instances(folder / "instances", folder / out, raw=folder / "raw", **options)
    return read_table(folder / out / "objects").set_index("object_id")


def test_the_table_has_the_numbers_of_the_whole_volume(folder):
    table = measured(folder, "out")
    labels = tifffile.imread(folder / "instances.tif")
    raw = tifffile.imread(folder / "raw.tif")
    assert table.index.tolist() == [3, 2**33, BIG]
    for number, row in table.iterrows():
        mask = labels == number
        (one,) = regionprops(mask.astype(np.uint8), raw, spacing=SIZE)
        assert row["volume_um3"] == pytest.approx(one.area / 1e9)
        assert row["mean_grey"] == pytest.approx(raw[mask].mean())
        assert row["sd_grey"] == pytest.approx(raw[mask].std())
        centre = np.array((100, -50, 0)) + one.centroid
        assert row[["z_nm", "y_nm", "x_nm"]].tolist() == pytest.approx(centre)
    assert table["touches_border"].tolist() == [False, False, True]
    assert list(table.columns) == [name for name in OBJECT_COLUMNS if name in table.columns]


def test_blocks_and_workers_change_no_bit(folder, monkeypatch, two_workers):
    measured(folder, "out", within_nm=60)
    measured(folder, "dask", executor=two_workers, within_nm=60)
    small_shards(64, monkeypatch.setattr)
    measured(folder, "whole", within_nm=60)
    assert len(read_table(folder / "out/contacts")) > 0
    for name in FILES:
        content = (folder / "out" / name).read_bytes()
        assert (folder / "dask" / name).read_bytes() == content
        assert (folder / "whole" / name).read_bytes() == content


def test_images_from_a_url(folder):
    content = measured(folder, "out")
    with serve_files(folder) as server:
        instances, raw = f"{server.url}/instances", f"{server.url}/raw"
        measure_instances(instances, folder / "remote", raw=raw)
    pd.testing.assert_frame_equal(
        read_table(folder / "remote/objects").set_index("object_id"), content
    )


def test_without_raw_there_are_no_grey_values(folder):
    measure_instances(folder / "instances", folder / "out")
    assert "mean_grey" not in read_table(folder / "out/objects")


def test_raw_of_a_part_counts_there(folder):
    save(folder / "part", np.full((20, 45, 53), 9, np.uint8), "image", offset_nm=(100, -50, 0))
    measure_instances(folder / "instances", folder / "out", raw=folder / "part")
    table = read_table(folder / "out/objects").set_index("object_id")
    assert table["mean_grey"][2**33] == table["mean_grey"][BIG] == 9
    assert table["sd_grey"][BIG] == 0
    csv = pd.read_csv(folder / "out/objects.csv").set_index("object_id")
    labels = tifffile.imread(folder / "instances.tif")
    assert np.isnan(csv["mean_grey"][3]) == (not (labels[:20] == 3).any())


def test_the_command_describes_every_column(folder, capsys):
    assert main(["measure", "instances", "--out", "res", "--raw", "raw", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"objects": 3, "out": "res"}
    document = json.loads((folder / "res/provenance.json").read_text())
    table = read_table(folder / "res/objects")
    assert list(document["columns"]["objects"]) == list(table.columns)
    assert document["request"].keys() >= {"instances", "raw"}


def refused(capsys, *words):
    assert main(list(words)) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("asem: ")]
    return line


def test_messages_of_invalid_input(folder, capsys):
    save(folder / "empty", np.zeros((4, 5, 6), np.uint8), "labels")
    assert "no objects" in refused(capsys, "measure", "empty", "--out", "new/deeper/out")
    assert not (folder / "new").exists()
    assert "is an image" in refused(capsys, "measure", "raw", "--out", "out")
    assert "holds labels" in refused(
        capsys, "measure", "instances", "--out", "out", "--raw", "instances"
    )
    tifffile.imwrite(folder / "coarse.tif", np.zeros(SHAPE, np.uint8))
    import_volume(folder / "coarse.tif", folder / "coarse", voxel_size=(8.0,) * 3)
    line = refused(capsys, "measure", "instances", "--out", "out", "--raw", "coarse")
    assert "coarse has voxels of 8 x 8 x 8 nm" in line
    assert not (folder / "out").exists()
    assert "--out" in refused(capsys, "measure", "instances")


def test_results_are_replaced_only_when_asked(folder, capsys):
    assert main(["measure", "instances", "--out", "out"]) == 0
    assert "give --overwrite" in refused(capsys, "measure", "instances", "--out", "out")
    shutil.copyfile(folder / "out/objects.csv", folder / "out/objects (edited).csv")
    line = refused(capsys, "measure", "instances", "--out", "out", "--overwrite")
    assert "objects (edited).csv" in line
    (folder / "out/objects (edited).csv").unlink()
    assert main(["measure", "instances", "--out", "out", "--overwrite"]) == 0
