"""Contrast windows through which nothing would be seen, and numbers in metadata that are none."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from asem.cli import main
from asem.volume.contrast import scale_to_unit
from asem.volume.contrast_limits import find_window_error
from asem.volume.sources import open_volume
from asem.volume.volume import Volume
from asem.volume.zero_array import ZeroArray
from asem.workflows.importing import import_volume

HUGE = 1e308
DTYPES = ("uint16", "float32", "float64")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """An image of each dtype."""
    folder = tmp_path_factory.mktemp("images")
    voxels = np.arange(1000).reshape(10, 10, 10) * 60
    for dtype in DTYPES:
        tifffile.imwrite(folder / "s.tif", voxels.astype(dtype))
        import_volume(folder / "s.tif", folder / dtype, voxel_size=(5.0,) * 3)
    return folder


def copied(images, dtype, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(images / dtype, Path("raw"))


@pytest.fixture(params=DTYPES)
def each(request, images, tmp_path, monkeypatch):
    return copied(images, request.param, tmp_path, monkeypatch)


@pytest.fixture
def raw(images, tmp_path, monkeypatch):
    return copied(images, "uint16", tmp_path, monkeypatch)


def edit(image, key, value):
    """Set an attribute of asem, or of `omero`, as text that only Python takes for JSON."""
    path = image / "zarr.json"
    document = json.loads(path.read_text())
    if key == "omero":
        document["attributes"]["ome"]["omero"]["channels"][0]["window"] |= value
    else:
        document["attributes"]["asem"][key] = value
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "window",
    [
        (float("nan"), 1), (0, float("nan")), (0, float("inf")), (-float("inf"), 0),
        (0, HUGE), (-HUGE, 0), (-HUGE, HUGE), (5, 5), (6, 5), (0, 1e-320), (0, 1e-45),
        ("a", "b"), (1,), (1, 2, 3), 5, "0,1", (10**400, 10**401), (True, []),
    ],
    ids=lambda window: repr(window)[:30],
)  # fmt: skip
def test_windows_that_show_nothing_are_refused(each, capsys, window):
    raw = each
    dtype = open_volume(raw).dtype
    before = open_volume(raw).window
    edit(raw, "window", window)
    code = main(["mask", "raw", "out"] if window == (0, HUGE) else ["info", "raw"])
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("asem: ")]
    if window in ((0, HUGE), (-HUGE, 0), (0, 1e-45)) and dtype == np.float64:
        assert code == 0  # such numbers there may be
        return
    assert code == 2
    (line,) = lines
    assert "window" in line
    assert "raw" in line
    assert not Path("out").exists()
    edit(raw, "window", before)
    assert main(["info", "raw"]) == 0


@pytest.mark.parametrize("number", [float("nan"), float("inf"), HUGE, "x", None, 10**400])
def test_what_is_for_display_only_changes_nothing(raw, number):
    before = open_volume(raw).window
    edit(raw, "omero", {"start": number, "end": number})
    assert open_volume(raw).window == before


@pytest.mark.parametrize("padding", [[float("nan")], [float("inf")], ["a"], 5, None, [10**400]])
def test_padding_that_is_no_grey_value_is_refused(raw, capsys, padding):
    edit(raw, "padding", padding)
    assert main(["info", "raw"]) == 2
    err = capsys.readouterr().err.splitlines()
    assert "padding" in err[-1]


@pytest.mark.parametrize("key", ["scale", "translation"])
@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), -float("inf"), "a", None, [], 0, -5, 10**400]
)
def test_voxel_sizes_and_offsets_that_are_none(raw, capsys, key, number):
    path = raw / "zarr.json"
    document = json.loads(path.read_text())
    steps = document["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    for step in steps["coordinateTransformations"]:
        if key in step:
            step[key][1] = number
    path.write_text(json.dumps(document))
    code = main(["info", "raw"])
    if key == "translation" and number in (0, -5):
        assert code == 0
        return
    assert code == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("asem")]
    assert "raw" in line


def test_names_and_units_that_are_odd_give_one_line(raw, capsys):
    path = raw / "zarr.json"
    text = path.read_text()
    for old, new in (('"nanometer"', '"\\u001b[2J"'), ('"path": "0"', '"path": "\\u001b"')):
        path.write_text(text.replace(old, new))
        capsys.readouterr()
        assert main(["segment", "raw", "out"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "\x1b" not in line


@pytest.mark.parametrize("facts", [None, True, 5, float("nan"), "voxels", []])
def test_facts_of_the_making_may_be_anything(raw, capsys, facts):
    path = raw / "zarr.json"
    document = json.loads(path.read_text())
    document["attributes"]["asem"]["made_by"]["facts"] = facts
    path.write_text(json.dumps(document))
    assert main(["info", "raw"]) == 0


def test_what_is_seen_through_the_widest_and_the_narrowest_window():
    """No window that is allowed turns all grey values black."""
    values = np.array([0, 65535], np.uint16)
    widest, narrowest = (0.0, 255.0 * 65535), (0.0, 2e-38)
    assert not find_window_error(widest, values.dtype)
    assert not find_window_error(narrowest, values.dtype)
    assert np.rint(255 * scale_to_unit(values, widest)).tolist() == [0, 1]
    assert scale_to_unit(values, narrowest).tolist() == [0, 1]
    assert find_window_error((0, 256.0 * 65535), values.dtype)
    assert find_window_error((70_000, 80_000), values.dtype)
    assert find_window_error((-9.0, 0.0), values.dtype)
    with pytest.raises(ValueError, match=r"raw: the contrast window 0 to 1e\+308 is far"):
        Volume(ZeroArray((1, 1, 1), values.dtype), (1, 1, 1), window=(0, HUGE), name="raw")


def test_a_volume_of_one_large_value_has_a_window(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("s.tif", np.full((9, 9, 9), 1e30, np.float32))
    assert main(["import", "s.tif", "raw", "--voxel-size", "5"]) == 0
    black, white = open_volume(Path("raw")).window
    assert black < white


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_a_volume_of_the_largest_value_has_a_window(tmp_path, monkeypatch, dtype):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("s.tif", np.full((9, 9, 9), np.iinfo(dtype).max, dtype))
    assert main(["import", "s.tif", "raw", "--voxel-size", "5", "--kind", "image"]) == 0
    assert open_volume(Path("raw")).shape == (9, 9, 9)
