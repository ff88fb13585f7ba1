"""Figures of pits: what they show of few and of many objects, and of outliers."""

import io

import numpy as np
import pytest
from PIL import Image

from asem.report.figures import encode_png
from asem.report.pit_distributions import plot_cells, plot_shapes, spread_marks
from asem.report.pit_figures import MAX_ERROR_BARS, plot_depth_and_width, plot_neck_and_depth
from asem.report.pit_gallery import GRID, SHOWN_NM, choose_pits, plot_pit_gallery
from asem.report.pit_style import NO_PITS, choose_limits
from pit_tables import draw_picture, make_table

MANY = {"open": 60, "deep": 90, "caveola": 20, "vesicle": 12, "secretory": 30, "inner": 9}


def panels_of(figure):
    """Axes of the pits: of the plasma membrane, and of internal membranes."""
    return [axes for axes in figure.axes if axes.get_xlabel().endswith("(nm)")]


def labels_of(axes):
    return axes.get_legend_handles_labels()[1]


def texts_of(figure):
    """All text of a figure."""
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def marks_of(axes):
    """Number of marks of each group that has a legend."""
    return [len(line.get_xdata()) for line in axes.lines if not line.get_label().startswith("_")]


@pytest.mark.parametrize("plot", [plot_depth_and_width, plot_neck_and_depth])
def test_legends_count_the_used_pits(plot, rng):
    table = make_table(rng, **MANY)
    table.loc[:4, "flags"] = "cut"
    left, right = panels_of(plot(table))
    assert labels_of(left) == ["endocytic coated pits (n = 145)", "caveolae (n = 20)"]
    assert labels_of(right) == ["secretory coated pits (n = 30)"]
    assert (marks_of(left), marks_of(right)) == ([145, 20], [30])
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()


def test_pits_that_are_not_in_sight_are_counted(rng):
    table = make_table(rng, deep=50, secretory=10)
    table.loc[:3, "height_nm"] = 4000.0
    table.loc[4:6, "neck_nm"] = np.nan
    figure = plot_neck_and_depth(table)
    (axes, _), text = panels_of(figure), texts_of(figure)
    assert "3 without depth or neck; 4 outside of the axes" in text
    assert labels_of(axes) == ["endocytic coated pits (n = 47)"]
    assert axes.get_xlim()[1] < 250
    (heights,) = [line.get_xdata() for line in axes.lines if line.get_label().startswith("endo")]
    assert np.count_nonzero(heights > axes.get_xlim()[1]) == 4
    assert "4 outside of the axes" in texts_of(plot_depth_and_width(table))


def test_histograms_have_each_pit_in_sight_once(rng):
    table = make_table(rng, **MANY)
    figure = plot_depth_and_width(table)
    tops = [axes for axes in figure.axes if axes.get_ylabel() == "pits"]
    counts = [[patch.get_data().values.sum() for patch in top.patches] for top in tops]
    assert counts == [[150, 150, 20], [30]]


def test_text_has_shares_and_depths_of_both_necks(rng):
    table = make_table(rng, open=40, deep=60)
    table["neck_nm"] = np.repeat([80.0, 20.0], [40, 60])
    table["height_nm"] = np.repeat([52.0, 118.0], [40, 60])
    text = texts_of(plot_neck_and_depth(table))
    assert "above 40 nm: 40 % of coated pits, median depth 52 nm" in text
    assert "10 to 40 nm (grey): 60 % of coated pits, median depth 118 nm" in text


def test_many_pits_have_one_standard_error(rng):
    table = make_table(rng, deep=MAX_ERROR_BARS + 1, secretory=3)
    table["width_se_nm"], table["height_se_nm"] = 2.0, 4.0
    left, right = panels_of(plot_depth_and_width(table))
    across, up = (c.get_segments()[0] for c in left.collections)
    assert (np.ptp(across[:, 0]), np.ptp(up[:, 1])) == pytest.approx((4, 8))
    assert [len(c.get_segments()) for c in right.collections] == [3, 3]


