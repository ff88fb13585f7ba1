"""Mesh the objects of instances, for neuroglancer or as OBJ and PLY files (`asem mesh`)."""

import logging
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.results_folder import NoResultsError, ResultsFolder, create_results
from asem.blocks.run_blocks import Progress, no_progress
from asem.config import NmZYX
from asem.measure.mesh_levels import BLOCK_LEVEL, CellLattice
from asem.volume import zarr_arrays
from asem.volume.address import Address, AddressLike
from asem.volume.formats.detect import open_source_image
from asem.volume.id_selection import IdSelection
from asem.volume.sources import open_labels
from asem.volume.value_checks import warn_of_grey_values
from asem.volume.volume import Volume
from asem.workflows.meshes.blocks import MeshPlan, mesh_blocks
from asem.workflows.meshes.fragment_store import FragmentTable, count_objects, load_fragments
from asem.workflows.meshes.object_files import MAX_FILES, WRITERS, encode_piece, write_mesh_files
from asem.workflows.meshes.precomputed import PRECOMPUTED_FILES, encode_draco, write_precomputed

LOG = logging.getLogger(__name__)
PRECOMPUTED = "precomputed"
FORMATS = (PRECOMPUTED, *WRITERS)
"""Names of the formats."""
FILES = (*PRECOMPUTED_FILES, *(f"*.{name}" for name in WRITERS))
"""Names of the files that `asem mesh` writes."""
MAX_FIRST_LEVEL = 6
"""Coarsest level that `max_error_nm` selects: clusters of 64 voxels."""


