"""The command `asem view`: its messages, its link, and its end."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import imagecodecs
import numpy as np
import pytest

from asem.cli import main
from asem.view.collect import collect
from asem.view.open_view import find_box, find_window, open_view
from asem.volume.volume import Volume
from asem.workflows import view as workflow
from view_cells import CORNER_NM, SHAPE, VOXEL_NM, write_cell


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return write_cell(tmp_path_factory.mktemp("view") / "cell.zarr")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give at least one PATH, for instance cell.zarr"),
        (["none"], "there is nothing at none"),
        (["CELL", "--screenshot", "a.gif"], "a.gif: a picture is a PNG file; give it the suffix"),
        (["CELL", "--screenshot", "a.png", "--size", "10,9999"], "its edges have 64 to 8192"),
        (["CELL", "--screenshot", "a.png", "--size", "10"], "--size 10: write width and height"),
        (
            ["CELL", "--screenshot", "old.png"],
            "old.png exists already and is not a picture of asem",
        ),
        (["CELL", "--screenshot", "no/a.png"], "no/a.png: its folder does not exist"),
        (["CELL", "--screenshot", "a.png", "--open"], "give either --screenshot, or --link"),
        (["CELL", "--screenshot", "a.png", "--port", "80"], "or --link, --open or --port"),
        (["CELL", "--size", "800,600"], "those of a picture: give --screenshot, too"),
        (["CELL", "--overwrite"], "those of a picture: give --screenshot, too"),
        (["CELL", "--position", "1,2"], "--position 1,2: write three numbers in nm, z,y,x"),
        (["CELL", "--width", "-5"], "a width of -5 nm; it must be positive"),
        (["CELL", "--port", "70000"], "port 70000; allowed are 0"),
    ],
)
def test_errors_are_one_line(cell, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workflow, "wait_for_interrupt", lambda: None)
    Path("old.png").touch()
    assert main(["view", *(str(cell) if word == "CELL" else word for word in words)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert (captured.err.count("\n"), captured.out) == (1, "")
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]


def test_a_missing_extra_or_browser_is_one_line(cell, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["view", str(cell), "--screenshot", str(tmp_path / "a.png")]) == 2
    assert "install it (Debian: apt-get install chromium)" in capsys.readouterr().err
    monkeypatch.setattr(workflow, "find_spec", lambda name: None)
    assert main(["view", str(cell)]) == 2
    assert capsys.readouterr().err == (
        "asem: asem view needs neuroglancer; install it: pip install 'asem[view]' "
        "(in a clone: '.[view]')\n"
    )


def test_the_link_is_served_until_ctrl_c(cell):
    words = [sys.executable, "-m", "asem", "view", str(cell), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        result = json.loads(run.stdout.readline())
        with urllib.request.urlopen(result["url"]) as page:
            assert b"<title>neuroglancer" in page.read()
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=20)
    assert run.returncode == 0
    assert errors.splitlines() == [
        "hidden layers: predictions/mito/probability, exclusion/mito, labels/mito; Ctrl-C ends the "
        "view"
    ]
    assert result["layers"]["raw"] == "displayed"


def test_open_leads_the_browser_to_the_link(cell, monkeypatch, capsys):
    opened = []

    def open_page(uri):
        opened.append(Path(unquote(urlsplit(uri).path)).read_text())
        return len(opened) == 1

    monkeypatch.setattr(webbrowser, "open", open_page)
    monkeypatch.setattr(workflow, "wait_for_interrupt", lambda: None)
    assert main(["view", str(cell), "--open", "--position", "1,2,3.5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert f'url={result["url"]}"' in opened[0]
    assert result["position_nm"] == [1, 2, 3.5]
    assert main(["view", str(cell), "--open"]) == 0
    assert "no browser is found" in capsys.readouterr().err


def test_instances_without_meshes_are_named(cell, monkeypatch, capsys, tmp_path):
    instances = shutil.copytree(cell / "predictions/mito/instances", tmp_path / "instances")
    monkeypatch.setattr(workflow, "wait_for_interrupt", lambda: None)
    assert main(["view", str(instances), "--json"]) == 0
    printed = capsys.readouterr()
    (name,) = json.loads(printed.out)["without_meshes"]
    assert f"no surfaces in 3D of {name}: asem mesh makes them" in printed.err
    assert main(["view", str(cell), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["without_meshes"] == []


def test_a_position_in_no_image_is_warned_of(cell, monkeypatch, capsys):
    monkeypatch.setattr(workflow, "wait_for_interrupt", lambda: None)
    assert main(["view", str(cell), "--position", "0,0,99999"]) == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert "the position 0, 0, 99999 nm (z, y, x) is in no image; raw is from 96.5, " in printed
    assert main(["view", str(cell)]) == 0
    assert "in no image" not in capsys.readouterr().err


def draw_png(width, height):
    return imagecodecs.png_encode(np.zeros((height, width), np.uint8))


def test_the_commands_of_the_page_run(cell, tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs/view.md").read_text()
    (block,) = re.findall(r"^```console\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    Path("cell.zarr").symlink_to(cell)
    Path("mito").mkdir()
    Path("mito/objects.csv").write_text("object_id,z_nm,y_nm,x_nm\n7,192.5,340.5,-5\n")
    monkeypatch.setattr(workflow, "wait_for_interrupt", lambda: None)
    monkeypatch.setattr("asem.view.screenshot.find_browser", lambda: "")
    monkeypatch.setattr("asem.view.screenshot.take_screenshot", lambda _, size: draw_png(*size))
    for command in block.splitlines():
        program, *words = shlex.split(command)
        assert program == "asem"
        assert main(words) == 0, capsys.readouterr().err
    assert imagecodecs.png_decode(Path("cell.png").read_bytes()).shape == (1000, 1600)
    assert main(words) == 2
    assert "cell.png exists already; give --overwrite to replace it" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_nothing_is_read_before_the_client_requests_it(cell, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("asem.volume.zarr_arrays.ZarrArray.__getitem__", refuse)
    with open_view([cell]) as view:
        assert view.describe()["position_nm"] == pytest.approx(
            CORNER_NM + VOXEL_NM * SHAPE / 2, abs=4
        )
        assert view.server.traffic.requests == 0


def test_the_view_starts_at_the_labels(cell):
    low, high = find_box(collect([cell / "raw"]), [])
    assert low == pytest.approx(CORNER_NM)
    assert high == pytest.approx(CORNER_NM + VOXEL_NM * SHAPE)


def test_a_window_is_found_in_the_middle_where_none_is_stated(rng):
    voxels = np.zeros((9, 300, 400), np.float32)
    voxels[4, 22:278, 72:328] = rng.normal(1000, 10, (256, 256))
    volume = Volume(voxels, (5.0, 5.0, 5.0))
    assert find_window(volume) == pytest.approx((974, 1026), abs=2)
    assert find_window(Volume(voxels, (5.0, 5.0, 5.0), window=(1.0, 2.0))) == (1, 2)
    assert find_window(Volume(np.zeros((3, 3, 3), np.uint16), (5.0, 5.0, 5.0))) is None
    assert find_window(Volume(np.full((3, 3, 3), np.nan, np.float32), (5.0, 5.0, 5.0))) is None
    assert find_window(Volume(np.zeros((3, 3, 3), np.uint8), (5.0, 5.0, 5.0))) is None
