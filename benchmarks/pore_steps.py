"""Draw the steps of the measurement of one nuclear pore, for docs/pores.md.

::

    python benchmarks/pore_steps.py docs/images/pore_steps.png

A synthetic cell (`asem phantom`) is written to a temporary folder and measured (`asem pores`).
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from asem.measure.image_patches import patch_roi, read_patch
from asem.measure.pores.diameter import PORE_REACH_NM, PoreMeasurement, measure_pore
from asem.measure.pores.envelope_surface import triangulate_surface
from asem.measure.pores.view import VIEW_STEP_NM
from asem.tables import read_table
from asem.volume.sources import open_volume
from asem.volume.volume import Volume
from asem.workflows.phantom import write_phantom
from asem.workflows.pores import measure_pores

SHAPE, SEED = (400, 420, 440), 11
COLOUR = "#d1495b"
POSITION, NORMAL = ["z_nm", "y_nm", "x_nm"], ["normal_z", "normal_y", "normal_x"]
SHOWN_NM = 90.0


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    picture = parser.parse_args().picture
    with tempfile.TemporaryDirectory() as folder:
        group = Path(folder) / "cell.zarr"
        write_phantom(group, shape=SHAPE, seed=SEED)
        raw, masks = open_volume(group / "raw"), open_volume(group / "labels/npc")
        measure_pores(group / "labels/npc", group / "raw", Path(folder) / "out")
        table = read_table(Path(folder) / "out/pores")
        used = table[table["flags"] == ""].reset_index(drop=True)
        row = choose_pore(used)
        figure = Figure(figsize=(12.5, 3.6), layout="constrained")
        axes = [
            figure.add_subplot(1, 4, n, projection="3d" if n == 2 else None) for n in (1, 2, 3, 4)
        ]
        draw_mask(axes[0], raw, masks, used.loc[row])
        draw_surface(axes[1], used, row)
        measured = measure_again(raw, used.loc[row])
        draw_lines(axes[2], measured)
        draw_profile(axes[3], measured)
        figure.savefig(picture, dpi=80)


def choose_pore(table: pd.DataFrame) -> int:
    """Return the row of the pore whose normal is most nearly along y, so that a plane shows it."""
    return int(table["normal_y"].abs().argmax())


def measure_again(raw: Volume, pore: pd.Series) -> PoreMeasurement:
    """Measure one pore, with its re-sliced view."""
    roi = patch_roi(raw, pore[POSITION].tolist(), PORE_REACH_NM)
    z, y, x = raw.position_nm(roi.offset)
    centre, normal = (tuple(pore[names].astype(float)) for names in (POSITION, NORMAL))
    return measure_pore(read_patch(raw, roi), (z, y, x), raw.voxel_size, centre, normal)


def draw_mask(axes: Axes, raw: Volume, masks: Volume, pore: pd.Series) -> None:
    """Draw the plane through a pore, with its mask and the normal."""
    z, y, x = (
        round(pore[name] / size) for name, size in zip(POSITION, raw.voxel_size, strict=True)
    )
    half = 36
    cut = slice(y - half, y + half + 1), slice(x - half, x + half + 1)
    axes.imshow(np.asarray(raw.array[z : z + 1])[0][cut], cmap="gray")
    labels = np.asarray(masks.array[z : z + 1])[0][cut] == pore["pore_id"]
    axes.contour(labels, [0.5], colors=COLOUR, linewidths=1.5)
    step = 22 * pore[["normal_y", "normal_x"]].to_numpy(float)
    axes.annotate(
        "", (half + step[1], half + step[0]), (half, half), arrowprops={"color": COLOUR, "width": 1}
    )
    axes.set_title("1  mask and normal of the envelope", fontsize=10)
    axes.set_axis_off()


def draw_surface(axes: Axes3D, table: pd.DataFrame, row: int) -> None:
    """Draw the envelope through the centres of all pores."""
    centres = table[POSITION].to_numpy(float)
    surface = triangulate_surface(centres)
    z, y, x = centres.T
    axes.computed_zorder = False
    axes.plot_trisurf(
        x, y, z, triangles=surface.triangles, color="#dce6f2", edgecolor="#8aa", lw=0.5
    )
    axes.scatter(x, y, z, s=12, color="#33658a", depthshade=False)
    axes.scatter(x[row], y[row], z[row], s=45, color=COLOUR, depthshade=False, zorder=3)
    axes.set_title("2  alpha shape of all centres", fontsize=10)
    axes.set_axis_off()
    axes.set_aspect("equal")
    up, south, east = table.loc[row, NORMAL].to_numpy(float)
    axes.view_init(
        elev=np.degrees(np.arcsin(up)) + 20, azim=np.degrees(np.arctan2(south, east)) + 25
    )


def draw_lines(axes: Axes, measured: PoreMeasurement) -> None:
    """Draw the pore as seen along the normal, with the 18 lines and the points of the membrane."""
    half = VIEW_STEP_NM * (len(measured.view) - 1) / 2
    axes.imshow(measured.view, cmap="gray", extent=(-half, half, half, -half))
    angles = np.deg2rad(10 * np.arange(36))
    u, v = measured.radii_nm * np.cos(angles), measured.radii_nm * np.sin(angles)
    for line in range(18):
        axes.plot(u[[line, line + 18]], v[[line, line + 18]], color="#edae49", lw=0.7)
    axes.plot(u, v, "o", color=COLOUR, ms=3.5)
    axes.set_xlim(-SHOWN_NM, SHOWN_NM)
    axes.set_ylim(SHOWN_NM, -SHOWN_NM)
    axes.set_title("3  along the normal: 18 lines", fontsize=10)
    axes.set_axis_off()


def draw_profile(axes: Axes, measured: PoreMeasurement) -> None:
    """Draw the mean grey value over the distance from the axis."""
    distance = VIEW_STEP_NM * np.arange(len(measured.profile))
    shown = distance <= SHOWN_NM
    axes.plot(distance[shown], measured.profile[shown], color="#333333")
    axes.axvline(measured.diameter_nm / 2, color=COLOUR, lw=1.5)
    axes.set_xlabel("distance from the axis (nm)")
    axes.set_ylabel("mean grey value")
    diameter, error = measured.diameter_nm, measured.diameter_se_nm
    axes.set_title(f"4  diameter {diameter:.1f} ± {error:.1f} nm", fontsize=10)


if __name__ == "__main__":
    main()
