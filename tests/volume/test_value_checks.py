"""Grey values that are given as labels, and ids that are given as an image, get a warning."""

import h5py
import numpy as np
import pytest

from asem.cli import main
from asem.volume.value_checks import warn_of_grey_values, warn_of_ids
from asem.volume.volume import Volume

SHAPE = (20, 24, 28)
GREY = "most neighbouring voxels differ; are these grey values, not ids?"
IDS = "most neighbouring voxels are equal; if these are ids, import it with --kind labels"


@pytest.fixture
def grey(rng):
    """Smooth tissue with noise, and padding of one value around it."""
    voxels = np.full(SHAPE, 7, np.uint8)
    voxels[3:-3, 3:-3, 3:-3] = rng.normal(120, 8, (14, 18, 22)).clip(1, 254)
    return voxels


@pytest.fixture
def ids():
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:16, 4:14, 5:20], labels[4:16, 15:20, 5:20] = 3, 255
    return labels


def warnings_of(check, voxels, caplog):
    caplog.clear()
    check(Volume(voxels, (5.0,) * 3))
    return caplog.text


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64])
def test_each_is_recognized(grey, ids, caplog, dtype):
    grey, ids = grey.astype(dtype), np.where(ids == 255, np.iinfo(dtype).max, ids).astype(dtype)
    assert GREY in warnings_of(warn_of_grey_values, grey, caplog)
    assert IDS in warnings_of(warn_of_ids, ids, caplog)
    assert not warnings_of(warn_of_grey_values, ids, caplog)
    assert not warnings_of(warn_of_ids, grey, caplog)


def test_too_few_voxels_or_floats_are_not_judged(ids, caplog):
    few = np.zeros_like(ids)
    few[5, 5, 5:20] = np.arange(1, 16)
    assert not warnings_of(warn_of_grey_values, few, caplog)
    assert not warnings_of(warn_of_ids, np.minimum(few, 1), caplog)
    assert not warnings_of(warn_of_ids, ids.astype(np.float32), caplog)


def test_only_a_part_of_a_large_volume_is_read(caplog):
    reads = []

    class Recorded:
        shape, dtype = (1000, 1000, 1000), np.dtype(np.uint16)

        def __getitem__(self, index):
            reads.append(index)
            return np.ones([part.stop - part.start for part in index], np.uint16)

    warn_of_ids(Volume(Recorded(), (5.0,) * 3))
    assert IDS in caplog.text
    assert reads == [(slice(492, 508), slice(372, 628), slice(372, 628))]


def test_commands_warn(tmp_path, grey, ids, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with h5py.File("cell.h5", "w") as file:
        for name, voxels in (("grey", grey), ("ids", ids)):
            file[name] = voxels
            file[name].attrs["resolution"] = [5.0, 4.0, 4.0]
    for words in (
        ["labels", "cell.h5:/grey", "a", "--structure", "mito"],
        ["instances", "cell.h5:/grey", "b"],
        ["evaluate", "cell.h5:/grey", "cell.h5:/grey"],
    ):
        main(words)
        assert "are these grey values" in " ".join(capsys.readouterr().err.split())
    for options, warns in (([], True), (["--kind", "image"], False)):
        assert main(["import", "cell.h5:/ids", f"c{warns}", *options]) == 0
        assert ("if these are ids" in " ".join(capsys.readouterr().err.split())) == warns


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32])
def test_an_image_of_one_value_may_lack_its_chunks(tmp_path, dtype, capsys):
    for name, last, warns in (("constant", 3, True), ("image", 4, False)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            voxels = np.full(SHAPE, 3, dtype)
            voxels[-1, -1, -1] = last
            file["raw"] = voxels
        words = ["import", str(tmp_path / f"{name}.h5"), str(tmp_path / name), "--voxel-size", "5"]
        assert main([*words, "--kind", "image"]) == 0
        error = " ".join(capsys.readouterr().err.split())
        assert ("all voxels are 3; are chunks or planes missing?" in error) == warns
