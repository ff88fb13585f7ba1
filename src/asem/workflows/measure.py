"""Measure the objects of a segmentation: one table row for each (`asem measure`).

With a search distance, a second table has a row for each pair of objects within it.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asem.blocks.block_output import write_blocks
from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.results_folder import NoResultsError, ResultsFolder, create_results
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.common_roi import find_common_roi
from asem.measure.contacts import (
    CONTACT_KEYS,
    CONTACT_REDUCTIONS,
    ContactSearch,
    derive_contacts,
    find_nearest,
)
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
from asem.measure.object_columns import (
    MEASURED_VOXEL_BYTES,
    BlockObjects,
    Columns,
    measure_objects,
)
from asem.measure.object_table import (
    CONTACT_COLUMNS,
    OBJECT_COLUMNS,
    describe_columns,
    find_border_objects,
    make_object_table,
)
from asem.measure.skeleton_pass import measure_skeletons
from asem.measure.surface_cells import HALO
from asem.measure.surfaces import (
    SURFACE_REDUCTIONS,
    SURFACE_VOXEL_BYTES,
    derive_surface,
    find_areas,
    read_with_mirrored_halo,
    sum_surface,
)
from asem.system.resources import check_free_memory, free_memory_bytes
from asem.volume.address import AddressLike
from asem.volume.roi import Roi, negate
from asem.volume.sources import check_is_image, open_labels, open_volume
from asem.volume.value_checks import warn_of_grey_values
from asem.volume.volume import Volume

OBJECTS, CONTACTS = "objects", "contacts"
"""Names of the tables; the second is the stage of its blocks, too."""
SUMS = "sums"
"""Stage of the sums over voxels."""
MAX_WITHIN_NM = 1e6
SIZES_FIGURE = "sizes.png"
FILES = (
    *(f"{table}.{suffix}" for table in (OBJECTS, CONTACTS) for suffix in ("csv", "parquet")),
    SIZES_FIGURE,
)
"""Names of the files that `asem measure` writes."""


def measure_instances(
    instances: AddressLike,
    out: Path,
    *,
    raw: AddressLike | None = None,
    other: AddressLike | None = None,
    within_nm: float | None = None,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Measure each object of a label image; write a table with a row for each.

    Memory does not depend on the size of the volume, only on the number of objects and pairs.

    Parameters
    ----------
    instances
        Label image with an id per object, as `asem instances` writes it; 0 is background, and so
        are unlabelled voxels.
    out
        Folder to write: ``objects.csv``, ``objects.parquet`` and ``provenance.json``, which
        describes each column (`asem.measure.object_table.OBJECT_COLUMNS`), and ``sizes.png``, the
        distributions of volumes and longest axes. With `within_nm`, also
        ``contacts.csv`` and ``contacts.parquet`` (`CONTACT_COLUMNS`).
    raw
        Image of the grey values; voxels that it does not cover do not count.
    other
        Labels of other objects, of the same voxel size; None: the other objects of `instances`.
    within_nm
        Search distance of other objects, nm; None: they are not searched.
    overwrite
        Replace earlier results in `out`.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    dict
        ``objects`` and, with `within_nm`, ``contacts``, their numbers, and ``out``.

    Raises
    ------
    ValueError
        There are no objects, `instances` or `other` is an image, one of the images has another
        voxel size, or `within_nm` is missing, negative or too large.
    """
    _check_within(other, within_nm)
    labels = open_labels(instances)
    warn_of_grey_values(labels)
    grey = None if raw is None else open_volume(raw)
    if grey is not None:
        check_is_image(grey)
        find_common_roi(labels, grey)
    others = None if other is None else _open_others(other, labels)
    search = None if within_nm is None else ContactSearch(labels, others, within_nm)
    if search is not None:
        _check_contact_memory(search, executor)
    request = {
        "instances": labels.identity,
        "raw": grey and grey.identity,
        "other": others and others.identity,
        "within_nm": within_nm,
    }
    with create_results(
        out,
        labels.roi,
        files=FILES,
        command="measure",
        request=request,
        inputs=[labels, grey, others],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        columns = _measure_voxels(output, labels, grey)
        counts = {}
        if search is not None:
            contacts = _measure_contacts(output, search)
            columns["distance_nm"] = find_nearest(columns["id"], contacts)
            counts[CONTACTS] = _write_table(output, CONTACTS, pd.DataFrame(contacts))
        objects = make_object_table(columns)
        counts[OBJECTS] = _write_table(output, OBJECTS, objects)
        _write_sizes(output, objects)
    return {**counts, "out": str(out)}


def _check_within(other: AddressLike | None, within_nm: float | None) -> None:
    """Raise ValueError for a search distance that is missing, negative or too large."""
    if within_nm is None and other is not None:
        raise ValueError("--other needs a search distance: give --within in nm, for instance 30")
    if within_nm is not None and not 0 <= within_nm < MAX_WITHIN_NM:
        raise ValueError(
            f"--within {within_nm:g}: give a search distance in nm, from 0 (objects that touch) to "
            f"below {MAX_WITHIN_NM:g}"
        )


def _open_others(other: AddressLike, labels: Volume) -> Volume | None:
    """Open the labels of other objects; return None where they are the instances themselves."""
    others = open_labels(other)
    warn_of_grey_values(others)
    find_common_roi(labels, others)
    return None if others.identity == labels.identity else others


def _check_contact_memory(search: ContactSearch, executor: Executor) -> None:
    """Raise ValueError where a block with the surroundings that are searched is too large."""
    check_free_memory(
        search.box_bytes(max(write_blocks(search.objects.roi), key=lambda block: block.size)),
        f"a block with {max(search.halo)} voxels around it",
        "take a smaller search distance (--within)",
        free_bytes=max(executor.run_on_workers(free_memory_bytes)),
    )


def _measure_contacts(output: ResultsFolder, search: ContactSearch) -> Columns:
    """Return the columns of the table of contacts."""
    largest = max(output.write_blocks(), key=lambda block: block.size)
    merged = measure_objects(
        output,
        search.measure,
        CONTACT_REDUCTIONS,
        stage=CONTACTS,
        keys=CONTACT_KEYS,
        voxel_bytes=search.box_bytes(largest) // largest.size,
    )
    return derive_contacts(merged, search.objects.voxel_size)


def _write_table(output: ResultsFolder, name: str, frame: pd.DataFrame) -> int:
    """Write a table; return the number of rows, which becomes a fact of the provenance."""
    descriptions = {OBJECTS: OBJECT_COLUMNS, CONTACTS: CONTACT_COLUMNS}[name]
    output.provenance[name] = len(frame)
    output.write_table(name, frame, describe_columns(frame, descriptions))
    return len(frame)


def _write_sizes(output: ResultsFolder, objects: pd.DataFrame) -> None:
    """Write the figure of the distributions of sizes."""
    from asem.report.figures import encode_png
    from asem.report.size_figure import plot_sizes

    volume, length = (objects[name].to_numpy() for name in ("volume_um3", "axis_long_nm"))
    output.write_file(SIZES_FIGURE, encode_png(plot_sizes(volume, length)))


def _measure_voxels(output: ResultsFolder, labels: Volume, grey: Volume | None) -> Columns:
    """Return the columns of sums over voxels (volume to grey values), and those of skeletons."""
    reductions = {**MOMENT_REDUCTIONS, **SURFACE_REDUCTIONS}
    if grey is not None:
        reductions |= GREY_REDUCTIONS if has_exact_sums(grey.dtype) else FLOAT_GREY_REDUCTIONS
    sums = measure_objects(
        output,
        partial(_sum_block, labels=labels, grey=grey),
        reductions,
        stage=SUMS,
        voxel_bytes=MEASURED_VOXEL_BYTES + SURFACE_VOXEL_BYTES,
    )
    if len(sums["id"]) == 0:
        raise NoResultsError(
            f"{labels.name} has no objects: all voxels are background (0) or unlabelled "
            f"({np.iinfo(labels.dtype).max})"
        )
    columns = {"id": sums["id"], **derive_geometry(sums, labels.voxel_size, labels.offset_nm)}
    columns |= derive_surface(sums, labels.voxel_size)
    columns |= find_border_objects(sums, labels.shape)
    columns |= measure_skeletons(output, labels, sums, output.block_results(SUMS))
    return columns if grey is None else columns | derive_grey(sums)


def _sum_block(block: Roi, *, labels: Volume, grey: Volume | None) -> Columns:
    voxels = read_with_mirrored_halo(labels, block)
    objects = BlockObjects.from_labels(voxels[HALO:-HALO, HALO:-HALO, HALO:-HALO])
    columns = {"id": objects.ids, **sum_moments(objects, block)}
    columns |= sum_surface(objects, find_areas(voxels, labels.voxel_size))
    if grey is None:
        return columns
    covered = np.zeros(block.shape, bool)
    part = labels.roi_of(grey).intersect(block)
    covered[part.shift(negate(block.offset)).slices] = True
    return columns | sum_grey(objects, labels.read_aligned(grey, block), covered)
