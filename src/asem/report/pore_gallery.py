"""Gallery of nuclear pores, seen along the normal of the envelope, with the measured points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from asem.measure.pore_table import SEPARATOR, is_used
from asem.measure.pore_view import VIEW_STEP_NM
from asem.report.figures import PREDICTION_COLOUR

COLUMNS = 10
SHOWN_NM = 85.0
"""From the centre of a pore to the sides of its picture."""
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
        En-face view of each of these pores (`asem.measure.pore_view.view_en_face`).
    radii_nm
        Distances of the membrane from the centre in equal steps of the angle, nan where it was not
        found, (n, 36).
    """
    count = max(1, len(rows))
    figure = Figure(figsize=(12.4, 0.4 + 1.4 * count), dpi=110, layout="constrained")
    panels = figure.subplots(count, COLUMNS, squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
    for line, row in zip(panels, rows, strict=False):
        if row.title:
            line[0].text(
                -0.12, 0.5, row.title, transform=line[0].transAxes, rotation=90, va="center",
                ha="right", fontsize=11,
            )  # fmt: skip
        for axes, number in zip(line, row.rows, strict=False):
            _draw_pore(axes, table.iloc[number], views.get(number), radii_nm[number])
    if rows:
        _draw_scale(panels[0, 0])
        text = f"views of {2 * SHOWN_NM:.0f} nm; id, diameter; dots: the membrane along 18 lines"
        figure.suptitle(text, fontsize=10)
    else:
        panels[0, 0].text(0, 0.5, "no pore was measured", fontsize=11)
    return figure


def _draw_pore(
    axes: Axes,
    pore: "pd.Series[float]",
    view: npt.NDArray[np.float32] | None,
    radii: npt.NDArray[np.float64],
) -> None:
    flags = str(pore["flags"])
    if view is not None:
        half = VIEW_STEP_NM * (len(view) // 2)
        finite = view[np.isfinite(view)]
        low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
        extent = (-half, half, half, -half)
        axes.imshow(view, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent)
    angle = np.arange(len(radii)) * 2 * np.pi / max(1, len(radii))
    found = np.isfinite(radii)
    x, y = radii[found] * np.cos(angle[found]), radii[found] * np.sin(angle[found])
    axes.plot(x, y, ".", color=PREDICTION_COLOUR, markersize=3)
    axes.set(xlim=(-SHOWN_NM, SHOWN_NM), ylim=(SHOWN_NM, -SHOWN_NM))
    diameter = float(pore["diameter_nm"])
    text = f"{pore['pore_id']}: " + (f"{diameter:.0f} nm" if np.isfinite(diameter) else "-")
    axes.set_title(text, fontsize=8, pad=2)
    if flags:
        names = flags.replace(SEPARATOR, "\n")
        axes.text(
            -0.95 * SHOWN_NM, 0.93 * SHOWN_NM, names, color="white", fontsize=7, va="bottom",
            linespacing=0.95, path_effects=[withStroke(linewidth=2, foreground=FLAG_COLOUR)],
        )  # fmt: skip


def _draw_scale(axes: Axes) -> None:
    """Draw a scale bar of 50 nm."""
    left, bottom = -0.9 * SHOWN_NM, 0.85 * SHOWN_NM
    outline = [withStroke(linewidth=4, foreground="black")]
    axes.plot(
        [left, left + 50], [bottom] * 2, color="white", linewidth=2.5, solid_capstyle="butt",
        path_effects=outline,
    )  # fmt: skip
    axes.text(
        left, bottom - 5, "50 nm", color="white", fontsize=7,
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )  # fmt: skip
