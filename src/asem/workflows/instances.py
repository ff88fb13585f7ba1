"""Label the connected objects of a segmentation as instances (`asem instances`)."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.output_image import create_image
from asem.blocks.run_blocks import Progress, no_progress
from asem.blocks.sidecar_file import SidecarFile
from asem.image.cleanup import check_min_size, read_unlabelled_as_background
from asem.image.components import (
    LABELLING_VOXEL_BYTES,
    MergedObjects,
    find_connected_objects,
    relabel_block,
)
from asem.image.labels import id_dtype
from asem.volume.address import AddressLike, local_paths
from asem.volume.roi import Roi
from asem.volume.sources import open_labels, open_volume
from asem.volume.value_checks import warn_of_grey_values
from asem.volume.volume import Volume

SIZE_COLUMNS = ("id", "voxels", "volume_nm3")
"""Columns of the table of objects."""


def label_instances(
    segmentation: AddressLike,
    destination: Path,
    *,
    min_size: int = 1,
    size_table: Path | None = None,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> Volume:
    """Label each connected object (6 neighbours, one label) with an id: 1, 2, ... without a gap.

    Ids are in the (z, y, x) order of the first voxels, as if the volume were labelled at once.

    Parameters
    ----------
    segmentation
        A label image; 0 is background, and so are unlabelled voxels.
    destination
        The label image to write: uint32, or uint64 where the volume could hold more objects.
    min_size
        Objects of fewer voxels get no id.
    size_table
        A CSV file to write: ``id, voxels, volume_nm3``; not within an image. Without `overwrite`,
        only a file that this run wrote before it was interrupted is replaced.
    overwrite
        Replace an image at `destination`, and a table at `size_table` that has these columns.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    Volume
        The instances.
    """
    source = open_labels(segmentation)
    check_min_size(min_size)
    warn_of_grey_values(source)
    table = None
    if size_table is not None:
        header = ",".join(SIZE_COLUMNS)
        inputs = tuple(local_paths(segmentation))
        table = SidecarFile(size_table, destination.resolve(), overwrite, header, inputs)
        table.check()
    read = partial(read_unlabelled_as_background, read_block=source.read)
    with create_image(
        destination,
        source.zeros(source.roi, dtype=id_dtype(source.roi.size)),
        command="instances",
        request={"segmentation": source.identity, "min_size": min_size},
        sources=local_paths(segmentation),
        inputs=[source],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        if table is not None:
            table.prepare()
        objects = find_connected_objects(output, read, stage="objects")
        ids, block_ids = objects.assign_ids(min_size), output.block_results("ids")
        objects.save_relabelling(block_ids, ids)

        def label_block(block: Roi) -> npt.NDArray[Any]:
            return relabel_block(read(block), block, block_ids)

        output.fill(label_block, stage="instances", voxel_bytes=LABELLING_VOXEL_BYTES)
        output.provenance["objects"] = int(ids.max(initial=0))
        if table is not None:
            _write_sizes(table, objects, ids, float(np.prod(source.voxel_size)))
    return open_volume(destination)


def _write_sizes(
    table: SidecarFile, objects: MergedObjects, ids: npt.NDArray[np.int64], voxel_nm3: float
) -> None:
    order = np.argsort(ids)[np.count_nonzero(ids == 0) :]
    with table.write() as file:
        rows = csv.writer(file)
        rows.writerow(SIZE_COLUMNS)
        for index in order:
            size = int(objects.sizes[index])
            rows.writerow([int(ids[index]), size, f"{size * voxel_nm3:.6g}"])
