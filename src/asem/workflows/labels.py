"""Make training labels from annotations: clean-up, dilation, exclusion zone (`asem labels`)."""

from pathlib import Path
from typing import Any

import numpy as np

from asem.blocks.destination import check_destination
from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.output_image import OutputImage, create_image
from asem.blocks.output_nesting import check_not_nested
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.cleanup import clean_labels
from asem.image.components import LABELLING_VOXEL_BYTES
from asem.image.labels import warn_zero_zone_width, write_dilated, write_exclusion_zone, zone_halo
from asem.image.map_overlap import check_halo_memory
from asem.image.morphology import (
    ElementShape,
    radii_in_voxels,
    warn_zero_radius,
    zone_radii_in_voxels,
)
from asem.structures import Structure
from asem.system.resources import free_memory_bytes
from asem.volume.address import AddressLike, local_paths
from asem.volume.id_selection import IdSelection
from asem.volume.label_views import select_ids
from asem.volume.roi import IntZYX
from asem.volume.sources import open_labels, open_volume
from asem.volume.value_checks import warn_of_grey_values
from asem.volume.volume import Volume
from asem.workflows.finished_outputs import is_made_by


def label_volume(
    source: AddressLike,
    destination: Path,
    structure: Structure,
    *,
    exclusion_zone: Path | None = None,
    zone_shape: ElementShape = "diamond",
    ids: IdSelection | None = None,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> Volume:
    """Clean labels and correct their bias (paper, Data preprocessing, steps 4, 6 and 7).

    Fill small holes, remove small objects, dilate the others by a diamond. The exclusion zone
    around the borders of the result is not scored. No other command changes labels. A small object
    at the border of the annotation or next to unlabelled voxels is retained: it may be truncated.

    Parameters
    ----------
    source
        The annotation: unsigned, 0 background, the maximum of the dtype unlabelled.
    destination
        The label image to write, for instance ``cell.zarr/labels/mito``.
    structure
        Sizes and widths in nm.
    exclusion_zone
        Label image of the zone to write: 1 inside, 0 outside. If `destination` was finished by the
        same request, only the zone is written.
    zone_shape
        ``"diamond"`` as in the paper, or ``"ball"``, which is wider.
    ids
        Ids of `source` that are the structure, stored as 1; others are background. None: all.
    overwrite
        Replace images at `destination` and `exclusion_zone`.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    Volume
        The labels.
    """
    opened = open_labels(source)
    warn_of_grey_values(opened)
    annotation = select_ids(opened, ids)
    settings = structure.model_dump(
        mode="json", exclude={"split", "centre_line_nm"}
    )  # not used here
    request = {"labels": annotation.identity, "structure": settings}
    if ids is not None:
        request["ids"] = str(ids)
    options: dict[str, Any] = {
        "overwrite": overwrite,
        "executor": executor,
        "progress": progress,
    }
    sources = local_paths(source)
    outputs = [destination, *([exclusion_zone] if exclusion_zone else [])]
    if len({path.resolve() for path in (*sources, *outputs)}) < len(sources) + len(outputs):
        raise ValueError("SRC, DST and --exclusion-zone must be three different images")
    check_not_nested(outputs)
    radii, outside, inside = _widths_in_voxels(
        annotation, structure, zone=exclusion_zone is not None
    )
    free_bytes = max(executor.run_on_workers(free_memory_bytes))
    check_halo_memory(annotation, radii, "dilation_nm", free_bytes)
    halo = zone_halo(outside, inside)
    check_halo_memory(annotation, halo, "the exclusion zone", free_bytes)
    only_zone = (
        not overwrite and exclusion_zone is not None and is_made_by(destination, "labels", request)
    )
    if exclusion_zone is not None:  # before anything is deleted
        check_destination(exclusion_zone, [*sources, destination], overwrite=overwrite)
    if not only_zone:
        with create_image(
            destination,
            annotation.zeros(annotation.roi),
            command="labels",
            request=request,
            sources=sources,
            inputs=[annotation],
            **options,
        ) as output:
            _write_labels(output, annotation, structure, radii)
    labels = open_volume(destination)
    if exclusion_zone is not None:
        widths = structure.zone_out_nm, structure.zone_in_nm
        warn_zero_zone_width(structure.name, *widths, labels.voxel_size)
        with create_image(
            exclusion_zone,
            labels.zeros(labels.roi, dtype=np.uint8),
            command="exclusion zone",
            request={**request, "shape": zone_shape},
            sources=[*sources, destination],
            inputs=[labels],
            **options,
        ) as output:
            write_exclusion_zone(output, labels, outside, inside, zone_shape)
    return labels


def _widths_in_voxels(
    annotation: Volume, structure: Structure, *, zone: bool
) -> tuple[IntZYX, IntZYX, IntZYX]:
    """Return the widths in voxels of the dilation and of the zone, outside and inside."""
    voxel_size = annotation.voxel_size
    out_nm, in_nm = (structure.zone_out_nm, structure.zone_in_nm) if zone else (0.0, 0.0)
    return (
        radii_in_voxels(structure.dilation_nm, voxel_size),
        zone_radii_in_voxels(out_nm, voxel_size),
        zone_radii_in_voxels(in_nm, voxel_size),
    )


def _write_labels(
    output: OutputImage, annotation: Volume, structure: Structure, radii: IntZYX
) -> None:
    read_cleaned = clean_labels(
        output,
        annotation,
        largest_hole_nm3=structure.largest_hole_nm3,
        smallest_nm3=structure.smallest_nm3,
        keep_truncated=True,
    )
    width_nm, voxel_size = structure.dilation_nm, annotation.voxel_size
    warn_zero_radius(f"{structure.name}: dilation", width_nm, voxel_size, radii)
    if max(radii) == 0:
        output.fill(read_cleaned, stage="labels", voxel_bytes=LABELLING_VOXEL_BYTES)
        return
    cleaned = output.scratch_volume("cleaned", annotation.dtype)
    output.fill(read_cleaned, stage="labels", voxel_bytes=LABELLING_VOXEL_BYTES, target=cleaned)
    write_dilated(output, annotation.with_array(cleaned), radii)
