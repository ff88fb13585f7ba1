"""Write a synthetic cell: image, labels and a table of its objects (`asem phantom`)."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asem.blocks.destination import check_destination
from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.output_image import OutputImage, create_image
from asem.blocks.output_nesting import read_json_or_empty
from asem.blocks.results_folder import check_results_destination, create_results
from asem.blocks.run_blocks import Progress, no_progress
from asem.config import MAX_COUNT, NmZYX, shorten
from asem.phantom.cell_geometry import CellGeometry
from asem.phantom.generate_cell import CellConfig, generate_cell
from asem.phantom.synthetic_volume import LABELS, SLAB, SyntheticVolume
from asem.phantom.truth import TRUTH_COLUMNS, make_truth_tables
from asem.tables import PROVENANCE_FILE
from asem.volume.roi import IntZYX, Roi, format_shape, per_axis
from asem.volume.volume import Volume, format_nm
from asem.volume.zarr_arrays import SHARD, WriteFuture, ZarrArray
from asem.volume.zero_array import ZeroArray
from asem.workflows.finished_outputs import is_made_by

LOG = logging.getLogger(__name__)
COMMAND = "phantom"
RAW, TRUTH = "raw", "truth"
TRUTH_FILES = tuple(f"{name}.{suffix}" for name in TRUTH_COLUMNS for suffix in ("csv", "parquet"))
MAX_SEED = 2**31 - 1
MIN_EXTENT_NM, MAX_EXTENT_NM = 800.0, 40_000.0
MIN_PHANTOM_VOXEL_NM, MAX_PHANTOM_VOXEL_NM = 2.0, 20.0
RENDERED_VOXEL_BYTES = 60
"""Memory per voxel of a slab with its halo: layers, density and labels."""


def write_phantom(
    destination: Path,
    *,
    shape: IntZYX = (512, 512, 512),
    voxel_size: NmZYX = (5.0, 5.0, 5.0),
    seed: int = 0,
    config: CellConfig = CellConfig(),  # noqa: B008 - immutable
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Generate a synthetic cell and write it block by block; memory does not grow with it.

    ::

        DST/raw                 image, uint8
            labels/<structure>  ids of mito, golgi, npc, ccp, caveolae; 1 for er, nucleus, ...
            truth/<table>.csv   a row for each object: pores, coated, mitochondria, golgi, spheres

    Parameters
    ----------
    destination
        The group to write, for instance ``cell.zarr``.
    shape, voxel_size
        Voxels along (z, y, x), and nm. The cell fills the box, whatever its size.
    seed
        The same seed gives the same cell; at another voxel size it is sampled otherwise.
    config
        Contents of the cell.
    overwrite
        Replace an earlier phantom in the group.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    dict
        ``raw``, ``labels`` (paths by structure), ``truth`` (folder), and ``pores``, the number.

    Raises
    ------
    ValueError
        The box is too small or too large, or the voxels are, or the seed is out of range.
    """
    _check_box(shape, voxel_size)
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"--seed {shorten(seed, str)}: give a whole number from 0 to {MAX_SEED}")
    request = {
        "shape": list(shape),
        "voxel_size": list(voxel_size),
        "seed": seed,
        "config": config.model_dump(mode="json"),
    }
    images = {RAW: destination / RAW, **{n: destination / "labels" / n for n in LABELS}}
    truth = destination / TRUTH
    finished = (
        set() if overwrite else {n for n in LABELS if is_made_by(images[n], COMMAND, request)}
    )
    has_truth = not overwrite and _is_truth_made_by(truth, request)
    for name, path in images.items():  # before anything is generated or deleted
        if name not in finished:
            check_destination(path, [], overwrite=overwrite)
    if not has_truth:
        check_results_destination(truth, TRUTH_FILES, overwrite=overwrite)
    extent = per_axis(lambda voxels, size: voxels * size, shape, voxel_size)
    cell = generate_cell(extent, config, np.random.default_rng(seed))
    options: dict[str, Any] = {
        "request": request,
        "overwrite": overwrite,
        "executor": executor,
        "progress": progress,
    }
    with create_image(
        images[RAW],
        _template(shape, voxel_size, np.dtype(np.uint8), kind="image"),
        command=COMMAND,
        sources=[],
        **options,
    ) as raw:
        if not has_truth:
            _write_truth(truth, cell, raw.roi, options)
        with _create_labels(images, finished, cell, raw.volume, options) as labels:
            volume = SyntheticVolume.of_cell(
                cell, shape, voxel_size, preparation=config.preparation, seed=seed
            )
            arrays = {RAW: raw.array, **{name: image.array for name, image in labels.items()}}
            render = _RenderBlock(volume, arrays)
            raw.run(render, raw.write_blocks(), stage="phantom", block_bytes=_block_bytes(volume))
            raw.provenance["pores"] = len(cell.pores)
    if config.pores is not None and len(cell.pores) < config.pores:
        LOG.warning("--pores %d: the envelope has space for %d", config.pores, len(cell.pores))
    return {
        "raw": str(images[RAW]),
        "labels": {name: str(images[name]) for name in LABELS},
        "truth": str(truth),
        "pores": len(cell.pores),
    }


