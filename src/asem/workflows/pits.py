"""Measure the coated pits, vesicles and caveolae of a segmentation: table, figures, statistics.

masks (`asem.measure.mask_parts`, `asem.measure.pits.masks`) -> image of each object (`image_pass`)
-> distance from the plasma membrane (`membrane_points`, `location`) -> table, statistics, figures.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.results_folder import ResultsFolder, create_results
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.common_roi import find_common_roi
from asem.measure.duplicates import flag_duplicates
from asem.measure.flags_and_notes import format_names, join_names
from asem.measure.mask_parts import assign_ids, find_borders, find_masks
from asem.measure.mask_shapes import ObjectMasks, find_shapes
from asem.measure.pits.groups import CAVEOLAE, find_groups
from asem.measure.pits.image_pass import VIEW_LENGTHS, MeasuredObjects, measure_object_images
from asem.measure.pits.location import Locations, locate
from asem.measure.pits.masks import flag_masks, join_parts
from asem.measure.pits.membrane_points import MembranePoints, find_membrane_points
from asem.measure.pits.statistics import describe_table
from asem.measure.pits.table import OVERRIDABLE_FLAGS, PIT_COLUMNS, is_used
from asem.measure.review_decisions import Review, accept_objects, reject_objects
from asem.volume.address import AddressLike
from asem.volume.roi import Roi
from asem.volume.sources import check_is_image, open_labels, open_volume
from asem.volume.value_checks import check_are_ids
from asem.volume.volume import Volume, format_nm
from asem.workflows.pit_figures import PIT_FIGURES, draw_pit_figures
from asem.workflows.review import (
    DECISIONS,
    NO_REVIEW,
    REVIEW_PAGE,
    ReviewOptions,
    count_decisions,
    load_decisions,
    write_decisions,
)
from asem.workflows.statistics_file import STATISTICS, format_statistics

LOG = logging.getLogger(__name__)
COARSEST_NM = 6.0
"""Largest voxels on which necks, coats and kinds are reliable."""
PITS, GALLERY = "pits", "gallery.png"
FILES = (f"{PITS}.csv", f"{PITS}.parquet", STATISTICS, *PIT_FIGURES, GALLERY)
"""Names of the files that `asem pits` writes."""


def measure_pits(
    segmentation: AddressLike,
    raw: AddressLike,
    out: Path,
    *,
    plasma_membrane: AddressLike | None = None,
    mask: AddressLike | None = None,
    review: ReviewOptions = NO_REVIEW,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Measure each coated pit, vesicle and caveola of a segmentation; write a table and figures.

    Memory depends on the number of objects and on the area of the plasma membrane, not on the size
    of the volume. Results do not depend on blocks or workers.

    Parameters
    ----------
    segmentation
        Label image of masks, one label for all or an id for each, as `asem segment` or
        `asem instances` write it; 0 is background, and so are unlabelled voxels.
    raw
        Image of the same voxel size.
    out
        Folder to write: ``pits.csv``, ``pits.parquet`` (`asem.measure.pits.table.PIT_COLUMNS`),
        ``statistics.json``, figures (`FILES`), and ``provenance.json``.
    plasma_membrane
        Labels of the plasma membrane, of the same voxel size.
    mask
        Mask of the cell, whose border is the plasma membrane, if there are no labels of it.
    review
        The page for accepting or rejecting objects, and decisions.
    overwrite
        Replace earlier results in `out`.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    dict
        ``objects``, ``used``, ``pits``, ``vesicles`` and ``caveolae`` (of those used), ``accepted``
        and ``rejected``, their numbers, and ``out``.

    Raises
    ------
    ValueError
        There is no plasma membrane, or no object, or none within `raw`; an image has the wrong
        kind, another voxel size, or no voxel in common.
    """
    if (plasma_membrane is None) == (mask is None):
        raise ValueError(
            "give either --plasma-membrane with labels of the plasma membrane, or --mask with a "
            "mask of the cell: endocytic and secretory differ in the distance from it"
        )
    labels = open_labels(segmentation)
    check_are_ids(labels)
    grey = open_volume(raw)
    check_is_image(grey)
    common = find_common_roi(labels, grey)
    border = open_labels(plasma_membrane if plasma_membrane is not None else mask)  # type: ignore[arg-type]
    check_are_ids(border)
    if border.identity == labels.identity:
        raise ValueError(
            f"{border.name} is the segmentation of the pits; name the plasma membrane, or a mask "
            "of the cell"
        )
    find_common_roi(labels, border)
    _warn_of_coarse_voxels(grey)
    decisions = load_decisions(out, review)
    request = {
        "segmentation": labels.identity,
        "raw": grey.identity,
        "mask" if plasma_membrane is None else "plasma_membrane": border.identity,
    }
    with create_results(
        out,
        labels.roi,
        files=(*FILES, REVIEW_PAGE),
        kept=(DECISIONS,),
        command="pits",
        request=request,
        inputs=[labels, grey, border],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        masks = _find_masks(output, labels, common)
        membrane = find_membrane_points(
            output, labels, border, is_mask=plasma_membrane is None, stage="membrane"
        )
        chosen = masks.in_raw & ~masks.flags["small"]
        measured = measure_object_images(
            output, labels, grey, masks.shapes.centre_nm, chosen, stage="objects"
        )
        found = decisions.match(assign_ids(masks.columns), measured.numbers["centre_nm"])
        table = _make_table(masks, membrane, measured, found)
        _write_results(output, table, measured)
        write_decisions(output, decisions, found)
        if review.page:
            from asem.workflows.pit_review import write_review_page

            sizes = masks.shapes.volume_nm3
            write_review_page(output, labels, grey, table, measured, found, sizes)
    counts = count_kinds(table)
    if counts["used"] == 0:
        LOG.warning("%s: no object could be measured without a flag", labels.name)
    return {**counts, **count_decisions(found), "out": str(out)}


def _warn_of_coarse_voxels(raw: Volume) -> None:
    if max(raw.voxel_size) > COARSEST_NM:
        LOG.warning(
            "%s has voxels of %s nm: necks, coats and kinds are reliable on voxels of up to %g nm",
            raw.name, format_nm(raw.voxel_size), COARSEST_NM,
        )  # fmt: skip


def count_kinds(table: pd.DataFrame) -> dict[str, int]:
    """Return the numbers of objects, and of those used: pits, vesicles and caveolae."""
    used = is_used(table)
    is_pit, is_caveola = (table["kind"] == "pit").to_numpy(), find_groups(table)[CAVEOLAE]
    kinds = {"used": used, "pits": used & is_pit & ~is_caveola, "vesicles": used & ~is_pit}
    kinds["caveolae"] = used & is_caveola
    return {"objects": len(table), **{name: int(rows.sum()) for name, rows in kinds.items()}}


def _find_masks(output: ResultsFolder, labels: Volume, in_raw: Roi) -> ObjectMasks:
    """Find a mask for each object, and mark those that are not whole, or not of one object."""
    size, offset = labels.voxel_size, labels.offset_nm
    parts = find_masks(output, labels, objects_name="pits", stage="masks")
    objects, object_of_part = join_parts(parts, size, offset)
    touches, inside = find_borders(objects, in_raw, labels.name, objects_name="pits")
    shapes = find_shapes(objects, size, offset)
    flags = {**flag_masks(shapes), "cut": touches}
    notes = {"fragments": np.bincount(object_of_part) > 1}
    return ObjectMasks(objects, shapes, inside, flags, notes)


def _make_table(
    masks: ObjectMasks, membrane: MembranePoints, measured: MeasuredObjects, review: Review
) -> pd.DataFrame:
    """Return the table of objects, in the order of the masks."""
    numbers, whole = measured.numbers, measured.whole
    count = len(masks.in_raw)
    is_measured = np.isfinite(numbers["lengths_nm"][:, 1])
    is_pit = whole["is_pit"] == 1
    places = locate(
        membrane,
        is_pit=is_pit,
        ring_nm=numbers["ring_nm"],
        surface_nm=numbers["surface_nm"],
        direction=numbers["direction"],
        long_axis=numbers["long_axis"],
    )
    unlocated = {"no_location": is_measured & ~places.is_known}
    flags, notes = join_names(count, masks.flags, unlocated), join_names(count, masks.notes)
    flags = [[*own, *image] for own, image in zip(flags, measured.flags, strict=True)]
    notes = [[*own, *image] for own, image in zip(notes, measured.notes, strict=True)]
    accept_objects(flags, notes, review, OVERRIDABLE_FLAGS)
    largest_first = np.argsort(-masks.shapes.volume_nm3, kind="stable")
    sizes = numbers["axes_nm"].mean(axis=1)
    flag_duplicates(flags, numbers["centre_nm"], sizes, largest_first, review)
    reject_objects(flags, review)
    values: dict[str, Any] = {"object_id": assign_ids(masks.columns)}
    values |= _name_kinds(is_measured, is_pit, places)
    values["coated"] = whole["coated"] == 1
    values |= {f"{axis}_nm": numbers["centre_nm"][:, k] for k, axis in enumerate("zyx")}
    for k, name in enumerate(("height", "width", "neck")):
        values[f"{name}_nm"] = numbers["lengths_nm"][:, k]
        values[f"{name}_se_nm"] = numbers["se_nm"][:, k]
    values["major_nm"], values["minor_nm"] = numbers["axes_nm"].T
    values["eccentricity"] = values["major_nm"] / values["minor_nm"]
    values["angle_to_membrane_deg"] = places.angle_deg
    values["distance_to_membrane_nm"] = places.distance_nm
    values["plane_axis"] = np.array(list("zyx"))[whole["plane_axis"]]
    values["plane_index"] = whole["plane_index"]
    values |= {"flags": format_names(flags), "notes": format_names(notes)}
    values |= {f"view_{name}_nm": numbers["view_nm"][:, k] for k, name in enumerate(VIEW_LENGTHS)}
    return pd.DataFrame({name: values[name] for name in PIT_COLUMNS})


def _name_kinds(
    is_measured: npt.NDArray[np.bool_], is_pit: npt.NDArray[np.bool_], places: Locations
) -> dict[str, npt.NDArray[np.str_]]:
    """Return the columns of kind and location, empty where they are not known."""
    kind = np.where(is_pit, "pit", "vesicle")
    location = np.where(places.is_endocytic, "endocytic", "secretory")
    return {
        "kind": np.where(is_measured, kind, ""),
        "location": np.where(is_measured & places.is_known, location, ""),
    }


def _write_results(output: ResultsFolder, table: pd.DataFrame, measured: MeasuredObjects) -> None:
    """Write table, statistics and figures."""
    order = np.argsort(table["object_id"].to_numpy())
    output.write_table(PITS, table.iloc[order].reset_index(drop=True), PIT_COLUMNS)
    statistics = describe_table(table)
    output.provenance |= {"objects": len(table), "used": statistics["n"]["used"]}
    output.write_file(STATISTICS, format_statistics(statistics))
    for name, content in draw_pit_figures(table).items():
        output.write_file(name, content)
    output.write_file(GALLERY, _draw_gallery(table, measured))


def _draw_gallery(table: pd.DataFrame, measured: MeasuredObjects) -> bytes:
    from asem.report.figures import encode_png
    from asem.report.pit_gallery import choose_pits, plot_pit_gallery

    has_picture = np.array([block is not None for block in measured.blocks])
    rows = choose_pits(table, has_picture)
    pictures = measured.load_pictures([number for row in rows for number in row.rows])
    return encode_png(plot_pit_gallery(table, rows, pictures))
