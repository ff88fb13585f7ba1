"""Measure the objects of a segmentation: one table row for each (`asem measure`)."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.results_folder import NoResultsError, ResultsFolder, create_results
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.common_roi import find_common_roi
from asem.measure.moments import (
    FLOAT_GREY_REDUCTIONS,
    GREY_REDUCTIONS,
    MOMENT_REDUCTIONS,
    derive_geometry,
    derive_grey,
    has_exact_sums,
    sum_grey,
    sum_moments,
)
from asem.measure.object_columns import BlockObjects, Columns, measure_objects
from asem.measure.object_table import (
    OBJECT_COLUMNS,
    describe_columns,
    find_border_objects,
    make_object_table,
)
from asem.measure.skeleton_pass import measure_skeletons
from asem.volume.address import AddressLike
from asem.volume.roi import Roi, negate
from asem.volume.sources import check_is_image, open_labels, open_volume
from asem.volume.value_checks import warn_of_grey_values
from asem.volume.volume import Volume

OBJECTS = "objects"
SUMS = "sums"
"""Stage of the sums over voxels."""
FILES = (f"{OBJECTS}.csv", f"{OBJECTS}.parquet")
"""Names of the files that `asem measure` writes."""


def measure_instances(
    instances: AddressLike,
    out: Path,
    *,
    raw: AddressLike | None = None,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Measure each object of a label image; write a table with a row for each.

    Memory does not depend on the size of the volume, only on the number of objects.

    Parameters
    ----------
    instances
        Label image with an id per object, as `asem instances` writes it; 0 is background, and so
        are unlabelled voxels.
    out
        Folder to write: ``objects.csv``, ``objects.parquet`` and ``provenance.json``, which
        describes each column (`asem.measure.object_table.OBJECT_COLUMNS`).
    raw
        Image of the grey values; voxels that it does not cover do not count.
    overwrite
        Replace earlier results in `out`.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    dict
        ``objects``, their number, and ``out``.

    Raises
    ------
    ValueError
        There are no objects, `instances` is an image, or an image has another voxel size.
    """
    labels = open_labels(instances)
    warn_of_grey_values(labels)
    grey = None if raw is None else open_volume(raw)
    if grey is not None:
        check_is_image(grey)
        find_common_roi(labels, grey)
    request = {"instances": labels.identity, "raw": grey and grey.identity}
    with create_results(
        out,
        labels.roi,
        files=FILES,
        command="measure",
        request=request,
        inputs=[labels, grey],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        columns = _measure_voxels(output, labels, grey)
        frame = make_object_table(columns)
        output.provenance["objects"] = len(frame)
        output.write_table(OBJECTS, frame, describe_columns(frame, OBJECT_COLUMNS))
    return {"objects": len(frame), "out": str(out)}


def _measure_voxels(output: ResultsFolder, labels: Volume, grey: Volume | None) -> Columns:
    """Return volume, position, extent, axes and grey values, which sums over voxels give, and the
    length and branch points of the skeletons."""
    reductions = dict(MOMENT_REDUCTIONS)
    if grey is not None:
        reductions |= GREY_REDUCTIONS if has_exact_sums(grey.dtype) else FLOAT_GREY_REDUCTIONS
    sums = measure_objects(
        output, partial(_sum_block, labels=labels, grey=grey), reductions, stage=SUMS
    )
    if len(sums["id"]) == 0:
        raise NoResultsError(
            f"{labels.name} has no objects: all voxels are background (0) or unlabelled "
            f"({np.iinfo(labels.dtype).max})"
        )
    columns = {"id": sums["id"], **derive_geometry(sums, labels.voxel_size, labels.offset_nm)}
    columns |= find_border_objects(sums, labels.shape)
    columns |= measure_skeletons(output, labels, sums, output.block_results(SUMS))
    return columns if grey is None else columns | derive_grey(sums)


def _sum_block(block: Roi, *, labels: Volume, grey: Volume | None) -> Columns:
    objects = BlockObjects.from_labels(labels.read(block))
    columns = {"id": objects.ids, **sum_moments(objects, block)}
    if grey is None:
        return columns
    covered = np.zeros(block.shape, bool)
    part = labels.roi_of(grey).intersect(block)
    covered[part.shift(negate(block.offset)).slices] = True
    return columns | sum_grey(objects, labels.read_aligned(grey, block), covered)