def test_limits_are_those_of_most_values(rng):
    values = [rng.normal(100, 10, 500), rng.normal(60, 3, 20)]
    expected = choose_limits(values, 10.0)
    assert expected[0] == pytest.approx(45, abs=10)
    values[0][:5] = -3e4, 9e4, 1e6, 5e3, 900
    assert choose_limits(values, 10.0) == pytest.approx(expected, abs=10)
    assert choose_limits([], 10.0) == (0, 100)


def test_shapes_have_the_objects_of_each_group(rng):
    table = make_table(rng, **MANY, other=4)
    table.loc[0, "eccentricity"] = 50.0
    table.loc[table["kind"] == "vesicle", "angle_to_membrane_deg"] = np.nan
    shapes, sizes, angles = plot_shapes(table).axes
    labels = [text.get_text().replace("\n", " ") for text in shapes.get_xticklabels()]
    assert labels == [
        "caveolae (n = 20)",
        "endocytic coated pits (n = 150)",
        "secretory coated pits (n = 30)",
        "endocytic coated vesicles (n = 12)",
        "secretory coated vesicles (n = 9)",
        "others, uncoated (n = 4)",
    ]
    assert shapes.get_title("left") == "1 outside of the axes"
    assert len(sizes.get_xticklabels()) == 6
    assert len(angles.get_xticklabels()) == 3


def test_marks_fill_a_shape_as_wide_as_the_density(rng):
    values = rng.normal(100, 10, 2000)
    places = spread_marks(values, (60.0, 140.0))
    assert np.abs(places).max() <= 1
    assert abs(places[values < 100].mean()) < 0.03
    middle, side = (np.ptp(places[np.abs(values - at) < 3]) for at in (100, 120))
    assert side / middle == pytest.approx(np.exp(-2), abs=0.12)


def test_medians_of_cells_have_intervals(rng):
    tables = {"a": make_table(rng, open=20, deep=7), "b": make_table(rng, caveola=3)}
    depth, _, _ = plot_cells(tables).axes
    marks = {line.get_label(): line for line in depth.lines if line.get_label()[0] != "_"}
    places = [place for line in marks.values() for place in line.get_ydata()]
    assert len(places) == len(set(places)) == 6
    is_open = tables["a"]["neck_nm"] > 40
    heights = tables["a"]["height_nm"][is_open]
    line = marks["endocytic coated pits, neck > 40 nm"]
    assert line.get_xdata().tolist() == [heights.median()] * 2
    names = [text.get_text() for text in depth.get_yticklabels()]
    assert names == ["all 2 cells\n(30 pits)", "a\n(27 pits)", "b\n(3 pits)"]
    intervals = [one for one in depth.lines if one.get_label()[0] == "_" and one.get_xdata()[0] > 1]
    ends = [sorted(one.get_xdata()) for one in intervals]
    assert len(ends) == 4
    assert [e for e in ends if e[0] < heights.median() < e[1]]


@pytest.mark.parametrize("counts", [{}, {"deep": 1}, {"caveola": 5, "vesicle": 3}])
def test_few_objects_are_drawn(counts, rng):
    table = make_table(rng, **counts)
    pictures = {n: draw_picture(table.iloc[n]) for n in range(min(len(table), 1))}
    rows = choose_pits(table, np.ones(len(table), bool))
    figures = {
        "depth": plot_depth_and_width(table),
        "neck": plot_neck_and_depth(table),
        "shapes": plot_shapes(table),
        "cells": plot_cells({"a": table, "b": table[:0]}),
        "gallery": plot_pit_gallery(table, rows, pictures),
    }
    for name, figure in figures.items():
        picture = Image.open(io.BytesIO(encode_png(figure)))
        assert min(picture.size) > 100, name
        assert max(picture.size) < 2000, name
    assert texts_of(figures["depth"]).count(NO_PITS) == (
        1 if {"deep", "caveola"} & {*counts} else 2
    )


