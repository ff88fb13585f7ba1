"""Gallery of nuclear pores, seen along the normal of the envelope, with the measured points."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asem.measure.pores.table import is_used
from asem.measure.pores.view import VIEW_STEP_NM
from asem.report.figures import PREDICTION_COLOUR
from asem.report.gallery import (
    Grid,
    Row,
    choose_flagged,
    draw_flags,
    draw_scale,
    draw_view,
    start_gallery,
)

COLUMNS = 10
SHOWN_NM = 85.0
"""From the centre of a pore to the sides of its picture."""
GRID = Grid(
    columns=COLUMNS,
    shown_nm=SHOWN_NM,
    cell_nm=184.0,
    title_nm=22.0,
    row_nm=204.0,
    left_nm=34.0,
    top_nm=40.0,
)


def choose_pores(table: pd.DataFrame, has_view: npt.NDArray[np.bool_]) -> list[Row]:
    """Choose pores to draw: the smallest, those around the median, the largest, and flagged ones.

    Of up to 30 used pores, all are drawn, in the order of their diameters. Flagged pores are chosen
    in turns by their flags.

    Parameters
    ----------
    table
        Of pores, (n,).
    has_view
        Which pores have a picture, (n,).
    """
    used = np.flatnonzero(is_used(table) & has_view)
    diameters = table["diameter_nm"].to_numpy(np.float64)
    ordered = used[np.argsort(diameters[used], kind="stable")].tolist()
    if len(ordered) <= 3 * COLUMNS:
        rows = [
            Row("by diameter" if start == 0 else "", tuple(ordered[start : start + COLUMNS]))
            for start in range(0, len(ordered), COLUMNS)
        ]
    else:
        middle = (len(ordered) - COLUMNS) // 2
        rows = [
            Row("smallest", tuple(ordered[:COLUMNS])),
            Row("median", tuple(ordered[middle : middle + COLUMNS])),
            Row("largest", tuple(ordered[-COLUMNS:])),
        ]
    flagged = choose_flagged(table["flags"].tolist(), has_view, COLUMNS)
    return [*rows, Row("flagged", flagged)] if flagged else rows


def plot_gallery(
    table: pd.DataFrame,
    rows: Sequence[Row],
    views: Mapping[int, npt.NDArray[np.float32]],
    radii_nm: npt.NDArray[np.float64],
) -> Figure:
    """Draw pores as seen along the normal of the envelope, with the points of the membrane.

    Parameters
    ----------
    table
        Of pores, (n,).
    rows
        What to draw (`choose_pores`).
    views
        En-face view of each of these pores (`asem.measure.pores.view.view_en_face`).
    radii_nm
        Distances of the membrane from the centre in equal steps of the angle, nan where it was not
        found, (n, 36).
    """
    title = f"views of {2 * SHOWN_NM:.0f} nm; id, diameter; dots: the membrane along 18 lines"
    figure, axes = start_gallery(GRID, rows, title, "no pore was measured")
    for line, row in enumerate(rows):
        for column, number in enumerate(row.rows):
            centre = GRID.centre_of(line, column)
            _draw_pore(axes, centre, table.iloc[number], views.get(number), radii_nm[number])
    if rows:
        draw_scale(axes, GRID.centre_of(0, 0), SHOWN_NM)
    return figure


def _draw_pore(
    axes: Axes,
    centre: tuple[float, float],
    pore: "pd.Series[float]",
    view: npt.NDArray[np.float32] | None,
    radii: npt.NDArray[np.float64],
) -> None:
    x, y = centre
    if view is not None:
        draw_view(axes, centre, view, VIEW_STEP_NM, SHOWN_NM)
    angle = np.arange(len(radii)) * 2 * np.pi / max(1, len(radii))
    found = np.isfinite(radii) & (radii < SHOWN_NM)
    points = np.stack([np.cos(angle[found]), np.sin(angle[found])]) * radii[found]
    axes.plot(x + points[0], y + points[1], ".", color=PREDICTION_COLOUR, markersize=3)
    diameter = float(pore["diameter_nm"])
    text = f"{pore['pore_id']}: " + (f"{diameter:.0f} nm" if np.isfinite(diameter) else "-")
    axes.text(x, y - SHOWN_NM - 3, text, fontsize=8.5, ha="center", va="bottom")
    if pore["flags"]:
        draw_flags(axes, centre, SHOWN_NM, str(pore["flags"]))
