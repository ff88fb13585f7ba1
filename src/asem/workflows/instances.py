"""Label the connected objects of a segmentation as instances (`asem instances`)."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_results import BlockResults
from asem.blocks.destination import check_destination
from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.output_image import OutputImage, create_image
from asem.blocks.run_blocks import Progress, no_progress
from asem.blocks.sidecar_file import SidecarFile
from asem.image.cleanup import check_min_size, read_unlabelled_as_background
from asem.image.components import (
    LABELLING_VOXEL_BYTES,
    BlockReader,
    MergedObjects,
    find_connected_objects,
    relabel_block,
)
from asem.image.distance_landscape import (
    LANDSCAPE_VOXEL_BYTES,
    LandscapeSource,
    landscape_halo,
)
from asem.image.labels import id_dtype
from asem.image.map_overlap import check_halo_memory
from asem.image.object_splitting import read_split_block, split_objects
from asem.structures import SplitConfig
from asem.system.resources import free_memory_bytes
from asem.volume.address import AddressLike, local_paths
from asem.volume.roi import Roi, format_shape
from asem.volume.sources import check_is_image, open_labels, open_volume
from asem.volume.value_checks import warn_of_grey_values
from asem.volume.volume import Volume
from asem.workflows.probability_check import check_probability

SIZE_COLUMNS = ("id", "voxels", "volume_nm3")
"""Columns of the table of objects."""


def label_instances(
    segmentation: AddressLike,
    destination: Path,
    *,
    min_size: int = 1,
    split: SplitConfig | None = None,
    probability: AddressLike | None = None,
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
    split
        Separate touching parts of an object with these settings
        (`asem.image.object_splitting.split_objects`). None: an object is all that is connected.
    probability
        Image written by `asem predict`, on the voxels of `segmentation`: objects are separated
        where it is low. Needs `split`.
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
    sources = local_paths(segmentation, probability)
    table = None
    if size_table is not None:
        header = ",".join(SIZE_COLUMNS)
        table = SidecarFile(size_table, destination.resolve(), overwrite, header, tuple(sources))
        table.check()
    request: dict[str, Any] = {"segmentation": source.identity, "min_size": min_size}
    prior, landscape = None, None
    if split is not None:
        check_destination(destination, sources, overwrite=overwrite)
        _check_split_memory(source, split, executor)
        prior = _open_probability(probability, source, progress) if probability else None
        landscape = LandscapeSource(source, split, prior)
        request |= {"split": split.model_dump(mode="json"), "probability": prior and prior.identity}
    elif probability is not None:
        raise ValueError("a probability separates objects; give settings of the separation, too")
    with create_image(
        destination,
        source.zeros(source.roi, dtype=id_dtype(source.roi.size)),
        command="instances",
        request=request,
        sources=sources,
        inputs=[source, prior],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        if table is not None:
            table.prepare()
        objects, read_ids = (
            _find_objects(output, source)
            if landscape is None
            else _split_objects(output, landscape)
        )
        ids = objects.assign_ids(min_size)
        objects.save_relabelling(output.block_results("ids"), ids)
        output.fill(read_ids, stage="instances", voxel_bytes=LABELLING_VOXEL_BYTES)
        output.provenance["objects"] = int(ids.max(initial=0))
        if table is not None:
            _write_sizes(table, objects, ids, float(np.prod(source.voxel_size)))
    return open_volume(destination)


def _open_probability(address: AddressLike, source: Volume, progress: Progress) -> Volume:
    """Open a probability; raise ValueError unless it has the voxels of the segmentation."""
    volume = open_volume(address)
    check_is_image(volume)
    if source.roi_of(volume) != source.roi:
        raise ValueError(
            f"{volume.name} has {format_shape(volume.shape)} voxels, shifted by "
            f"{source.roi_of(volume).offset}, and {source.name} has {format_shape(source.shape)}; "
            "give the probability that was segmented"
        )
    check_probability(address, volume, volume.roi, progress=progress)
    return volume


def _check_split_memory(source: Volume, split: SplitConfig, executor: Executor) -> None:
    check_halo_memory(
        source,
        landscape_halo(source.voxel_size, split),
        "the separation of objects",
        free_bytes=max(executor.run_on_workers(free_memory_bytes)),
        voxel_bytes=LANDSCAPE_VOXEL_BYTES,
    )


def _find_objects(output: OutputImage, source: Volume) -> tuple[MergedObjects, BlockReader]:
    """Find the connected objects; return them, and what reads the ids of a block."""
    read = partial(read_unlabelled_as_background, read_block=source.read)
    objects = find_connected_objects(output, read, stage="objects")
    return objects, _ObjectReader(read, output.block_results("ids"))


def _split_objects(
    output: OutputImage, source: LandscapeSource
) -> tuple[MergedObjects, BlockReader]:
    """Find the objects, touching ones separately; return them, and what reads the ids."""
    objects, basins = split_objects(output, source, stage="basins")
    read = partial(read_split_block, basins=basins, block_results=output.block_results("ids"))
    return objects, read


@dataclass(frozen=True)
class _ObjectReader:
    """Reads the ids of the connected objects of a block."""

    read: BlockReader
    ids: BlockResults

    def __call__(self, block: Roi) -> npt.NDArray[Any]:
        return relabel_block(self.read(block), block, self.ids)


def _write_sizes(
    table: SidecarFile, objects: MergedObjects, ids: npt.NDArray[np.int64], voxel_nm3: float
) -> None:
    import pandas as pd  # pandas and Arrow take 0.4 s to import

    from asem.tables import format_csv

    order = np.argsort(ids)[np.count_nonzero(ids == 0) :]
    sizes = objects.sizes[order]
    columns = (ids[order], sizes, sizes * voxel_nm3)
    frame = pd.DataFrame(dict(zip(SIZE_COLUMNS, columns, strict=True)))
    with table.write() as file:
        file.write(format_csv(frame))
