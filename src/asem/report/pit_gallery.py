"""Gallery of pits and vesicles, in a plane through their axis, with what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from asem.measure.pits.groups import (
    CAVEOLAE,
    ENDOCYTIC_PITS,
    ENDOCYTIC_VESICLES,
    OTHERS,
    SECRETORY_PITS,
    SECRETORY_VESICLES,
    find_groups,
)
from asem.measure.pits.picture import PICTURE_STEP_NM, PitPicture
from asem.measure.pits.statistics import OPEN_NECK_NM
from asem.measure.pits.table import is_used
from asem.report.figures import LABEL_COLOUR, PREDICTION_COLOUR
from asem.report.gallery import (
    Grid,
    Row,
    choose_flagged,
    draw_flags,
    draw_scale,
    draw_view,
    start_gallery,
)

COLUMNS = 8
SHOWN_NM = 105.0
"""From the centre of an object to the sides of its picture."""
GRID = Grid(
    columns=COLUMNS,
    shown_nm=SHOWN_NM,
    cell_nm=222.0,
    title_nm=42.0,
    row_nm=264.0,
    left_nm=64.0,
    top_nm=46.0,
)
MEASURED = ("height", "width", "neck")
"""Lines that have a length in the table."""
END_NM = 5.0
"""Half of the length of the bars at the ends of a measured line."""
EDGE = withStroke(linewidth=2.2, foreground="black", alpha=0.5)


def choose_pits(table: pd.DataFrame, has_picture: npt.NDArray[np.bool_]) -> list[Row]:
    """Choose objects to draw: of each group, and flagged ones.

    Endocytic coated pits have a row for open necks, one for other necks and, if they are many, one
    for the deepest. Each row has at most `COLUMNS` objects, from the smallest to the largest in
    equal steps of their rank: by height, or by width of vesicles. Flagged objects are chosen in
    turns by their flags.

    Parameters
    ----------
    table
        Of pits (`asem.measure.pits.table.PIT_COLUMNS`), (n,).
    has_picture
        Which objects have a picture, (n,).
    """
    chosen = is_used(table) & has_picture
    groups = {name: of_group & chosen for name, of_group in find_groups(table).items()}
    coated = groups[ENDOCYTIC_PITS]
    is_open = coated & (table["neck_nm"].to_numpy(np.float64) > OPEN_NECK_NM)
    narrow = _rank(table, coated & ~is_open)
    deepest: list[int] = []
    if len(narrow) > 2 * COLUMNS:
        narrow, deepest = narrow[:-COLUMNS], narrow[-COLUMNS:]
    ranked = {
        "coated pits,\nopen neck": _rank(table, is_open),
        "coated pits,\nnarrower neck": narrow,
        "coated pits,\ndeepest": deepest,
        "caveolae": _rank(table, groups[CAVEOLAE]),
        "coated vesicles,\nendocytic": _rank(table, groups[ENDOCYTIC_VESICLES]),
        "coated pits,\nsecretory": _rank(table, groups[SECRETORY_PITS]),
        "coated vesicles,\nsecretory": _rank(table, groups[SECRETORY_VESICLES]),
        "others,\nuncoated": _rank(table, groups[OTHERS]),
    }
    rows = [Row(title, _pick_evenly(order)) for title, order in ranked.items() if order]
    flagged = choose_flagged(table["flags"].tolist(), has_picture, COLUMNS)
    return [*rows, Row("flagged", flagged)] if flagged else rows


def _rank(table: pd.DataFrame, chosen: npt.NDArray[np.bool_]) -> list[int]:
    """Return the rows of the chosen objects, by height, or by width without one."""
    height, width = (table[f"{name}_nm"].to_numpy(np.float64) for name in ("height", "width"))
    size = np.where(np.isfinite(height), height, width)
    rows = np.flatnonzero(chosen)
    ranked: list[int] = rows[np.argsort(size[rows], kind="stable")].tolist()
    return ranked


def _pick_evenly(rows: Sequence[int]) -> tuple[int, ...]:
    """Return at most `COLUMNS` of the rows, with the first and the last."""
    places = np.linspace(0, len(rows) - 1, min(COLUMNS, len(rows)))
    return tuple(rows[place] for place in np.round(places).astype(int).tolist())


def plot_pit_gallery(
    table: pd.DataFrame, rows: Sequence[Row], pictures: Mapping[int, PitPicture]
) -> Figure:
    """Draw objects in a plane through their axis, with outline, height, width, neck and plane.

    Parameters
    ----------
    table
        Of pits (`asem.measure.pits.table.PIT_COLUMNS`), (n,).
    rows
        What to draw (`choose_pits`).
    pictures
        Pictures of these objects, by their rows in the table.
    """
    title = (
        f"planes of {2 * SHOWN_NM:.0f} nm; id, height (h), width at half of it (w), neck (n), nm; "
        "orange: outline; dashed: plane of the surrounding membrane"
    )
    figure, axes = start_gallery(GRID, rows, title, "no pit or vesicle was measured")
    for line, row in enumerate(rows):
        for column, number in enumerate(row.rows):
            centre = GRID.centre_of(line, column)
            _draw_object(axes, centre, table.iloc[number], pictures.get(number))
    if rows:
        draw_scale(axes, GRID.centre_of(0, 0), SHOWN_NM)
    return figure


def _draw_object(
    axes: Axes, centre: tuple[float, float], pit: "pd.Series[float]", picture: PitPicture | None
) -> None:
    x, y = centre
    if picture is not None:
        draw_view(axes, centre, picture.view, PICTURE_STEP_NM, SHOWN_NM)
        _draw_measured(axes, centre, picture)
    axes.text(x, y - SHOWN_NM - 4, format_lengths(pit), fontsize=8.5, ha="center", va="bottom")
    if pit["flags"]:
        draw_flags(axes, centre, SHOWN_NM, str(pit["flags"]))


def format_lengths(pit: "pd.Series[float]") -> str:
    """Return id and measured lengths of a row of a table, in two lines.

    Examples
    --------
    >>> pit = pd.Series({"object_id": 7, "height_nm": 51.8, "width_nm": 99, "neck_nm": np.nan})
    >>> format_lengths(pit).splitlines()
    ['7', 'h 52, w 99']
    """
    lengths = [
        f"{name[0]} {pit[f'{name}_nm']:.0f}"
        for name in MEASURED
        if np.isfinite(float(pit[f"{name}_nm"]))
    ]
    return f"{int(pit['object_id'])}\n{', '.join(lengths) or 'not measured'}"


def _draw_measured(axes: Axes, centre: tuple[float, float], picture: PitPicture) -> None:
    """Draw the outline, the plane and the measured lines of a picture, cut off at its sides."""
    lines = {"outline": picture.outline_nm, **picture.lines_nm}
    styles: dict[str, dict[str, Any]] = {
        "outline": {"color": PREDICTION_COLOUR, "linewidth": 1.2, "alpha": 0.95},
        "plane": {"color": "white", "linewidth": 1.1, "linestyle": (0, (4, 3))},
        **{name: {"color": LABEL_COLOUR, "linewidth": 1.3} for name in MEASURED},
    }
    corners = SHOWN_NM * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    sides = Path(corners + centre, closed=True)
    for name, style in styles.items():
        if name not in lines:
            continue
        line = _add_ends(lines[name]) if name in MEASURED else lines[name]
        (artist,) = axes.plot(*(line + centre).T, label=f"_{name}", **style)
        artist.set_clip_path(sides, axes.transData)
        if name != "outline":
            artist.set_path_effects([EDGE])


def _add_ends(line: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a line, (2, 2), with short bars across at both ends, (8, 2)."""
    along = line[1] - line[0]
    length = float(np.hypot(*along))
    across = END_NM * np.array([-along[1], along[0]]) / length if length > 0 else np.zeros(2)
    start, end = line
    return np.array(
        [start - across, start + across, start, end, end - across, end + across, end, start]
    )
