"""What Chromium displays: bright, coloured and empty pixels at their positions in nm."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from asem.cli import main
from asem.view.client_formats import find_client_image
from asem.view.view_state import make_state
from asem.volume.sources import open_levels
from asem.workflows.exporting import export_volume
from view_cells import (
    CORNER_NM,
    HIGH_NM,
    LOW_NM,
    OFFSET_NM,
    SHAPE,
    VOXEL_NM,
    Picture,
    displaying,
    draw_raw,
    points_at_faces,
    write_image,
)

PANELS = ("xy", "xz", "yz")
MIDDLE_NM = tuple((LOW_NM + HIGH_NM) / 2 + (3.0, -4.0, 5.0))
REACH_NM = 1.9
"""Distance from a face at which pixels are read: less than half of the smallest voxel."""
BRIGHT, COLOURED = 150, 40
"""Grey value above which a pixel is bright; range of channels above which it is coloured."""
FORMATS = {"ome-zarr-0.5": "", "ome-zarr-0.4": "", "n5": "", "precomputed": "", "mrc": ".mrc"}
"""Formats with positions, and the suffix of their files."""
FINEST = ("0/c/0", r"0/0[/.]0", "s0/0", r"s0/0-64_", "0/0-64_")
SECOND = ("1/c/0", r"1/0[/.]0", "s1/0", r"s1/0-48_", "1/0-48_")
"""Starts of keys of chunks of both levels, in the order of `FORMATS`."""


def assert_cuboid(value, *, above, below, shift_nm=(0, 0, 0), reach_nm=REACH_NM, panels=PANELS):
    """Assert that a value of pixels is high inside of the faces of the cuboid, and low outside."""
    for panel in panels:
        inside, outside = points_at_faces(panel, reach_nm, shift_nm)
        found = (
            [value(panel, point) for point in inside],
            [value(panel, point) for point in outside],
        )
        assert min(found[0]) > above, (panel, found)
        assert max(found[1]) < below, (panel, found)


def test_layers_of_a_cell_overlay_exactly_and_leave_the_machine_alone(browser, known_cell):
    with displaying(browser, [known_cell], position_nm=MIDDLE_NM) as (view, take_picture):
        states = view.describe()["layers"]
        shown = ["raw", "predictions/mito/instances"]
        assert [name for name in states if states[name] == "displayed"] == shown
        picture = take_picture()
        assert_cuboid(picture.saturation, above=COLOURED, below=10)
        assert picture.colour("xy", LOW_NM - 5).mean() == pytest.approx(40, abs=3)
        raw = take_picture("raw")
        assert_cuboid(lambda *at: raw.colour(*at).mean(), above=210, below=50)
        picture = take_picture("predictions/mito/probability")
        assert_cuboid(picture.saturation, above=COLOURED, below=10)
        picture = take_picture("labels/mito")
        assert_cuboid(picture.saturation, above=COLOURED, below=10)
        unlabelled = CORNER_NM + 5 * VOXEL_NM
        assert picture.saturation("xy", (MIDDLE_NM[0], *unlabelled[1:])) < 10
        requests = browser.find_requests()
        assert any("/data/" in url for url in requests)
        assert all(url.startswith((view.server.origin, "blob:")) for url in requests)


def test_a_mesh_is_where_its_object_is(browser, known_cell):
    meshes = known_cell / "predictions/mito/meshes"
    middle = (LOW_NM + HIGH_NM) / 2
    with displaying(browser, [meshes], position_nm=tuple(middle)) as (view, take_picture):
        assert view.describe()["layers"] == {"mito/meshes": "displayed"}
        picture = take_picture()
        assert_cuboid(picture.saturation, above=COLOURED, below=10)  # its instances
        panel = picture.pixels[240:, :320]
        rows, columns = np.nonzero(panel.max(axis=2) - panel.min(axis=2) > COLOURED)
        assert 2_000 < len(rows) < 20_000
        assert (rows.mean(), columns.mean()) == pytest.approx((120, 160), abs=5)
        info = browser.evaluate(f"fetch('{view.server.data_url}/1/info').then((r) => r.text())")
        assert "multilod" in info
        assert str(known_cell) not in info


def test_all_formats_and_levels_are_in_place(browser, tmp_path):
    # Side by side along x, so that one picture has all of them.
    step, paths = np.array([0, 0, SHAPE[2] * VOXEL_NM[2]]), []
    for number, (name, suffix) in enumerate(FORMATS.items()):
        image = write_image(
            tmp_path / f"{name}.zarr", draw_raw(), offset_nm=OFFSET_NM + number * step
        )
        paths.append(tmp_path / f"{name}{suffix}")
        export_volume(image, paths[-1], format_name=name)
    drivers = [find_client_image(open_levels(path)) for path in paths]
    assert [one and one.format for one in drivers] == [
        "zarr3", "zarr2", "n5", "neuroglancer-precomputed", None,
    ]  # fmt: skip
    position = tuple(MIDDLE_NM + 2 * step)
    shown = displaying(browser, paths, position_nm=position, width_nm=1900, size=(1600, 400))
    with shown as (_, take_picture):
        for changes, keys in (({}, FINEST), ({"crossSectionRenderScale": 8}, SECOND)):
            picture = take_picture(**changes)
            browser.evaluate("new Promise((done) => setTimeout(done, 100))")  # collects events
            requested = " ".join(browser.find_requests())
            for number, key in enumerate(keys):
                assert re.search(rf"/data/[\w-]+/{number}/{key}", requested), (number, key)
                assert_cuboid(
                    lambda *at, picture=picture: picture.colour(*at).mean(),
                    above=BRIGHT,
                    below=BRIGHT - 60,
                    shift_nm=number * step,
                    reach_nm=3.9,
                    panels=("xy", "xz"),
                )


def test_rows_of_a_table_are_at_their_positions(browser, known_cell, tmp_path):
    middle = (LOW_NM + HIGH_NM) / 2
    places = middle + np.array([[0, 0, 0], [0, 60, 0], [0, 0, -70]])
    frame = pd.DataFrame(places, columns=["z_nm", "y_nm", "x_nm"])
    frame["pore_id"], frame["diameter_nm"], frame["flags"] = [3, 5, 9], [40.0, 50.0, 60.0], ""
    frame.to_csv(tmp_path / "pores.csv", index=False)
    paths = [known_cell / "raw", tmp_path / "pores.csv"]
    with displaying(browser, paths, position_nm=tuple(middle)) as (view, take_picture):
        assert view.describe()["layers"] == {"raw": "displayed", "pores": "displayed"}
        picture = take_picture("pores")
        for place, radius in zip(places, (20, 25, 30), strict=True):
            for reach, is_sphere in ((radius - 4, True), (radius + 2, False)):
                for panel, point in (("xy", (0, reach, 5)), ("xz", (-reach, 0, 5))):
                    if panel == "xy" or place[1] == middle[1]:  # the plane xz passes through it
                        colour = picture.colour(panel, place - point)
                        assert (colour.max() > 90) == is_sphere, (panel, place, reach)


def test_the_command_saves_a_picture(browser, known_cell, tmp_path, capsys):
    file = tmp_path / "view.png"
    words = ["view", str(known_cell), "--screenshot", str(file), "--size", "320,240", "--json"]
    position = ",".join(map(str, MIDDLE_NM))
    assert main([*words, f"--position={position}", "--width", "160"]) == 0
    assert json.loads(capsys.readouterr().out)["screenshot"] == str(file)
    state = make_state([], box_nm=(LOW_NM, HIGH_NM), position_nm=MIDDLE_NM, width_nm=640)
    picture = Picture.decode(file.read_bytes(), state)
    assert picture.pixels.shape == (240, 320, 3)
    assert_cuboid(picture.saturation, above=COLOURED, below=10)
