import json

import numpy as np
import pytest

from asem.cli import main
from asem.phantom.truth import TRUTH_COLUMNS
from asem.tables import read_table
from asem.volume.sources import open_volume
from asem.workflows.phantom import write_phantom

SHAPE, SIZE = (80, 90, 100), (12.0, 12.0, 12.0)
NAMES = ("raw", *(f"labels/{name}" for name in ("mito", "er", "npc", "ccp", "nucleus")))


def read(path):
    volume = open_volume(path)
    return volume.read(volume.roi)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    group = tmp_path_factory.mktemp("phantom") / "cell.zarr"
    write_phantom(group, shape=SHAPE, voxel_size=SIZE, seed=3)
    return group


def test_image_labels_and_truth_agree(phantom):
    raw = open_volume(phantom / "raw")
    assert raw.voxel_size == SIZE
    assert raw.dtype == np.uint8
    pores = read_table(phantom / "truth/pores")
    labels = read(phantom / "labels/npc")
    assert set(np.unique(labels)) - {0} == set(pores["object_id"])
    for row in pores.itertuples():
        centre = np.mean(np.nonzero(labels == row.object_id), axis=1) * SIZE
        if row.is_complete:
            assert np.linalg.norm(centre - [row.z_nm, row.y_nm, row.x_nm]) < 10


def test_the_truth_describes_its_columns(phantom):
    provenance = json.loads((phantom / "truth/provenance.json").read_text())
    assert provenance["columns"] == TRUTH_COLUMNS


def test_workers_give_the_same_volumes(phantom, two_workers, tmp_path):
    write_phantom(
        tmp_path / "cell.zarr", shape=SHAPE, voxel_size=SIZE, seed=3, executor=two_workers
    )
    for name in NAMES:
        assert (read(phantom / name) == read(tmp_path / "cell.zarr" / name)).all(), name


@pytest.mark.parametrize("stage", ["phantom", "level 1"])
def test_an_interrupted_phantom_is_resumed(phantom, tmp_path, stage):
    """Labels may be finished, and the image not: both are as if nothing had happened."""

    class StopError(Exception):
        pass

    calls = []

    def stop(name, done, total):
        calls.append(name)
        if name == stage and calls.count(stage) > (1 if stage == "phantom" else 7):
            raise StopError

    group = tmp_path / "cell.zarr"
    with pytest.raises(StopError):
        write_phantom(group, shape=SHAPE, voxel_size=SIZE, seed=3, progress=stop)
    write_phantom(group, shape=SHAPE, voxel_size=SIZE, seed=3)
    for name in NAMES:
        assert (read(phantom / name) == read(group / name)).all(), name


def test_another_phantom_is_replaced_on_request_only(tmp_path, capsys):
    words = ["phantom", str(tmp_path / "a.zarr"), "--shape", "70", "--voxel-size", "12", "--json"]
    assert main(words) == 0
    first = read(tmp_path / "a.zarr/raw")
    assert main([*words, "--seed", "4"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (read(tmp_path / "a.zarr/raw") == first).all()
    assert main([*words, "--seed", "4", "--overwrite", "--pores", "900"]) == 0
    captured = capsys.readouterr()
    pores = json.loads(captured.out)["pores"]
    assert 2 < pores < 900
    assert f"--pores 900: the envelope has space for {pores}" in captured.err
    assert (read(tmp_path / "a.zarr/raw") != first).any()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--shape", "40"], "are 200 x 200 x 200 nm: give 800 to 40000 nm"),
        (["--shape", "40,x,3"], "--shape 40,x,3: write three numbers of voxels, z,y,x"),
        (["--voxel-size", "40"], "a synthetic cell is sampled at 2 to 20 nm"),
        (["--seed", "-1"], "--seed -1: give a whole number from 0 to"),
        (["--pores", "-1"], "pores"),
        (["--pore-diameter", "300"], "pore_diameter_nm"),
        (["--preparation", "cryo"], "hpfs"),
    ],
)
def test_messages(words, part, tmp_path, capsys):
    assert main(["phantom", str(tmp_path / "new/a.zarr"), *words]) == 2
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()
