"""Measure the nuclear pores of a segmentation: one table row for each, figures, statistics.

masks (`asem.measure.pores.mask_components`, `masks`) -> surface and normals (`envelope_normals`) ->
image of each pore (`image_pass`) -> table, statistics (`statistics`) and figures.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.results_folder import ResultsFolder, create_results
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.common_roi import find_common_roi
from asem.measure.duplicates import flag_duplicates
from asem.measure.flags_and_notes import format_names, join_names
from asem.measure.mask_parts import assign_ids, find_borders, find_masks
from asem.measure.mask_shapes import ObjectMasks, find_shapes
from asem.measure.pores.envelope_normals import (
    MASK,
    NEIGHBOUR_PLANE,
    Envelope,
    build_envelope,
    is_in_envelope,
)
from asem.measure.pores.image_pass import MeasuredPores, measure_pore_images
from asem.measure.pores.mask_components import split_masks
from asem.measure.pores.masks import (
    find_origins,
    flag_masks,
    join_fragments,
    may_be_several,
)
from asem.measure.pores.point_surface import find_outliers
from asem.measure.pores.statistics import describe_surface, describe_table
from asem.measure.pores.table import OVERRIDABLE_FLAGS, PORE_COLUMNS, is_used
from asem.measure.review_decisions import Review, accept_objects, reject_objects
from asem.volume.address import AddressLike
from asem.volume.roi import Roi
from asem.volume.sources import check_is_image, open_labels, open_volume
from asem.volume.value_checks import check_are_ids
from asem.volume.volume import Volume
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
PORES = "pores"
FIGURES = ("diameters.png", "profiles.png", "gallery.png", "map.png", "height.png")
REVIEW_FILES = (REVIEW_PAGE, DECISIONS)
FILES = (f"{PORES}.csv", f"{PORES}.parquet", STATISTICS, *FIGURES)
"""Names of the files that `asem pores` always writes; `REVIEW_FILES` are those of a review."""
UP_AXES = ("z", "-z", "y", "-y", "x", "-x")
"""Axes along which the height of a pore can be measured."""


def measure_pores(
    segmentation: AddressLike,
    raw: AddressLike,
    out: Path,
    *,
    up: str = "z",
    review: ReviewOptions = NO_REVIEW,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Measure the diameter of each nuclear pore of a segmentation; write a table and figures.

    Memory depends on the number of pores, not on the size of the volume. Results do not depend on
    blocks or workers.

    Parameters
    ----------
    segmentation
        Label image of masks of pores, one label for all or an id for each, as `asem segment` or
        `asem instances` write it; 0 is background, and so are unlabelled voxels.
    raw
        Image of the same voxel size.
    out
        Folder to write: ``pores.csv``, ``pores.parquet`` (`asem.measure.pores.table.PORE_COLUMNS`),
        ``statistics.json``, figures (`FIGURES`), and ``provenance.json``.
    up
        Axis that points away from the coverslip, one of `UP_AXES`, for the figure of heights.
    review
        Whether to write the page of a review, ``review.html``, and where decisions are: by default
        in ``review.csv`` in `out`.
    overwrite
        Replace earlier results in `out`, but for the decisions.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    dict
        ``pores`` and ``used``, their numbers, with decisions also ``accepted`` and ``rejected``,
        ``median_nm``, None without used pores, and ``out``.

    Raises
    ------
    ValueError
        There are no pores, or none within `raw`; `segmentation` is an image or has grey values;
        `raw` has labels or another voxel size, or no voxel in common; the file of decisions is
        invalid.
    """
    if up not in UP_AXES:
        raise ValueError(f"--up {up}: give one of {', '.join(UP_AXES)}")
    labels = open_labels(segmentation)
    check_are_ids(labels)
    grey = open_volume(raw)
    check_is_image(grey)
    common = find_common_roi(labels, grey)
    decisions = load_decisions(out, review)
    request = {"segmentation": labels.identity, "raw": grey.identity, "up": up}
    with create_results(
        out,
        labels.roi,
        files=(*FILES, REVIEW_PAGE),
        kept=(DECISIONS,),
        command="pores",
        request=request,
        inputs=[labels, grey],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        masks = _find_masks(output, labels, common)
        envelope = _build_envelope(masks)
        chosen = masks.in_raw & ~masks.flags["small"]
        measured = measure_pore_images(
            output, labels, grey, masks.shapes.centre_nm, envelope.normals, chosen, stage="pores"
        )
        found = decisions.match(assign_ids(masks.columns), measured.centre_nm)
        table = _make_table(masks, envelope, measured, found)
        statistics = _write_results(output, table, envelope, measured, up)
        write_decisions(output, decisions, found)
        if review.page:
            from asem.workflows.pore_review import write_review_page

            write_review_page(output, labels, grey, table, measured, found)
    used = statistics["n"]["used"]
    if used == 0:
        LOG.warning("%s: no pore could be measured without a flag", labels.name)
    return {
        "pores": len(table),
        "used": used,
        **count_decisions(found),
        "median_nm": statistics["median_nm"],
        "out": str(out),
    }


def _find_masks(output: ResultsFolder, labels: Volume, in_raw: Roi) -> ObjectMasks:
    """Find one mask for each pore, and flag those that are not whole, or not of one pore.

    Parameters
    ----------
    output
        Runs the blocks.
    labels
        The label image.
    in_raw
        The part of it that raw covers.
    """
    size, offset = labels.voxel_size, labels.offset_nm
    found = find_masks(output, labels, objects_name="pores", stage="masks")
    several, typical_nm2 = may_be_several(find_shapes(found, size, offset))
    parts, parent = split_masks(
        output, labels, found, several, typical_nm2=typical_nm2, stage="separation"
    )
    pores, pore_of_mask = join_fragments(parts, size, offset)
    shapes = find_shapes(pores, size, offset)
    touches, inside = find_borders(pores, in_raw, labels.name, objects_name="pores")
    flags = {**flag_masks(shapes), "cut": touches}
    is_whole = ~(flags["small"] | flags["short"] | flags["merged"])
    outlier = np.zeros(len(touches), np.bool_)
    flat_normals = np.where(shapes.is_flat[:, None], shapes.normal, 0)
    outlier[is_whole] = find_outliers(shapes.centre_nm[is_whole], flat_normals[is_whole])
    flags["outlier"] = outlier
    return ObjectMasks(pores, shapes, inside, flags, find_origins(pore_of_mask, parent))


def _build_envelope(masks: ObjectMasks) -> Envelope:
    """Triangulate the pores that are whole and no outliers."""
    left_out = [masks.flags[name] for name in ("small", "short", "merged", "outlier")]
    is_corner = ~np.logical_or.reduce(left_out)
    shapes = masks.shapes
    return build_envelope(shapes.centre_nm, shapes.normal, shapes.is_flat, is_corner)


def _make_table(
    masks: ObjectMasks, envelope: Envelope, measured: MeasuredPores, review: Review
) -> pd.DataFrame:
    """Return the table of pores, in the order of the masks."""
    is_measured = np.isfinite(measured.diameter_nm)[:, None]
    rims_nm = np.where(is_measured, measured.centre_nm, np.nan)
    in_envelope = is_in_envelope(rims_nm, measured.normal)
    off_plane = masks.flags["outlier"] & in_envelope
    of_masks = {**masks.flags, "outlier": masks.flags["outlier"] & ~off_plane}
    flags = join_names(len(masks.in_raw), of_masks)
    flags = [[*own, *image] for own, image in zip(flags, measured.flags, strict=True)]
    source = {
        "neighbour_normal": envelope.source == NEIGHBOUR_PLANE,
        "mask_normal": envelope.source == MASK,
        "off_plane": off_plane,
    }
    notes = join_names(len(flags), masks.notes, source)
    notes = [[*own, *image] for own, image in zip(notes, measured.notes, strict=True)]
    accept_objects(flags, notes, review, OVERRIDABLE_FLAGS)
    order = np.lexsort((measured.diameter_se_nm, -measured.lines_used))
    flag_duplicates(flags, measured.centre_nm, measured.diameter_nm, order, review)
    reject_objects(flags, review)
    values: dict[str, Any] = {"pore_id": assign_ids(masks.columns)}
    values |= {f"{axis}_nm": measured.centre_nm[:, k] for k, axis in enumerate("zyx")}
    values |= {f"normal_{axis}": measured.normal[:, k] for k, axis in enumerate("zyx")}
    for name in ("diameter_nm", "diameter_sd_nm", "diameter_se_nm", "lines_used"):
        values[name] = getattr(measured, name)
    values["volume_nm3"] = masks.shapes.volume_nm3
    for k, name in enumerate(("long", "mid", "short")):
        values[f"axis_{name}_nm"] = masks.shapes.axes_nm[:, k]
    values |= {"flags": format_names(flags), "notes": format_names(notes)}
    return pd.DataFrame({name: values[name] for name in PORE_COLUMNS})


def _write_results(
    output: ResultsFolder, table: pd.DataFrame, envelope: Envelope, measured: MeasuredPores, up: str
) -> dict[str, Any]:
    """Write table, statistics and figures; return the statistics."""
    order = np.argsort(table["pore_id"].to_numpy())
    output.write_table(PORES, table.iloc[order].reset_index(drop=True), PORE_COLUMNS)
    surface = envelope.surface
    statistics = {
        **describe_table(table),
        "envelope": {
            "closed": surface.is_closed,
            "corners": len(envelope.rows),
            "triangles": len(surface.triangles),
            "alpha_nm": None if np.isnan(surface.alpha_nm) else surface.alpha_nm,
        },
        **describe_surface(table, surface.edges, envelope.rows),
    }
    output.provenance |= {"pores": len(table), "used": statistics["n"]["used"]}
    output.write_file(STATISTICS, format_statistics(statistics))
    _write_figures(output, table, envelope, measured, up)
    return statistics


def _write_figures(
    output: ResultsFolder, table: pd.DataFrame, envelope: Envelope, measured: MeasuredPores, up: str
) -> None:
    from asem.report.figures import encode_png
    from asem.report.pore_figures import plot_diameters, plot_heights, plot_profiles
    from asem.report.pore_gallery import choose_pores, plot_gallery
    from asem.report.pore_map import plot_map

    used, diameters = is_used(table), table["diameter_nm"].to_numpy(np.float64)
    has_view = np.array([block is not None for block in measured.blocks])
    rows = choose_pores(table, has_view)
    views = measured.load_views([number for row in rows for number in row.rows])
    figures = {
        "diameters.png": plot_diameters({"": table}),
        "profiles.png": plot_profiles(measured.profile[used], diameters[used]),
        "gallery.png": plot_gallery(table, rows, views, measured.radii_nm),
        "map.png": plot_map(table, envelope),
        "height.png": plot_heights(table, up),
    }
    for name, figure in figures.items():
        output.write_file(name, encode_png(figure))
