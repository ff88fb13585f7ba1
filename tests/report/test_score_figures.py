"""Figures of scores hold the numbers, also where there are none."""

import io

import numpy as np
import pytest

from asem.report.score_figures import (
    DistancePoints,
    ObjectPoints,
    plot_distances,
    plot_objects,
    plot_precision_recall,
    plot_zone_curves,
)


def draw(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")
    return figure.axes


def test_scores_over_the_width_of_the_zone():
    rows = [
        {"out_nm": 0.0, "in_nm": 0.0, "f1": 0.5, "iou": 0.25},
        {"out_nm": 10.0, "in_nm": 5.0, "f1": 0.75, "iou": None},
    ]
    left, right = draw(plot_zone_curves({"a": rows, "b": rows[:1]}, (10, 5)))
    assert left.lines[0].get_xydata().tolist() == [[0, 0.5], [10, 0.75]]
    assert right.lines[0].get_xydata().tolist() == [[0, 0.25]]
    assert [text.get_text() for text in left.get_legend().texts] == ["a", "b", "zone"]
    none = [{"out_nm": 0.0, "in_nm": 0.0, "f1": None, "iou": None}]
    assert not draw(plot_zone_curves({"": none}, None))[0].lines


def test_precision_over_recall():
    columns = {
        "threshold": np.array([0.0, 0.4, 0.6]),
        "precision": np.array([0.2, 0.6, 1.0]),
        "recall": np.array([1.0, 0.8, 0.5]),
    }
    titles = {"zone": "outside", "all": "all voxels"}
    (axes,) = draw(plot_precision_recall({"a": {"all": columns}, "b": {}}, titles))
    assert axes.get_title(loc="left") == "all voxels"
    curves = [line.get_xydata().tolist() for line in axes.lines]
    assert [[1.0, 0.2], [0.8, 0.6], [0.5, 1.0]] in curves
    assert [[0.5, 1.0]] in curves  # the first threshold of at least 0.5


def test_many_objects_are_thinned_out():
    points = ObjectPoints(np.linspace(0, 1, 50_000), np.linspace(1e-5, 1, 50_000))
    left, right = draw(plot_objects({"a": points, "b": points}, (0.5, 0.75)))
    assert len(right.lines[0].get_xdata()) <= 20_000
    assert left.get_legend() is not None
    few = ObjectPoints(points.iou[:9], points.volume_um3[:9])
    _, axes = draw(plot_objects({"a": few}, (0.5,)))
    assert axes.lines[0].get_markersize() > 2 * right.lines[0].get_markersize()


def test_distances():
    points = DistancePoints(np.array([0.0, 5.0, 10.0]), np.array([3, 1, 0]), np.zeros(3, int))
    left, right = draw(plot_distances({"a": points}, 7.0))
    assert left.lines[0].get_xydata().tolist() == [[0, 0.75], [5, 1], [7, 1]]
    assert len(right.lines) == 1  # nothing is counted: only the line at 0.95


@pytest.mark.parametrize("count", [0, 1])
def test_no_objects(count):
    points = ObjectPoints(np.zeros(count), np.full(count, 1e-3))
    draw(plot_objects({"a": points}, (0.5,)))