def _check_box(shape: IntZYX, voxel_size: NmZYX) -> None:
    """Raise ValueError for voxels or a box that no synthetic cell can fill."""
    if not MIN_PHANTOM_VOXEL_NM <= min(voxel_size) <= max(voxel_size) <= MAX_PHANTOM_VOXEL_NM:
        raise ValueError(
            f"--voxel-size {format_nm(voxel_size)} nm: a synthetic cell is sampled at "
            f"{MIN_PHANTOM_VOXEL_NM:g} to {MAX_PHANTOM_VOXEL_NM:g} nm"
        )
    extent = per_axis(lambda voxels, size: min(voxels, MAX_COUNT) * size, shape, voxel_size)
    if min(extent) < MIN_EXTENT_NM or max(extent) > MAX_EXTENT_NM:
        raise ValueError(
            f"--shape {shorten(format_shape(shape), str)} voxels are {format_nm(extent)} nm: give "
            f"{MIN_EXTENT_NM:g} to {MAX_EXTENT_NM:g} nm along each axis"
        )


def _template(shape: IntZYX, voxel_size: NmZYX, dtype: np.dtype[Any], *, kind: Any) -> Volume:
    window = (0.0, 255.0) if kind == "image" else None
    return Volume(ZeroArray(shape, dtype), voxel_size, kind=kind, window=window, name="phantom")


@contextmanager
def _create_labels(
    images: dict[str, Path],
    finished: set[str],
    cell: CellGeometry,
    raw: Volume,
    options: dict[str, Any],
) -> Iterator[dict[str, OutputImage]]:
    """Create the label images that are not finished; they are finished when the body has ended."""
    largest = max(len(cell.pores), len(cell.mitochondria), len(cell.pits + cell.coated_vesicles))
    dtype = np.dtype(np.uint16 if largest < np.iinfo(np.uint16).max else np.uint32)
    template = _template(raw.shape, raw.voxel_size, dtype, kind="labels")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                create_image(
                    images[name], template, command=COMMAND, sources=[images[RAW]], **options
                )
            )
            for name in LABELS
            if name not in finished
        }


def _write_truth(folder: Path, cell: CellGeometry, roi: Roi, options: dict[str, Any]) -> None:
    with create_results(folder, roi, files=TRUTH_FILES, command=COMMAND, **options) as output:
        for name, frame in make_truth_tables(cell).items():
            output.write_table(name, frame, TRUTH_COLUMNS[name])


def _is_truth_made_by(folder: Path, request: dict[str, Any]) -> bool:
    made_by = read_json_or_empty(folder / PROVENANCE_FILE)
    return bool(made_by.get("command") == COMMAND and made_by.get("request") == request)


def _block_bytes(volume: SyntheticVolume) -> int:
    """Return the memory of a block: its images, and the layers of a slab."""
    block = Roi((0, 0, 0), SHARD).intersect(Roi.of_shape(volume.shape))
    slab = Roi((0, 0, 0), (SLAB, *block.shape[1:])).grow(volume.halo)
    return block.size * (1 + 6 * len(LABELS)) + slab.size * RENDERED_VOXEL_BYTES


@dataclass(frozen=True)
class _RenderBlock:
    """Render a block and write it to the image and all labels."""

    volume: SyntheticVolume
    arrays: dict[str, ZarrArray]

    def __call__(self, block: Roi) -> WriteFuture:
        """Write one block; the future is that of the image, which is written last."""
        image, labels = self.volume.render(block)
        pending = [
            array.write(block.slices, labels[name].astype(array.dtype))
            for name, array in self.arrays.items()
            if name != RAW
        ]
        for write in pending:
            write.result()
        return self.arrays[RAW].write(block.slices, image)
