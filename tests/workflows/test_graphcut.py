"""Strokes on disk to labels on disk, by the command."""

import json

import numpy as np
import pytest
import tifffile

from asem.cli import main
from asem.volume.sources import open_volume
from asem.workflows import annotation
from asem.workflows.importing import import_volume

SHAPE, CUT = (20, 40, 40), 6
CENTRE = np.reshape((12, 20, 22), (3, 1, 1, 1))
BALL = np.linalg.norm(np.indices(SHAPE) - CENTRE, axis=0)
TRUTH = BALL < 8
SMALL = (
    "[membranes]\nsmoothing_nm = 0\n[membranes.fragments]\nmembrane_nm = 6\nseed_spacing_bins = 3\n"
)


@pytest.fixture
def cell(tmp_path, rng):
    """A bright ball of 16 bits in a dark skin, and strokes that cover all but the first planes."""
    raw = np.where(BALL < 9, np.where(BALL < 7, 40_000, 10_000), 25_000)
    raw = raw + 1_000 * rng.standard_normal(SHAPE)
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[12, 20, 18:27] = 1
    strokes[12, 3, 3:37] = strokes[12, 3:37, 3] = 2
    tifffile.imwrite(tmp_path / "raw.tif", raw.astype(np.uint16))
    write_strokes(tmp_path, strokes[CUT:])
    import_volume(tmp_path / "raw.tif", tmp_path / "c.zarr/raw", voxel_size=(5.0,) * 3)
    return tmp_path


def write_strokes(folder, strokes, *, offset=5.0 * CUT):
    tifffile.imwrite(folder / "strokes.tif", strokes, photometric="minisblack")
    import_volume(
        folder / "strokes.tif",
        folder / "c.zarr/strokes",
        voxel_size=(5.0,) * 3,
        offset_nm=(offset, 0.0, 0.0),
        kind="labels",
        overwrite=True,
    )


def graphcut(folder, *options):
    names = [str(folder / "c.zarr" / name) for name in ("raw", "strokes", "labels")]
    return main(["graphcut", *names, *options])


def f1(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


@pytest.mark.parametrize(
    "config", [SMALL, 'energy = "paper"\n[paper.supervoxels]\nnumber = 1000\n']
)
def test_the_ball_is_labelled_where_strokes_cover_raw(cell, capsys, config):
    (cell / "cut.toml").write_text(config)
    assert graphcut(cell, "--config", str(cell / "cut.toml"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["shape"] == [SHAPE[0] - CUT, *SHAPE[1:]]
    labels = open_volume(cell / "c.zarr/labels")
    assert labels.kind == "labels"
    assert open_volume(cell / "c.zarr/raw").roi_of(labels).offset == (CUT, 0, 0)
    assert f1(labels.read(labels.roi) == 1, TRUTH[CUT:]) > 0.8


def test_more_strokes_need_no_new_pieces(cell, monkeypatch):
    assert graphcut(cell) == 0
    monkeypatch.setattr(annotation, "prepare_region", None)  # cannot be called
    strokes = np.zeros((SHAPE[0] - CUT, *SHAPE[1:]), np.uint8)
    strokes[12 - CUT, 20, 18:27], strokes[:, 38] = 1, 2
    write_strokes(cell, strokes)
    assert graphcut(cell, "--overwrite") == 0
    assert (cell / "c.zarr/annotations/.asem/regions").is_dir()
    (cell / "cut.toml").write_text("[membranes]\nthreshold = 0.1\n")
    before = open_volume(cell / "c.zarr/labels")
    before = before.read(before.roi)
    assert graphcut(cell, "--overwrite", "--config", str(cell / "cut.toml")) == 0
    after = open_volume(cell / "c.zarr/labels")
    assert after.read(after.roi).sum() > before.sum()  # another weight, the same pieces
    (cell / "cut.toml").write_text(SMALL)
    monkeypatch.chdir(cell)  # where the report is written
    assert graphcut(cell, "--overwrite", "--config", str(cell / "cut.toml")) == 2
    assert "'NoneType' object is not callable" in next(cell.glob("asem-error-*")).read_text()


def test_a_part_of_it(cell):
    (cell / "cut.toml").write_text(SMALL)
    assert graphcut(cell, "--config", str(cell / "cut.toml"), "--roi", "9:16,:,5:") == 0
    labels = open_volume(cell / "c.zarr/labels")
    assert labels.shape == (7, 40, 35)
    assert f1(labels.read(labels.roi) == 1, TRUTH[9:16, :, 5:]) > 0.8


@pytest.mark.parametrize(
    ("strokes", "offset", "options", "message"),
    [
        (np.eye(40, dtype=np.uint8)[None], 0.0, [], "no stroke of the background (2)"),
        (np.full((4, 4, 4), 3, np.uint8), 0.0, [], "strokes are 1 (foreground) and 2 (background)"),
        (np.ones((4, 4, 4), np.uint8), 500.0, [], "have no voxel in common"),
        (np.ones((4, 4, 4), np.uint8), 0.0, ["--roi", "10:,:,:"], "have no voxel in common"),
    ],
)
def test_bad_strokes_are_reported_in_one_line_and_leave_nothing(
    cell, capsys, strokes, offset, options, message
):
    write_strokes(cell, strokes, offset=offset)
    assert graphcut(cell, *options) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert not (cell / "c.zarr/labels").exists()


def test_a_region_larger_than_memory_is_refused(cell, capsys, monkeypatch):
    monkeypatch.setattr("asem.workflows.annotation.free_memory_bytes", lambda: 10**5)
    assert graphcut(cell) == 2
    assert "take a part of it with --roi" in capsys.readouterr().err


def test_nothing_is_replaced_by_accident(cell, capsys):
    assert graphcut(cell) == 0
    assert graphcut(cell) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert graphcut(cell, "--overwrite") == 0


def test_strokes_of_another_shape_at_the_position_of_raw_are_warned_of(cell, capsys):
    strokes = np.zeros((SHAPE[0] - CUT, *SHAPE[1:]), np.uint8)
    strokes[12 - CUT, 20, 18:27], strokes[12 - CUT, 3, 3:37] = 1, 2
    write_strokes(cell, strokes, offset=0.0)
    assert graphcut(cell) == 0
    logged = " ".join(capsys.readouterr().err.split())
    assert "start at the same position, but differ in shape" in logged
