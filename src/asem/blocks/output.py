"""A volume being written: created, filled block by block, declared finished at the end."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks import journal
from asem.blocks.destination import is_part, is_to_be_deleted, refuse_foreign
from asem.blocks.executors import SERIAL, Executor, Work
from asem.blocks.partials import Partials
from asem.blocks.pyramid import build_pyramid
from asem.blocks.run import Progress, run_blocks, silent
from asem.provenance import made_by
from asem.system.files import refuse_undecodable
from asem.system.folders import remove_leftovers
from asem.system.names import refuse_link
from asem.system.own_files import refuse_links
from asem.system.resources import refuse_without_disk
from asem.volume import ngff
from asem.volume.arrays import SHARD, Promise, Stored, create_level, create_scratch
from asem.volume.grid import refuse_many_blocks, tile
from asem.volume.levels import Level, pyramid
from asem.volume.replaced import refuse_replaced
from asem.volume.roi import Roi, Triple, extent
from asem.volume.volume import Volume

MOST_COMPRESSION = 1000
"""Times as small as its voxels that an image is expected to become on disk, at most."""


@dataclass
class Output:
    """An image under way; `new_image` makes it.

    Parameters
    ----------
    path
        The image group.
    volume
        What is being written; readable, too. Its window may be set before the end.
    array
        Its finest level. Work that goes to other processes holds this, not the output.
    journal
        Its blocks done so far.
    executor, progress
        Who computes its blocks, and who is told.
    facts
        What is worth keeping about the making, to be added to by who makes it.
    """

    path: Path
    volume: Volume
    array: Stored
    journal: journal.Journal
    executor: Executor = SERIAL
    progress: Progress = silent
    facts: dict[str, Any] = field(default_factory=dict)

    def run(self, work: Work, blocks: Iterable[Roi], *, stage: str, block_bytes: int = 0) -> None:
        """Call `work` for the blocks that are not done (`run_blocks`)."""
        run_blocks(
            work,
            blocks,
            self.journal,
            stage=stage,
            executor=self.executor,
            block_bytes=block_bytes,
            progress=self.progress,
        )

    def fill(
        self,
        read: Callable[[Roi], npt.NDArray[Any]],
        *,
        stage: str,
        voxel_bytes: int,
        halo: Triple = (0, 0, 0),
        target: Stored | None = None,
    ) -> None:
        """Write what `read` returns for each shard.

        Parameters
        ----------
        read
            Returns the voxels of a block; called in other processes: it can be pickled.
        stage
            Name for the journal and the progress.
        voxel_bytes, halo
            Memory of a voxel that is read, and how far around a block it reads.
        target
            Where to write; None: to the image.
        """
        blocks = self.shards()
        work = partial(_store, read=read, target=self.array if target is None else target)
        largest = max(block.grow(halo).size for block in blocks)
        self.run(work, blocks, stage=stage, block_bytes=largest * voxel_bytes)

    def shards(self, along: int = 1) -> list[Roi]:
        """Return its write blocks (`write_blocks`)."""
        return write_blocks(self.volume.roi, along)

    def scratch(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike, chunk: tuple[int, ...]
    ) -> Stored:
        """Create (or open) an array that lives until the image is finished."""
        path, claim = self.path / journal.NAME / name, self.journal.claim
        return create_scratch(path, shape, dtype, chunk, claim=claim)

    def scratch_volume(self, name: str, dtype: npt.DTypeLike) -> Stored:
        """Create (or open) an array like the finest level, but of `dtype`, that lives so long."""
        level = Level(name, self.volume.shape, (1, 1, 1), self.volume.voxel_size, (0, 0, 0))
        inner, claim = self.path / journal.NAME, self.journal.claim
        return create_level(inner, level, np.dtype(dtype), labels=True, claim=claim)

    def partials(self, name: str) -> Partials:
        """Return a place for what blocks find out, which lives until the image is finished."""
        return Partials(self.path / journal.NAME / name, self.journal.claim)


def write_blocks(roi: Roi, along: int = 1) -> list[Roi]:
    """Return the blocks of an image, `along` shards along each axis: no two share a file."""
    z, y, x = SHARD
    return list(tile(roi, (along * z, along * y, along * x)))


def _store(block: Roi, *, read: Callable[[Roi], npt.NDArray[Any]], target: Stored) -> Promise:
    return target.write(block.slices, read(block).astype(target.dtype, copy=False))


@contextmanager
def new_image(
    path: Path,
    template: Volume,
    *,
    command: str,
    request: dict[str, Any],
    sources: Sequence[Path],
    inputs: Sequence[Volume | None] = (),
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> Iterator[Output]:
    """Make an OME-NGFF image: the body writes the finest level, the rest follows by itself.

    The image has no metadata until the body has ended without an error and its pyramid stands. An
    output of the same request that was interrupted is gone on with.

    Parameters
    ----------
    path
        The image group to make.
    template
        Shape, dtype, place, kind and window of the image; its voxels are not read.
    command, request
        What makes it; the request tells a resumed run from another one.
    sources
        Folders that are read and so must not be overwritten.
    inputs
        What is read, as it was opened: the image is not finished where one was replaced since.
    overwrite
        Delete what lies at `path`, if it is an image, finished or not.
    executor, progress
        Who computes the blocks, and who is told.

    Raises
    ------
    FileExistsError
        Something finished, or something else, lies at `path`; or it is a symbolic link and what it
        names would be deleted.
    OSError
        There is a symbolic link in an output that was interrupted; or the output was deleted or
        begun anew while it was being written, or an input replaced: it is not declared finished.
    """
    if overwrite:
        refuse_link(path)
    name, path = str(path), path.resolve()  # workers may stand in another folder
    refuse_undecodable(path)
    refuse_impossible(path, template)
    plan = pyramid(template.shape, template.voxel_size, template.offset_nm)
    ngff.check_groups_above(path)
    lock = journal.claim(
        path, lambda: is_to_be_deleted(path, sources, overwrite=overwrite), refuse_foreign
    )
    with journal.Journal(path, {"command": command, **request}, lock) as record:
        if ngff.is_image(path):  # it was killed between its metadata and its end
            journal.finish(path)
            raise FileExistsError(f"{name} exists already; give --overwrite to replace it")
        refuse_links(entry for entry in path.iterdir() if is_part(entry.name))
        options: dict[str, Any] = {"labels": template.kind == "labels", "claim": record.claim}
        arrays = [create_level(path, level, template.dtype, **options) for level in plan]
        volume = replace(template, array=arrays[0], name=name)
        output = Output(path, volume, arrays[0], record, executor, progress)
        yield output
        refuse_replaced(inputs)
        record.check()
        build_pyramid(arrays, plan, kind=template.kind, run=output.run)
        made = made_by(command, request, **output.facts)
        ngff.write_metadata(path, output.volume, plan, made, check=record.check)
        journal.finish(path)
    remove_leftovers(path / journal.NAME)  # of the lock, which was open until now


def refuse_impossible(path: Path, template: Volume) -> None:
    """Refuse an image that no disk holds: sparse and compressed ones are small, but not so small.

    Raises
    ------
    ValueError
        Its voxels have more than a thousand times the bytes that are free at `path`, or it has more
        than four million shards, which are listed.
    """
    refuse_many_blocks(template.roi, SHARD)
    least = template.roi.size * template.dtype.itemsize // MOST_COMPRESSION
    what = f"an image of {extent(template.shape)} voxels ({template.dtype.name})"
    refuse_without_disk(path.parent, least, f"{what}, however compressed,")
