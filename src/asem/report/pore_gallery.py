"""Gallery of nuclear pores, seen along the normal of the envelope, with the measured points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from asem.measure.flags_and_notes import SEPARATOR
from asem.measure.pores.table import is_used
from asem.measure.pores.view import VIEW_STEP_NM
from asem.report.figures import PREDICTION_COLOUR

COLUMNS = 10
SHOWN_NM = 85.0
"""From the centre of a pore to the sides of its picture."""
CELL_NM = 184.0
"""From a picture to the next one in its row."""
TITLE_NM = 22.0
"""Height of the text above a picture."""
ROW_NM = TITLE_NM + 182.0
LEFT_NM, TOP_NM = 34.0, 40.0
"""Space for the titles of the rows and of the figure."""
FLAG_COLOUR = "#b3202a"


@dataclass(frozen=True)
class Row:
    """Pores of one row of the gallery.

    Parameters
    ----------
    title
        What they have in common.
    rows
        Rows in the table of pores.
    """

    title: str
    rows: tuple[int, ...]


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
    flagged = _choose_flagged(table, has_view)
    return [*rows, Row("flagged", flagged)] if flagged else rows


def _choose_flagged(table: pd.DataFrame, has_view: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Return flagged pores, in turns one of each combination of flags."""
    texts = table["flags"].to_numpy()
    groups: dict[str, list[int]] = {}
    for row in np.flatnonzero((texts != "") & has_view).tolist():
        groups.setdefault(texts[row], []).append(row)
    turns = max(map(len, groups.values()), default=0)
    chosen = [g[turn] for turn in range(turns) for g in groups.values() if turn < len(g)]
    return tuple(chosen[:COLUMNS])


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
    count = max(1, len(rows))
    width, height = LEFT_NM + COLUMNS * CELL_NM, TOP_NM + count * ROW_NM
    figure = Figure(figsize=(12.4, 12.4 * height / width), dpi=110)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    if not rows:
        axes.text(0.02, 0.5, "no pore was measured", fontsize=11)
        return figure
    title = f"views of {2 * SHOWN_NM:.0f} nm; id, diameter; dots: the membrane along 18 lines"
    axes.text(width / 2, 12, title, fontsize=10, ha="center", va="top")
    for line, row in enumerate(rows):
        y = TOP_NM + line * ROW_NM + TITLE_NM + SHOWN_NM
        axes.text(
            LEFT_NM / 2, y, row.title, rotation=90, va="center", ha="center", fontsize=11
        )  # fmt: skip
        for column, number in enumerate(row.rows):
            x = LEFT_NM + column * CELL_NM + SHOWN_NM
            _draw_pore(axes, (x, y), table.iloc[number], views.get(number), radii_nm[number])
    _draw_scale(axes, (LEFT_NM + SHOWN_NM, TOP_NM + TITLE_NM + SHOWN_NM))
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
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
        n = min(round(SHOWN_NM / VIEW_STEP_NM), len(view) // 2)
        middle = slice(len(view) // 2 - n, len(view) // 2 + n + 1)
        shown, half = view[middle, middle], VIEW_STEP_NM * (n + 0.5)
        finite = shown[np.isfinite(shown)]
        low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
        extent = (x - half, x + half, y + half, y - half)
        axes.imshow(shown, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent)
    angle = np.arange(len(radii)) * 2 * np.pi / max(1, len(radii))
    found = np.isfinite(radii) & (radii < SHOWN_NM)
    points = np.stack([np.cos(angle[found]), np.sin(angle[found])]) * radii[found]
    axes.plot(x + points[0], y + points[1], ".", color=PREDICTION_COLOUR, markersize=3)
    diameter = float(pore["diameter_nm"])
    text = f"{pore['pore_id']}: " + (f"{diameter:.0f} nm" if np.isfinite(diameter) else "-")
    axes.text(x, y - SHOWN_NM - 3, text, fontsize=8.5, ha="center", va="bottom")
    if pore["flags"]:
        names = str(pore["flags"]).replace(SEPARATOR, "\n")
        axes.text(
            x - 0.95 * SHOWN_NM, y + 0.93 * SHOWN_NM, names, color="white", fontsize=7.5,
            va="bottom", linespacing=0.95,
            path_effects=[withStroke(linewidth=2, foreground=FLAG_COLOUR)],
        )  # fmt: skip


def _draw_scale(axes: Axes, centre: tuple[float, float]) -> None:
    """Draw a scale bar of 50 nm into a picture."""
    left, bottom = centre[0] - 0.9 * SHOWN_NM, centre[1] + 0.88 * SHOWN_NM
    axes.plot(
        [left, left + 50], [bottom] * 2, color="white", linewidth=2.5, solid_capstyle="butt",
        path_effects=[withStroke(linewidth=4, foreground="black")],
    )  # fmt: skip
    axes.text(
        left, bottom - 5, "50 nm", color="white", fontsize=7.5,
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )  # fmt: skip
