"""Map of nuclear pores on the envelope, coloured by diameter, from two sides."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from asem.measure.mask_shapes import point_forward
from asem.measure.pores.envelope_normals import Envelope
from asem.measure.pores.table import is_used
from asem.report.figures import GREY
from asem.report.pore_figures import DIAMETER_MAP

FloatArray = npt.NDArray[np.float64]
MIN_WIDTH_UM = 0.2
"""Of the larger side of a panel."""
MARGIN = 0.12
"""Around the pores, as a fraction of their extent."""
NEAR_COLOUR, FAR_COLOUR = "0.65", "0.9"
"""Of the edges of triangles in front and behind."""


def plot_map(table: pd.DataFrame, envelope: Envelope) -> Figure:
    """Plot the pores on the triangles of the envelope, coloured by diameter.

    A closed envelope is seen from two opposite sides, each with the pores on the side of the
    observer; an open one from the front and from its edge. Lengths are those in the plane of the
    picture.

    Parameters
    ----------
    table
        Of pores, (n,).
    envelope
        Its corners are rows of the table.
    """
    centres = table[["z_nm", "y_nm", "x_nm"]].to_numpy(np.float64) / 1000
    centres -= centres.mean(axis=0)
    normals = table[["normal_z", "normal_y", "normal_x"]].to_numpy(np.float64)
    is_closed = envelope.surface.is_closed
    views = _choose_views(centres, normals, is_closed)
    figure, panels = _make_panels(centres, [frame for frame, _ in views], is_closed)
    diameters, used = table["diameter_nm"].to_numpy(np.float64), is_used(table)
    limits = _find_limits(diameters[used])
    points = None
    for axes, (frame, title) in zip(panels, views, strict=True):
        front = normals @ frame[2] > 0 if is_closed else np.ones(len(centres), bool)
        _draw_edges(axes, envelope, centres, frame)
        flat = centres @ frame[:2].T
        other = front & ~used
        size = 26 if len(table) <= 150 else 13
        axes.scatter(
            flat[other, 0], flat[other, 1], s=size / 2, facecolors="none", edgecolors=GREY,
            linewidths=0.7,
        )  # fmt: skip
        chosen = np.flatnonzero(front & used)
        chosen = chosen[np.argsort(centres[chosen] @ frame[2], kind="stable")]
        points = axes.scatter(
            flat[chosen, 0], flat[chosen, 1], c=diameters[chosen], cmap=DIAMETER_MAP,
            vmin=limits[0], vmax=limits[1], s=size, linewidths=0.3, edgecolors="0.2", zorder=3,
        )  # fmt: skip
        axes.set_title(title, fontsize=9)
        axes.set(aspect="equal", xlabel="µm from the middle", ylabel="µm from the middle")
        axes.spines[["top", "right"]].set_visible(False)
    if used.any() and points is not None:
        bar = figure.colorbar(points, ax=list(panels), shrink=0.85, pad=0.02, extend="both")
        bar.set_label("diameter (nm)")
    pores = "1 pore" if used.sum() == 1 else f"{used.sum()} pores"
    text = f"{pores} on {'a closed' if is_closed else 'an open'} envelope"
    left_out = len(table) - int(used.sum())
    text += f"; circles: {left_out} that are flagged or not measured" if left_out else ""
    figure.suptitle(text, fontsize=10)
    return figure


def _make_panels(
    centres: FloatArray, frames: list[FloatArray], is_closed: bool
) -> tuple[Figure, list[Axes]]:
    """Return a figure with two panels of one scale: beside each other, or the edge below."""
    flat = [centres @ frame[:2].T for frame in frames]
    middles = np.array([(f.min(axis=0) + f.max(axis=0)) / 2 for f in flat])
    sizes = (1 + MARGIN) * np.array([np.ptp(f, axis=0) for f in flat])
    largest = max(sizes.max(), MIN_WIDTH_UM)
    sizes = np.maximum(sizes, [0.5 * largest, 0.15 * largest])
    widths, heights = sizes.T
    if is_closed:
        scale = 7.4 / widths.sum()
        figure = Figure(figsize=(9.6, heights.max() * scale + 1.2), dpi=120, layout="constrained")
        panels = list(figure.subplots(1, 2, width_ratios=widths))
    else:
        scale = min(6.6 / widths[0], 8.0 / heights.sum())
        size = (max(widths[0] * scale + 1.9, 5.5), heights.sum() * scale + 1.9)
        figure = Figure(figsize=size, dpi=120, layout="constrained")
        panels = list(figure.subplots(2, 1, height_ratios=heights))
    for axes, (x, y), width, height in zip(panels, middles, widths, heights, strict=True):
        axes.set(xlim=(x - width / 2, x + width / 2), ylim=(y - height / 2, y + height / 2))
    return figure, panels


def _choose_views(
    centres: FloatArray, normals: FloatArray, is_closed: bool
) -> list[tuple[FloatArray, str]]:
    """Return two frames, rows: right, up, towards the observer; and their titles."""
    centred = centres - centres.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred + 1e-12 * np.eye(3))
    toward, right = point_forward(axes.T[[0, 2]])
    if not is_closed and normals.mean(axis=0) @ toward < 0:
        toward = -toward
    up = np.cross(toward, right)
    first = np.stack([right, up, toward])
    if is_closed:
        opposite = np.stack([-right, up, -toward])
        return [(first, _describe(first)), (opposite, _describe(opposite))]
    edge = np.stack([right, toward, -up])
    return [(first, _describe(first)), (edge, "from the edge: " + _describe(edge))]


def _describe(frame: FloatArray) -> str:
    """Return where a view is from, as components along (z, y, x)."""
    z, y, x = np.round(frame[2], 2) + 0.0
    return f"seen from (z, y, x) = ({z:g}, {y:g}, {x:g})"


def _draw_edges(axes: Axes, envelope: Envelope, centres: FloatArray, frame: FloatArray) -> None:
    """Draw the edges of the triangles; those of triangles that face away are lighter."""
    surface = envelope.surface
    flat = centres[envelope.rows] @ frame[:2].T
    facing = surface.normals @ frame[2] > 0
    facing |= not surface.is_closed
    sides = ((~facing, FAR_COLOUR, 0.4), (facing, NEAR_COLOUR, 0.5))
    for chosen, colour, width in sides:
        corners = surface.triangles[chosen]
        pairs = np.sort(
            np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
        )
        lines = flat[np.unique(pairs, axis=0).reshape(-1, 2)]
        axes.add_collection(LineCollection(list(lines), colors=colour, linewidths=width, zorder=1))


def _find_limits(diameters: FloatArray) -> tuple[float, float]:
    """Return the diameters of the first and last colour: 2 to 98 % of the pores."""
    if len(diameters) == 0:
        return 0.0, 1.0
    low, high = np.percentile(diameters, (2, 98))
    return float(low) - 0.5, float(high) + 0.5
