"""Figures of nuclear pores: what they show of few and of many pores."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from asem.measure.pores.envelope_normals import build_envelope
from asem.report.figures import encode_png
from asem.report.pore_figures import (
    NO_PORES,
    plot_diameters,
    plot_heights,
    plot_profiles,
    single_size_density,
)
from asem.report.pore_gallery import choose_pores, plot_gallery
from asem.report.pore_map import plot_map


def make_table(count, rng, flagged=0):
    """Pores on a sphere; the last ones are flagged, in turn with two flags."""
    u = rng.normal(size=(count, 3))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    frame = {"pore_id": np.arange(1, count + 1)}
    frame |= {f"{axis}_nm": 2000 * u[:, k] for k, axis in enumerate("zyx")}
    frame |= {f"normal_{axis}": u[:, k] for k, axis in enumerate("zyx")}
    frame["diameter_nm"] = rng.normal(92, 12, count)
    frame["diameter_se_nm"] = np.full(count, 3.0)
    flags = ["cut", "no_rim;outlier"]
    frame["flags"] = [flags[n % 2] if n >= count - flagged else "" for n in range(count)]
    return pd.DataFrame(frame)


def texts_of(figure):
    """Titles and other text of a figure."""
    texts = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center")]
    return " ".join([*texts, *(t.get_text() for axes in figure.axes for t in axes.texts)])


def test_the_histogram_counts_the_used_pores(rng):
    table = make_table(200, rng, flagged=20)
    (axes,) = plot_diameters({"": table}).axes
    assert sum(bar.get_height() for bar in axes.patches[:-1]) == 180
    assert axes.get_title("left").startswith("n = 180, median ")
    line = max(axes.lines, key=lambda one: len(one.get_xdata()))
    area = np.trapezoid(line.get_ydata(), line.get_xdata())
    width = axes.patches[0].get_width()
    assert area == pytest.approx(180 * width, rel=0.01)


def test_each_cell_has_a_panel_below_all_of_them(rng):
    tables = {"b": make_table(30, rng), "a": make_table(50, rng)}
    titles = [axes.get_title("left") for axes in plot_diameters(tables).axes]
    assert [title.split(", median")[0] for title in titles] == [
        *("all 2 cells: n = 80", "b: n = 30", "a: n = 50")
    ]
    assert len(plot_diameters({str(n): make_table(5, rng) for n in range(30)}).axes) == 13


def test_the_density_of_a_single_size_has_the_errors_of_all_pores():
    at = np.linspace(40, 140, 2001)
    density = single_size_density(at, 90.0, np.repeat([2.0, 8.0], 50))
    assert np.trapezoid(density, at) == pytest.approx(1)
    variance = np.trapezoid(density * (at - 90) ** 2, at)
    assert variance == pytest.approx((4 + 64) / 2, rel=0.01)
    assert np.isnan(single_size_density(at, 90.0, np.zeros(3))).all()


def test_the_gallery_has_the_smallest_the_largest_and_all_flags(rng):
    table = make_table(120, rng, flagged=30)
    has_view = np.arange(120) != 3
    rows = choose_pores(table, has_view)
    assert [row.title for row in rows] == ["smallest", "median", "largest", "flagged"]
    used = table[: 120 - 30].drop(index=3)["diameter_nm"]
    assert set(rows[0].rows) == set(used.nsmallest(10).index)
    assert set(rows[2].rows) == set(used.nlargest(10).index)
    assert np.median(used.loc[list(rows[1].rows)]) == pytest.approx(used.median(), abs=1)
    assert set(table["flags"].iloc[list(rows[3].rows)]) == {"cut", "no_rim;outlier"}
    few = choose_pores(table[:25], np.ones(25, bool))
    assert [len(row.rows) for row in few] == [10, 10, 5]
    assert sorted(n for row in few for n in row.rows) == list(range(25))


def test_the_gallery_draws_each_pore(rng):
    table = make_table(12, rng, flagged=2)
    views = {n: rng.normal(100, 9, (121, 121)).astype(np.float32) for n in range(11)}
    views[1][:, :40] = np.nan
    rows = choose_pores(table, np.ones(12, bool))
    radii = np.full((12, 36), 45.0)
    figure = plot_gallery(table, rows, views, radii)
    (axes,) = figure.axes
    assert len(axes.images) == 11
    assert "no_rim\noutlier" in texts_of(figure)
    assert all(f"{n}: " in texts_of(figure) for n in range(1, 13))


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_pores_are_drawn(count, rng):
    table = make_table(count or 3, rng, flagged=0 if count else 3)
    count = len(table)
    centres = table[["z_nm", "y_nm", "x_nm"]].to_numpy()
    normals = table[["normal_z", "normal_y", "normal_x"]].to_numpy()
    envelope = build_envelope(centres, normals, np.ones(count, bool), np.ones(count, bool))
    diameters = table["diameter_nm"].to_numpy()
    figures = {
        "diameters": plot_diameters({"": table}),
        "profiles": plot_profiles(np.full((count, 61), 90.0), diameters),
        "heights": plot_heights(table, "-y"),
        "map": plot_map(table, envelope),
        "gallery": plot_gallery(table, choose_pores(table, np.ones(count, bool)), {}, normals),
    }
    for name, figure in figures.items():
        picture = Image.open(io.BytesIO(encode_png(figure)))
        assert min(picture.size) > 100, name
        assert max(picture.size) < 2000, name
    assert (NO_PORES in texts_of(figures["diameters"])) == (table["flags"] != "").all()


def test_heights_are_along_the_axis_that_points_up(rng):
    table = make_table(60, rng)
    for up, sign in (("x", 1), ("-x", -1)):
        (axes,) = plot_heights(table, up).axes
        height = axes.lines[0].get_xdata()
        assert height.min() == 0
        expected = sign * table["x_nm"].to_numpy() / 1000
        assert height == pytest.approx(expected - expected.min())
        assert f"along {'+' if sign > 0 else '-'}x" in axes.get_xlabel()


def test_the_map_shows_each_used_pore_of_a_closed_envelope_once(rng):
    table = make_table(80, rng, flagged=10)
    centres = table[["z_nm", "y_nm", "x_nm"]].to_numpy()
    envelope = build_envelope(centres, centres / 2000, np.ones(80, bool), np.ones(80, bool))
    assert envelope.surface.is_closed
    left, right, _ = plot_map(table, envelope).axes
    shown = [len(axes.collections[-1].get_offsets()) for axes in (left, right)]
    assert sum(shown) == 70
    assert min(shown) > 20
