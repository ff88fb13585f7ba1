import io

import pytest

from asem.model.run_metrics import MetricsRow, RegionScores
from asem.report.loss_curves import MAX_LABEL, OTHER_COLOUR, REGION_COLOURS, plot_loss_curves

LOSSES = {1: (2.5, None), 2: (1.5, 0.5)}
"""Validation loss and F1, by iteration."""


def rows_with(*names):
    return [
        MetricsRow(
            iteration=iteration,
            train_loss=3 - iteration,
            validation_loss=loss,
            f1=f1,
            seconds=1,
            regions=tuple(
                RegionScores(region=name, validation_loss=loss + n, f1=f1)
                for n, name in enumerate(names)
            ),
        )
        for iteration, (loss, f1) in LOSSES.items()
    ]


def legend_names(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.parametrize("names", [(), ("one",)])
def test_curves_hold_the_rows(names):
    """A single region has the same scores as all together."""
    figure = plot_loss_curves(rows_with(*names))
    left, right = figure.axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[2.0, 1.0], [2.5, 1.5]]
    assert [line.get_xydata().tolist() for line in right.lines] == [[[2.0, 0.5]]]
    assert not figure.legends


def test_a_run_without_validation_has_curves():
    rows = [MetricsRow(iteration=1, train_loss=2.0, seconds=1)]
    assert len(plot_loss_curves(rows).axes[0].lines) == 1


def test_each_region_has_a_thin_curve_with_its_name():
    figure = plot_loss_curves(rows_with("a", "b"))
    _, pooled, *regions = figure.axes[0].lines
    assert [line.get_ydata().tolist() for line in regions] == [[2.5, 1.5], [3.5, 2.5]]
    assert max(line.get_linewidth() for line in regions) < pooled.get_linewidth() / 2
    (legend,) = figure.legends
    assert legend_names(figure) == ["a", "b"]
    colours = [line.get_color() for line in regions]
    assert colours == [handle.get_color() for handle in legend.get_lines()]
    assert len(set(colours)) == 2


def test_more_regions_than_colours_have_one():
    names = [f"cell {n}" for n in range(len(REGION_COLOURS) + 1)]
    figure = plot_loss_curves(rows_with(*names))
    regions = figure.axes[0].lines[2:]
    assert {line.get_color() for line in regions} == {OTHER_COLOUR}
    assert len(regions) == len(names)
    assert legend_names(figure) == [f"each of {len(names)} regions"]


def test_names_are_drawn_as_they_are():
    """Without mathematical symbols between dollars, which may be invalid."""
    names = (r"a $\foo$ b", "_b", "細胞", "c" * 99 + "raw")
    figure = plot_loss_curves(rows_with(*names))
    figure.savefig(io.BytesIO(), format="png")
    shown = legend_names(figure)
    assert shown[:3] == [*names[:2], "??"]
    assert shown[3].endswith("craw")
    assert len(shown[3]) == MAX_LABEL
