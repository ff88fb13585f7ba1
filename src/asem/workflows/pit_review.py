"""The review page of pits and vesicles: their planes, the plane through the axis, measurements."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from asem.blocks.results_folder import ResultsFolder
from asem.measure.flags_and_notes import SEPARATOR
from asem.measure.object_planes import ObjectPlane, store_object_planes, stretch_contrast
from asem.measure.pits.image_pass import MeasuredObjects
from asem.measure.pits.picture import PICTURE_STEP_NM, PitPicture
from asem.measure.pits.table import OVERRIDABLE_FLAGS, PIT_FLAGS, PIT_NOTES
from asem.measure.review_decisions import Review
from asem.report.review_page import ReviewObject, ReviewPage, ReviewPicture
from asem.volume.volume import Volume
from asem.workflows.review import DECISIONS, choose_objects, write_page

FloatArray = npt.NDArray[np.float64]


def write_review_page(
    output: ResultsFolder,
    labels: Volume,
    raw: Volume,
    table: pd.DataFrame,
    measured: MeasuredObjects,
    review: Review,
    volume_nm3: FloatArray,
) -> None:
    """Write the review page of pits.

    Parameters
    ----------
    output
        Runs the blocks that read the planes.
    labels, raw
        The segmentation and the image.
    table, measured, volume_nm3
        Of all objects, (n,), in the same order; the volume is that of the mask.
    review
        The decisions with which the page starts.
    """
    rows = choose_objects(volume_nm3)
    centres = measured.numbers["centre_nm"]
    stored = store_object_planes(output, labels, raw, rows, centres, stage="review planes")
    is_measured = np.isfinite(measured.numbers["lengths_nm"][rows, 1])
    pictures = _load_pictures(measured, rows[is_measured])
    objects = {
        row: _describe_object(table.iloc[row], planes, pictures.get(row))
        for row, planes in stored.load()
    }
    page = ReviewPage(
        title="Review of pits and vesicles",
        summary=f"{labels.name} on {raw.name}",
        size_name="Width, nm",
        measured="the measured outline, height, width and neck",
        command="asem pits",
        file_name=DECISIONS,
        words={**PIT_FLAGS, **PIT_NOTES},
        overridable=[name for name in PIT_FLAGS if name in OVERRIDABLE_FLAGS],
    )
    write_page(output, page, objects, review)


def _load_pictures(
    measured: MeasuredObjects, rows: npt.NDArray[np.intp]
) -> Mapping[int, ReviewPicture]:
    """Return the pictures of objects with their lines, block by block."""
    of_block: dict[object, list[int]] = {}
    for row in rows.tolist():
        of_block.setdefault(measured.blocks[row], []).append(row)
    return {
        row: _convert(picture)
        for some in of_block.values()
        for row, picture in measured.load_pictures(some).items()
    }


def _convert(picture: PitPicture) -> ReviewPicture:
    """Return a picture of the page: lines are (row, column), in pixels."""
    middle = len(picture.view) // 2
    lines = [picture.outline_nm, *picture.lines_nm.values()]
    measured = [middle + line[:, ::-1] / PICTURE_STEP_NM for line in lines if len(line)]
    step = (PICTURE_STEP_NM, PICTURE_STEP_NM)
    title = "through the axis" if "height" in picture.lines_nm else "through the long axes"
    return ReviewPicture(title, stretch_contrast([picture.view])[0], step, measured=measured)


def _describe_object(
    one: "pd.Series[float]", planes: list[ObjectPlane], picture: ReviewPicture | None
) -> ReviewObject:
    z, y, x = (float(one[f"{axis}_nm"]) for axis in "zyx")
    pictures = [ReviewPicture.from_plane(plane, []) for plane in planes]
    return ReviewObject(
        int(one["object_id"]),
        (z, y, x),
        float(one["width_nm"]),
        _format_lines(one),
        [name for name in str(one["flags"]).split(SEPARATOR) if name],
        [name for name in str(one["notes"]).split(SEPARATOR) if name],
        pictures if picture is None else [*pictures, picture],
    )


def _format_lines(one: "pd.Series[float]") -> list[str]:
    """Return the measurements of an object as text."""
    position = ", ".join(f"{one[f'{axis}_nm']:.0f}" for axis in "zyx")
    place = f"z, y, x: {position} nm"
    if not np.isfinite(float(one["width_nm"])):
        return ["not measured", place]
    names = ["height", "width", "neck"] if str(one["kind"]) == "pit" else ["width"]
    distance = float(one["distance_to_membrane_nm"])
    coat = "coated" if one["coated"] else "no coat"
    return [
        f"{one['location']} {one['kind']}, {coat}".lstrip(),
        *(f"{name} {one[f'{name}_nm']:.0f} ± {one[f'{name}_se_nm']:.0f} nm" for name in names),
        f"eccentricity {one['eccentricity']:.2f}",
        *([f"plasma membrane: {distance:.0f} nm"] if np.isfinite(distance) else []),
        place,
    ]
