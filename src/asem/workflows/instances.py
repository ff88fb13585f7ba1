"""Number the objects of a segmentation."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.executors import SERIAL, Executor
from asem.blocks.output import new_image
from asem.blocks.run import Progress, silent
from asem.blocks.side_file import SideFile
from asem.image.cleanup import check_smallest, read_known
from asem.image.components import VOXEL_BYTES, Objects, find_objects, id_dtype, recode
from asem.volume.formats import open_labels, open_volume
from asem.volume.roi import Roi
from asem.volume.volume import Volume

COLUMNS = ("id", "voxels", "volume_nm3")
"""Of the table of objects."""


def number_objects(
    segmentation: Path,
    destination: Path,
    *,
    min_size: int = 1,
    sizes: Path | None = None,
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> Volume:
    """Give each connected object (6 neighbours, one label) an id: 1, 2, ... without a gap.

    Ids follow the objects' first voxels in (z, y, x) order, as if the volume were labelled at once.

    Parameters
    ----------
    segmentation
        A label image; 0 and unknown voxels are no object.
    destination
        The label image to write: uint32, or uint64 where the volume could hold more objects.
    min_size
        Objects of fewer voxels get no id.
    sizes
        A CSV file to write: ``id, voxels, volume_nm3``; not within an image. Without `overwrite`
        no file is replaced but the one that this run wrote before it was interrupted.
    overwrite
        Replace an image at `destination`, and a table at `sizes` that has these columns.
    executor, progress
        Who computes the blocks, and who is told.

    Returns
    -------
    Volume
        The finished instances.
    """
    source = open_labels(segmentation)
    check_smallest(min_size)
    table = None
    if sizes is not None:
        header = ",".join(COLUMNS)
        table = SideFile(sizes, destination.resolve(), overwrite, header, (segmentation,))
        table.check()
    read = partial(read_known, read=source.read)
    with new_image(
        destination,
        source.blank(source.roi, dtype=id_dtype(source.roi.size)),
        command="instances",
        request={"segmentation": source.identity, "min_size": min_size},
        sources=[segmentation],
        inputs=[source],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        if table is not None:
            table.begin()
        objects = find_objects(output, read, stage="objects")
        ids, kept = objects.numbered(min_size), output.partials("ids")
        objects.save(kept, ids)

        def numbered(block: Roi) -> npt.NDArray[Any]:
            return recode(read(block), block, kept)

        output.fill(numbered, stage="instances", voxel_bytes=VOXEL_BYTES)
        output.facts["objects"] = int(ids.max(initial=0))
        if table is not None:
            _write_sizes(table, objects, ids, float(np.prod(source.voxel_size)))
    return open_volume(destination)


def _write_sizes(
    table: SideFile, objects: Objects, ids: npt.NDArray[np.int64], voxel_nm3: float
) -> None:
    order = np.argsort(ids)[np.count_nonzero(ids == 0) :]
    with table.write() as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for one in order:
            size = int(objects.sizes[one])
            rows.writerow([int(ids[one]), size, f"{size * voxel_nm3:.6g}"])
