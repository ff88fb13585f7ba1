"""Parts of galleries of measured objects: rows of pictures, their grid, flags, scale bar."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from asem.measure.flags_and_notes import SEPARATOR

FLAG_COLOUR = "#b3202a"
WIDTH_INCH = 12.4


@dataclass(frozen=True)
class Row:
    """Objects of one row of a gallery.

    Parameters
    ----------
    title
        What they have in common.
    rows
        Rows in the table of the objects.
    """

    title: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """Places of pictures, in nm of the objects.

    Parameters
    ----------
    columns
        Number of pictures in a row.
    shown_nm
        From the centre of an object to the sides of its picture.
    cell_nm
        From a picture to the next one in its row.
    title_nm
        Height of the text above a picture.
    row_nm
        From a row to the next one.
    left_nm, top_nm
        Space for the titles of the rows and of the figure.
    """

    columns: int
    shown_nm: float
    cell_nm: float
    title_nm: float
    row_nm: float
    left_nm: float
    top_nm: float

    def centre_of(self, line: int, column: int) -> tuple[float, float]:
        """Return the centre of a picture, (right, down)."""
        return (
            self.left_nm + column * self.cell_nm + self.shown_nm,
            self.top_nm + line * self.row_nm + self.title_nm + self.shown_nm,
        )

    def size_of(self, lines: int) -> tuple[float, float]:
        """Return width and height of a gallery with a number of rows."""
        width = self.left_nm + self.columns * self.cell_nm
        return width, self.top_nm + lines * self.row_nm


def choose_flagged(
    flags: Sequence[str], has_picture: npt.NDArray[np.bool_], count: int
) -> tuple[int, ...]:
    """Return flagged objects, in turns one of each combination of flags.

    Parameters
    ----------
    flags
        Flags of each object, joined as in its table, (n,).
    has_picture
        Which objects can be drawn, (n,).
    count
        How many, at most.

    Examples
    --------
    >>> choose_flagged(["", "cut", "cut", "small"], np.ones(4, bool), 2)
    (1, 3)
    """
    groups: dict[str, list[int]] = {}
    for row in np.flatnonzero(has_picture).tolist():
        if flags[row]:
            groups.setdefault(flags[row], []).append(row)
    turns = max(map(len, groups.values()), default=0)
    chosen = [g[turn] for turn in range(turns) for g in groups.values() if turn < len(g)]
    return tuple(chosen[:count])


def start_gallery(grid: Grid, rows: Sequence[Row], title: str, nothing: str) -> tuple[Figure, Axes]:
    """Return a figure with the titles of a gallery and its axes in nm, down positive.

    Parameters
    ----------
    grid
        Places of the pictures.
    rows
        What is drawn.
    title
        Of the figure.
    nothing
        Text of a gallery without rows.
    """
    width, height = grid.size_of(max(1, len(rows)))
    figure = Figure(figsize=(WIDTH_INCH, WIDTH_INCH * height / width), dpi=110)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    if not rows:
        axes.text(0.02, 0.5, nothing, fontsize=11)
        return figure, axes
    axes.text(width / 2, 12, title, fontsize=10, ha="center", va="top")
    for line, row in enumerate(rows):
        _, y = grid.centre_of(line, 0)
        axes.text(
            grid.left_nm / 2, y, row.title, rotation=90, va="center", ha="center", fontsize=11
        )
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    return figure, axes


def draw_view(
    axes: Axes,
    centre: tuple[float, float],
    view: npt.NDArray[np.float32],
    step_nm: float,
    shown_nm: float,
) -> None:
    """Draw the middle of a view, (n, n) with n odd, in the grey values of most of its pixels."""
    x, y = centre
    n = min(round(shown_nm / step_nm), len(view) // 2)
    middle = slice(len(view) // 2 - n, len(view) // 2 + n + 1)
    shown, half = view[middle, middle], step_nm * (n + 0.5)
    finite = shown[np.isfinite(shown)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    extent = (x - half, x + half, y + half, y - half)
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(shown, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent)
    axes.set(xlim=limits[0], ylim=limits[1])


def draw_flags(axes: Axes, centre: tuple[float, float], shown_nm: float, flags: str) -> None:
    """Write flags, joined as in a table, into the lower left corner of a picture."""
    x, y = centre
    axes.text(
        x - 0.95 * shown_nm, y + 0.93 * shown_nm, flags.replace(SEPARATOR, "\n"), color="white",
        fontsize=7.5, va="bottom", linespacing=0.95,
        path_effects=[withStroke(linewidth=2, foreground=FLAG_COLOUR)],
    )  # fmt: skip


def draw_scale(axes: Axes, centre: tuple[float, float], shown_nm: float) -> None:
    """Draw a scale bar of 50 nm into the lower right corner of a picture, beside its flags."""
    left, bottom = centre[0] + 0.9 * shown_nm - 50, centre[1] + 0.88 * shown_nm
    axes.plot(
        [left, left + 50], [bottom] * 2, color="white", linewidth=2.5, solid_capstyle="butt",
        path_effects=[withStroke(linewidth=4, foreground="black")],
    )  # fmt: skip
    axes.text(
        left, bottom - 5, "50 nm", color="white", fontsize=7.5,
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )  # fmt: skip
