"""Figures that `asem pits` writes of the table of one cell and of those of several cells."""

import pandas as pd

PIT_FIGURES = ("depth.png", "neck.png", "shapes.png")
"""Depth against width, neck against depth, and eccentricity, size and angle by group."""


def draw_pit_figures(table: pd.DataFrame) -> dict[str, bytes]:
    """Return the content of the figures of a table, by the names of `PIT_FIGURES`.

    Parameters
    ----------
    table
        Of pits (`asem.measure.pits.table.PIT_COLUMNS`).
    """
    from asem.report.figures import encode_png
    from asem.report.pit_distributions import plot_shapes
    from asem.report.pit_figures import plot_depth_and_width, plot_neck_and_depth

    plots = (plot_depth_and_width, plot_neck_and_depth, plot_shapes)
    return {name: encode_png(plot(table)) for name, plot in zip(PIT_FIGURES, plots, strict=True)}