def test_cells_may_have_long_names_and_those_of_other_scripts(rng):
    table = make_table(rng, deep=7)
    figure = plot_cells({"細胞": table, "x" * 200: table})
    assert Image.open(io.BytesIO(encode_png(figure))).size[0] > 100


def test_rows_of_the_gallery_have_their_groups(rng):
    table = make_table(rng, **MANY)
    table.loc[[0, 1, 100], "flags"] = "cut", "cut", "merged"
    has_picture = np.arange(len(table)) != 2
    rows = {row.title.replace("\n", " "): row.rows for row in choose_pits(table, has_picture)}
    assert list(rows) == [
        "coated pits, open neck",
        "coated pits, narrower neck",
        "coated pits, deepest",
        "caveolae",
        "coated vesicles, endocytic",
        "coated pits, secretory",
        "coated vesicles, secretory",
        "flagged",
    ]
    assert {len(numbers) for numbers in list(rows.values())[:-1]} == {8}
    assert rows.pop("flagged") == (0, 100, 1)
    shown = [number for numbers in rows.values() for number in numbers]
    assert len(set(shown)) == len(shown)
    assert not {0, 1, 2, 100} & {*shown}
    heights = table["height_nm"].to_numpy()
    for title in ("coated pits, narrower neck", "coated pits, deepest", "caveolae"):
        assert (np.diff(heights[list(rows[title])]) >= 0).all()
    coated = table[:150].drop(index=[0, 1, 2, 100])
    narrow = coated[coated["neck_nm"] <= 40]
    assert set(rows["coated pits, deepest"]) == set(narrow["height_nm"].nlargest(8).index)
    assert coated["height_nm"][list(rows["coated pits, open neck"])].max() == pytest.approx(
        coated["height_nm"][coated["neck_nm"] > 40].max()
    )


def test_lines_of_the_gallery_have_the_measured_lengths(rng):
    table = make_table(rng, deep=2, vesicle=1)
    table.loc[1, "flags"] = "merged"
    pictures = {n: draw_picture(table.iloc[n]) for n in range(3)}
    rows = choose_pits(table, np.ones(3, bool))
    figure = plot_pit_gallery(table, rows, pictures)
    (axes,) = figure.axes
    assert len(axes.images) == 3
    names = [line.get_label() for line in axes.lines][:-1]
    pit = ["_outline", "_plane", "_height", "_width", "_neck"]
    assert names == [*pit, "_outline", "_width", *pit]
    x, y = GRID.centre_of(0, 0)
    for line, name in zip(axes.lines[2:5], ("height", "width", "neck"), strict=True):
        along = line.get_xydata()[2:4]
        assert np.hypot(*np.diff(along, axis=0)[0]) == pytest.approx(table[f"{name}_nm"][0])
        assert along == pytest.approx(pictures[0].lines_nm[name] + (x, y))
    outline = axes.lines[0].get_xydata()
    assert outline == pytest.approx(pictures[0].outline_nm + np.array([x, y]))
    view, image = pictures[0].view, axes.images[0]
    left, right, bottom, top = image.get_extent()
    assert ((left + right) / 2, (bottom + top) / 2) == (x, y)
    size = image.get_array().shape[0]
    assert (right - left) / size == 2.0
    assert (right - left) / 2 == pytest.approx(SHOWN_NM, abs=2)
    depth, across = np.round((outline[90] - (left, top)) / 2 - 0.5).astype(int)[::-1]
    assert image.get_array()[depth, across] == pytest.approx(view.min(), abs=2)
    text = texts_of(figure)
    assert f"1\nh {table['height_nm'][0]:.0f}, w {table['width_nm'][0]:.0f}, n " in text
    assert f"3\nw {table['width_nm'][2]:.0f}" in text
    assert "merged" in text
