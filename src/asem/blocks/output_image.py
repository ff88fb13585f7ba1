"""Create an OME-NGFF image, write it block by block and finish it with pyramid and metadata."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.destination import IMAGE, check_destination, check_replaces_image, is_image_entry
from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.journal import Journal
from asem.blocks.output_lock import delete_journal, lock_destination
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.blocks.pyramid import build_pyramid
from asem.blocks.run_blocks import Progress, no_progress
from asem.provenance import make_provenance
from asem.system.folder_replacement import recover_leftovers
from asem.system.nofollow_files import check_no_links
from asem.system.overwrite_policy import exists_error
from asem.system.resources import check_free_disk
from asem.volume import ngff
from asem.volume.block_grid import check_block_count
from asem.volume.pyramid_levels import PyramidLevel, plan_pyramid
from asem.volume.replaced_inputs import check_not_replaced
from asem.volume.roi import IntZYX, Roi, format_shape
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import SHARD, WriteFuture, ZarrArray, create_level

MAX_COMPRESSION_RATIO = 1000
"""Maximum expected ratio of the size of the voxels of an image to its size on disk."""


@dataclass(kw_only=True)
class OutputImage(BlockOutput):
    """An image that is being written, made by `create_image`.

    Parameters
    ----------
    volume
        The image as a readable volume. Its window may be set before the end.
    array
        Its finest level. Functions that run in other processes contain this array, not the output.
    """

    volume: Volume
    array: ZarrArray

    def fill(
        self,
        read: Callable[[Roi], npt.NDArray[Any]],
        *,
        stage: str,
        voxel_bytes: int,
        halo: IntZYX = (0, 0, 0),
        target: ZarrArray | None = None,
    ) -> None:
        """Write the voxels that `read` returns for each shard.

        Parameters
        ----------
        read
            Returns the voxels of a block; runs in other processes, so that it can be pickled.
        stage
            Name for the journal and the progress.
        voxel_bytes, halo
            Memory per voxel read, in bytes, and the halo read around a block.
        target
            Destination; None: the image.
        """
        blocks = self.write_blocks()
        write = partial(_write_block, read=read, target=self.array if target is None else target)
        largest = max(block.grow(halo).size for block in blocks)
        self.run(write, blocks, stage=stage, block_bytes=largest * voxel_bytes)

    def scratch_volume(self, name: str, dtype: npt.DTypeLike) -> ZarrArray:
        """Create (or open) a scratch array with the shape of the finest level, but of `dtype`."""
        level = PyramidLevel(name, self.volume.shape, (1, 1, 1), self.volume.voxel_size, (0, 0, 0))
        folder, check = self.path / JOURNAL_FOLDER, self.journal.ownership_check
        return create_level(folder, level, np.dtype(dtype), is_labels=True, check_ownership=check)


def _write_block(
    block: Roi, *, read: Callable[[Roi], npt.NDArray[Any]], target: ZarrArray
) -> WriteFuture:
    return target.write(block.slices, read(block).astype(target.dtype, copy=False))


@contextmanager
def create_image(
    path: Path,
    template: Volume,
    *,
    command: str,
    request: dict[str, Any],
    sources: Sequence[Path],
    inputs: Sequence[Volume | None] = (),
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> Iterator[OutputImage]:
    """Create an OME-NGFF image: the body writes the finest level, the exit finishes the image.

    The image has no metadata until the body has ended without an error and its pyramid is complete.
    An interrupted output of the same request is resumed.

    Parameters
    ----------
    path
        The image group to create.
    template
        Shape, dtype, position, kind and window of the image; its voxels are not read.
    command, request
        Command and settings that produce the image; a run resumes only an output of equal request.
    sources
        Input folders, which must not be overwritten.
    inputs
        The opened inputs: if one is replaced meanwhile, the image is not finished.
    overwrite
        Delete an existing image at `path`, finished or not.
    executor, progress
        Executor of the blocks, and progress callback.

    Raises
    ------
    FileExistsError
        `path` is a finished image or has other content, or is a symbolic link to a folder that
        would be deleted.
    OSError
        An interrupted output contains a symbolic link; or the output was deleted or restarted, or
        an input replaced, while it was being written: the image is not finished.
    """
    check_destination(path, sources, overwrite=overwrite)
    name, path = str(path), path.resolve()  # workers may have another working directory
    check_image_size(path, template)
    plan = plan_pyramid(template.shape, template.voxel_size, template.offset_nm)
    lock = lock_destination(
        path,
        lambda: check_replaces_image(path, sources, overwrite=overwrite),
        IMAGE.check_deletable,
    )
    with Journal(path, {"command": command, **request}, lock) as record:
        if ngff.is_image(path):  # a run was killed after it wrote the metadata
            delete_journal(path)
            raise exists_error(name)
        check_no_links(entry for entry in path.iterdir() if is_image_entry(entry.name))
        options: dict[str, Any] = {
            "is_labels": template.kind == "labels",
            "check_ownership": record.ownership_check,
        }
        arrays = [create_level(path, level, template.dtype, **options) for level in plan]
        volume = replace(template, array=arrays[0], name=name)
        output = OutputImage(
            path=path,
            roi=volume.roi,
            journal=record,
            executor=executor,
            progress=progress,
            volume=volume,
            array=arrays[0],
        )
        yield output
        check_not_replaced(inputs)
        record.check_ownership()
        build_pyramid(arrays, plan, kind=template.kind, run_blocks=output.run)
        provenance = make_provenance(command, request, **output.provenance)
        ngff.write_image_metadata(
            path, output.volume, plan, provenance, check_before_publish=record.check_ownership
        )
        delete_journal(path)
    recover_leftovers(path / JOURNAL_FOLDER)  # of the lock, which was open until now


def check_image_size(path: Path, template: Volume) -> None:
    """Raise an error if an image is too large for the disk, even if it is sparse or compressed.

    Raises
    ------
    ValueError
        The size of its voxels is more than a thousand times the free space at `path`, or it has
        more than four million shards, which are kept in a list.
    """
    check_block_count(template.roi, SHARD)
    min_bytes = template.roi.size * template.dtype.itemsize // MAX_COMPRESSION_RATIO
    what = f"an image of {format_shape(template.shape)} voxels ({template.dtype.name})"
    check_free_disk(path.parent, min_bytes, f"{what}, even compressed a thousand times,")