def mesh_instances(
    instances: AddressLike,
    destination: Path,
    *,
    format_name: str = PRECOMPUTED,
    ids: IdSelection | None = None,
    min_size: int = 1,
    max_error_nm: float | None = None,
    open_border: bool = False,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Mesh each object of a label image, watertight across blocks.

    Memory depends on the surfaces in a block of 256 x 256 x 256 voxels and on the number of
    fragments; OBJ and PLY files, on the largest object, too.

    Parameters
    ----------
    instances
        Label image with an id per object, as `asem instances` writes it; 0 is background, and so
        are unlabelled voxels.
    destination
        Folder to write: neuroglancer's ``info`` and shards, or ``ID.obj``, ``ID.ply``; and
        ``provenance.json``.
    format_name
        ``"precomputed"`` (multi-resolution, for neuroglancer), ``"obj"`` or ``"ply"``; positions
        (x, y, z) in nm.
    ids
        Objects to mesh; None: all.
    min_size
        Objects of fewer voxels get no mesh.
    max_error_nm
        Largest distance that simplification may move the finest level, nm; None: none.
    open_border
        Whether objects that touch the border of the volume stay open there.
    overwrite
        Replace earlier meshes at `destination`.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    dict
        ``objects``, ``triangles`` and ``max_error_nm`` of the finest level, ``levels`` (the largest
        number of levels of detail), ``format`` and ``out``.

    Raises
    ------
    ValueError
        There are no objects, or none of a selected id; or an option is out of range.
    """
    _check_options(format_name, min_size)
    labels = open_labels(instances)
    warn_of_grey_values(labels)
    level = _choose_first_level(max_error_nm, labels.voxel_size)
    plan = _make_plan(labels, format_name, level, ids, closed=not open_border)
    request = {
        "instances": labels.identity,
        "format": format_name,
        "ids": ids and str(ids),
        "min_size": min_size,
        "max_error_nm": max_error_nm,
        "open_border": open_border,
    }
    with create_results(
        destination,
        plan.lattice.cells,
        files=FILES,
        command="mesh",
        request=request,
        inputs=[labels],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        stores = mesh_blocks(output, plan)
        present, voxels = count_objects(stores[0], plan.lattice)
        _check_present(labels, ids, present)
        table = load_fragments(stores, plan.lattice)
        table, sizes = _select_objects(table, present, voxels, plan, min_size=min_size)
        _check_file_count(format_name, len(sizes))
        result = {
            "objects": len(sizes),
            "triangles": int(table.triangles[table.levels == level].sum()),
            "max_error_nm": cluster_diagonal_nm(level, labels.voxel_size),
        }
        output.provenance.update(result)
        write = partial(_write_files, output, table, plan, format_name)
        result["levels"] = write(voxels=sizes, address=Address.parse(instances))
    if len(sizes) == 1 and ids is None and not _are_instances(instances):
        LOG.warning("%s has a single id; asem instances gives each object its own", labels.name)
    return {**result, "format": format_name, "out": str(destination)}


def _are_instances(labels: AddressLike) -> bool:
    """Return whether `asem instances` wrote labels."""
    made_by = open_source_image(replace(Address.parse(labels), level=None)).made_by or {}
    return made_by.get("command") == "instances"


def cluster_diagonal_nm(level: int, voxel_size: NmZYX) -> float:
    """Return the largest distance by which a level moves the surface, nm: 0 at level 0.

    Examples
    --------
    >>> cluster_diagonal_nm(0, (4, 4, 2)), cluster_diagonal_nm(1, (4, 4, 2))
    (0.0, 12.0)
    """
    return 2.0**level * math.hypot(*voxel_size) if level else 0.0


def _choose_first_level(max_error_nm: float | None, voxel_size: NmZYX) -> int:
    """Return the coarsest level within an error; raise ValueError for one that is out of range."""
    if max_error_nm is None:
        return 0
    limit = cluster_diagonal_nm(MAX_FIRST_LEVEL + 1, voxel_size)
    if not 0 <= max_error_nm < limit:
        raise ValueError(
            f"--max-error {max_error_nm:g}: give a distance in nm, from 0 to below {limit:.6g} for "
            "these voxels"
        )
    levels = range(MAX_FIRST_LEVEL + 1)
    return max(k for k in levels if cluster_diagonal_nm(k, voxel_size) <= max_error_nm)


def _check_options(format_name: str, min_size: int) -> None:
    if format_name not in FORMATS:
        raise ValueError(f"there is no format {format_name}; allowed: {', '.join(FORMATS)}")
    if min_size < 1:
        raise ValueError(f"--min-size {min_size}: give a number of voxels from 1 on")


def _make_plan(
    labels: Volume, format_name: str, level: int, ids: IdSelection | None, *, closed: bool
) -> MeshPlan:
    lattice = CellLattice(labels.shape, zarr_arrays.SHARD[0] >> BLOCK_LEVEL)
    by_node = format_name == PRECOMPUTED
    return MeshPlan(
        labels,
        lattice,
        first_level=level,
        last_level=max(level, lattice.top_level) if by_node else level,
        encode=encode_draco if by_node else encode_piece,
        by_node=by_node,
        ids=ids,
        closed=closed,
    )


def _check_present(
    labels: Volume, ids: IdSelection | None, present: npt.NDArray[np.uint64]
) -> None:
    """Raise NoResultsError where there is no object, or none of a selected id."""
    if ids is not None:
        try:
            ids.check_present(ids.find_present(present), labels.name)
        except ValueError as error:
            raise NoResultsError(str(error)) from error
    if len(present) == 0:
        raise NoResultsError(
            f"{labels.name} has no objects: all voxels are background (0) or unlabelled "
            f"({np.iinfo(labels.dtype).max})"
        )


def _select_objects(
    table: FragmentTable,
    present: npt.NDArray[np.uint64],
    voxels: npt.NDArray[np.int64],
    plan: MeshPlan,
    *,
    min_size: int,
) -> tuple[FragmentTable, npt.NDArray[np.int64]]:
    """Return the fragments of objects of enough voxels that have a surface, and their voxels."""
    is_large = voxels >= min_size
    has_mesh = is_large & np.isin(present, table.ids)
    name = plan.labels.name
    if not has_mesh.any():
        reason = f"of at least {min_size} voxels" if not is_large.any() else "with a surface"
        raise NoResultsError(
            f"{name} has no object {reason}; the largest has {voxels.max()} voxels"
        )
    lost = int(is_large.sum() - has_mesh.sum())
    if lost:
        reason = "smaller than --max-error" if plan.first_level else "without a surface"
        LOG.warning("%s: %d objects have no mesh: they are %s", name, lost, reason)
    return table.select(np.isin(table.ids, present[has_mesh])), voxels[has_mesh]


def _check_file_count(format_name: str, objects: int) -> None:
    if format_name != PRECOMPUTED and objects > MAX_FILES:
        raise NoResultsError(
            f"{objects:,} objects would be as many files, at most {MAX_FILES:,} are written; "
            f"select objects (--ids, --min-size), or give --format {PRECOMPUTED}"
        )


def _write_files(
    output: ResultsFolder,
    table: FragmentTable,
    plan: MeshPlan,
    format_name: str,
    *,
    voxels: npt.NDArray[np.int64],
    address: Address,
) -> int:
    """Write the files of a format; return the largest number of levels of detail."""
    if format_name != PRECOMPUTED:
        write_mesh_files(output, table, plan.labels, format_name)
        return 1
    return write_precomputed(
        output,
        table,
        labels=plan.labels,
        lattice=plan.lattice,
        first_level=plan.first_level,
        voxels=voxels,
        address=address,
    )
