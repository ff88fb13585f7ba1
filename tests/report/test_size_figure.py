"""The figure of sizes counts every object, also where there is one, or where all are equal."""

import numpy as np
import pytest

from asem.report.figures import encode_png
from asem.report.size_figure import plot_sizes


@pytest.mark.parametrize("sizes", [[2.0], [3.0, 3.0], [1e-4, 1e-3, 0.5], np.geomspace(1, 1.5, 900)])
def test_every_object_is_in_a_bin(sizes):
    volumes = np.array(sizes)
    figure = plot_sizes(volumes, 100 * volumes)
    assert encode_png(figure) == encode_png(plot_sizes(volumes, 100 * volumes))
    for axes, values in zip(figure.axes, (volumes, 100 * volumes), strict=True):
        assert sum(bar.get_height() for bar in axes.containers[0]) == len(values)
        assert axes.lines[0].get_xdata()[0] == pytest.approx(np.median(values))
