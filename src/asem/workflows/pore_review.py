"""The review page of pores: their planes, the view along the normal, measurements."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from asem.blocks.results_folder import ResultsFolder
from asem.measure.flags_and_notes import SEPARATOR
from asem.measure.frame import Frame
from asem.measure.object_planes import (
    AXES,
    PLANES_REACH_NM,
    ObjectPlane,
    store_object_planes,
    stretch_contrast,
)
from asem.measure.pores.image_pass import MeasuredPores
from asem.measure.pores.table import OVERRIDABLE_FLAGS, PORE_FLAGS, PORE_NOTES
from asem.measure.pores.view import VIEW_STEP_NM
from asem.measure.review_decisions import Review
from asem.report.review_page import (
    ReviewObject,
    ReviewPage,
    ReviewPicture,
)
from asem.volume.volume import Volume
from asem.workflows.review import DECISIONS, choose_objects, write_page

FloatArray = npt.NDArray[np.float64]
IN_PLANE = 0.94
"""Cosine of the angle between the normal of a pore and that of a plane above which the whole rim is
drawn, else where it crosses the plane."""


def write_review_page(
    output: ResultsFolder,
    labels: Volume,
    raw: Volume,
    table: pd.DataFrame,
    measured: MeasuredPores,
    review: Review,
) -> None:
    """Write the review page of pores.

    Parameters
    ----------
    output
        Runs the blocks that read the planes.
    labels, raw
        The segmentation and the image.
    table, measured
        Of all pores, (n,), in the same order.
    review
        The decisions with which the page starts.
    """
    rows = choose_objects(table["volume_nm3"].to_numpy(np.float64))
    stored = store_object_planes(
        output, labels, raw, rows, measured.centre_nm, stage="review planes"
    )
    views = _load_views(measured, rows)
    objects = {
        row: _describe_pore(table.iloc[row], planes, views.get(row), measured.radii_nm[row])
        for row, planes in stored.load()
    }
    page = ReviewPage(
        title="Review of nuclear pores",
        summary=f"{labels.name} on {raw.name}",
        size_name="Diameter, nm",
        measured="the measured rim, or where it crosses the plane",
        command="asem pores",
        file_name=DECISIONS,
        words={**PORE_FLAGS, **PORE_NOTES},
        overridable=[name for name in PORE_FLAGS if name in OVERRIDABLE_FLAGS],
    )
    write_page(output, page, objects, review)


def _load_views(
    measured: MeasuredPores, rows: npt.NDArray[np.intp]
) -> Mapping[int, npt.NDArray[np.uint8]]:
    """Return the middle of the en-face views of pores as uint8, block by block."""
    reach = round(PLANES_REACH_NM / VIEW_STEP_NM)
    of_block: dict[object, list[int]] = {}
    for row in rows.tolist():
        of_block.setdefault(measured.blocks[row], []).append(row)
    return {
        row: stretch_contrast([_crop(view, reach)])[0]
        for some in of_block.values()
        for row, view in measured.load_views(some).items()
    }


def _crop(view: npt.NDArray[np.float32], reach: int) -> npt.NDArray[np.float32]:
    """Return the middle 2 reach + 1 rows and columns of a view."""
    start = len(view) // 2 - reach
    return view[start : start + 2 * reach + 1, start : start + 2 * reach + 1]


def _describe_pore(
    pore: "pd.Series[float]",
    planes: list[ObjectPlane],
    view: npt.NDArray[np.uint8] | None,
    radii_nm: FloatArray,
) -> ReviewObject:
    z, y, x = (float(pore[f"{axis}_nm"]) for axis in "zyx")
    pictures = [ReviewPicture.from_plane(plane, _project_rim(plane, pore)) for plane in planes]
    if view is not None:
        step = (VIEW_STEP_NM, VIEW_STEP_NM)
        pictures.append(ReviewPicture("en face", view, step, measured=_find_points(view, radii_nm)))
    return ReviewObject(
        int(pore["pore_id"]),
        (z, y, x),
        float(pore["diameter_nm"]),
        _format_lines(pore),
        [name for name in str(pore["flags"]).split(SEPARATOR) if name],
        [name for name in str(pore["notes"]).split(SEPARATOR) if name],
        pictures,
    )


def _format_lines(pore: "pd.Series[float]") -> list[str]:
    """Return the measurements of a pore as text."""
    diameter = float(pore["diameter_nm"])
    lines = ["not measured"]
    if np.isfinite(diameter):
        lines = [
            f"diameter {diameter:.1f} ± {pore['diameter_se_nm']:.1f} nm",
            f"{pore['lines_used']:.0f} lines, SD {pore['diameter_sd_nm']:.1f} nm",
        ]
    axes = " x ".join(f"{pore[f'axis_{name}_nm']:.0f}" for name in ("long", "mid", "short"))
    position = ", ".join(f"{pore[f'{axis}_nm']:.0f}" for axis in "zyx")
    return [*lines, f"mask {axes} nm", f"z, y, x: {position} nm"]


def _project_rim(plane: ObjectPlane, pore: "pd.Series[float]") -> list[FloatArray]:
    """Return the rim in a plane, or the two points in which it crosses the plane; in pixels."""
    radius = float(pore["diameter_nm"]) / 2
    if not np.isfinite(radius):
        return []
    centre, normal = (
        np.array([pore[name] for name in names], np.float64)
        for names in (("z_nm", "y_nm", "x_nm"), ("normal_z", "normal_y", "normal_x"))
    )
    across = np.eye(3)[AXES[plane.name]]
    if abs(normal @ across) > IN_PLANE:
        angles = np.linspace(0, 2 * np.pi, 37)
        circle = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) * radius
        return [plane.to_pixels(Frame.from_normal(centre, normal).to_world(circle))]
    direction = np.cross(normal, across)
    direction *= radius / np.linalg.norm(direction)
    return [plane.to_pixels(point[None]) for point in (centre - direction, centre + direction)]


def _find_points(view: npt.NDArray[np.uint8], radii_nm: FloatArray) -> list[FloatArray]:
    """Return the measured points in the en-face view, in pixels."""
    angles = np.arange(len(radii_nm)) * 2 * np.pi / max(1, len(radii_nm))
    points = len(view) // 2 + np.stack([np.sin(angles), np.cos(angles)], axis=1) * (
        radii_nm[:, None] / VIEW_STEP_NM
    )
    return [point[None] for point in points[np.isfinite(radii_nm)]]
