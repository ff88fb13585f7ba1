"""Make training labels of annotations: clean-up, dilation, exclusion zone."""

from pathlib import Path
from typing import Any

import numpy as np

from asem.blocks.destination import check_way
from asem.blocks.enclosing import refuse_nested
from asem.blocks.executors import SERIAL, Executor
from asem.blocks.output import Output, new_image
from asem.blocks.run import Progress, silent
from asem.image.cleanup import cleaned
from asem.image.components import VOXEL_BYTES
from asem.image.halo import check_halo
from asem.image.labels import warn_of_lost_zone, write_grown, write_zone, zone_halo
from asem.image.morphology import ElementShape, radii_of, warn_of_lost_width, zone_radii
from asem.structures import Structure
from asem.system.resources import free_memory
from asem.volume import ngff
from asem.volume.formats import open_labels, open_volume
from asem.volume.roi import Triple
from asem.volume.volume import Volume


def label_volume(
    source: Path,
    destination: Path,
    structure: Structure,
    *,
    exclusion_zone: Path | None = None,
    zone_shape: ElementShape = "diamond",
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> Volume:
    """Clean labels and correct their bias (paper, Data preprocessing, steps 4, 6 and 7).

    Holes are filled, small objects dropped, the rest dilated by a diamond; the zone around the
    borders of the result is what scores leave out. Nothing else in asem changes labels. A small
    object at the border of the annotation, or beside unlabelled voxels, is kept: its true size is
    not known.

    Parameters
    ----------
    source
        The annotation: unsigned, 0 background, the dtype's maximum unknown.
    destination
        The label image to write, for instance ``cell.zarr/labels/mito``.
    structure
        Sizes and widths in nm.
    exclusion_zone
        Where to write the zone: 1 in it, 0 elsewhere. With `destination` finished by the same
        request, only the zone is made.
    zone_shape
        ``"diamond"`` as in the paper, or ``"ball"``, which is wider.
    overwrite
        Replace images at `destination` and `exclusion_zone`.
    executor, progress
        Who computes the blocks, and who is told.

    Returns
    -------
    Volume
        The finished labels.
    """
    annotation = open_labels(source)
    request = {"labels": annotation.identity, "structure": structure.model_dump(mode="json")}
    common: dict[str, Any] = {
        "overwrite": overwrite,
        "executor": executor,
        "progress": progress,
    }
    outputs = [destination, *([exclusion_zone] if exclusion_zone else [])]
    if len({path.resolve() for path in (source, *outputs)}) <= len(outputs):
        raise ValueError("SRC, DST and the exclusion zone must be three different images")
    refuse_nested(outputs)
    radii, outside, inside = _widths(annotation, structure, zone=exclusion_zone is not None)
    free = max(executor.ask(free_memory))
    check_halo(annotation, radii, "dilation_nm", free)
    check_halo(annotation, zone_halo(outside, inside), "the exclusion zone", free)
    only_zone = not overwrite and exclusion_zone is not None and _was_made(destination, request)
    if exclusion_zone is not None:  # before anything is deleted
        check_way(exclusion_zone, [source, destination], overwrite=overwrite)
    if not only_zone:
        with new_image(
            destination,
            annotation.blank(annotation.roi),
            command="labels",
            request=request,
            sources=[source],
            inputs=[annotation],
            **common,
        ) as output:
            _write_labels(output, annotation, structure, radii)
    labels = open_volume(destination)
    if exclusion_zone is not None:
        widths = structure.zone_out_nm, structure.zone_in_nm
        warn_of_lost_zone(structure.name, *widths, labels.voxel_size)
        with new_image(
            exclusion_zone,
            labels.blank(labels.roi, dtype=np.uint8),
            command="exclusion zone",
            request={**request, "shape": zone_shape},
            sources=[source, destination],
            inputs=[labels],
            **common,
        ) as output:
            write_zone(output, labels, outside, inside, zone_shape)
    return labels


def _was_made(image: Path, request: dict[str, Any]) -> bool:
    """Whether a finished image was made by `request`."""
    if not ngff.is_image(image):
        return False
    made = ngff.read_metadata(image).own.made_by or {}
    return bool(made.get("command") == "labels" and made.get("request") == request)


def _widths(
    annotation: Volume, structure: Structure, *, zone: bool
) -> tuple[Triple, Triple, Triple]:
    """Return the widths of the dilation and of the zone, outside and inside, in voxels."""
    size = annotation.voxel_size
    out_nm, in_nm = (structure.zone_out_nm, structure.zone_in_nm) if zone else (0.0, 0.0)
    return radii_of(structure.dilation_nm, size), zone_radii(out_nm, size), zone_radii(in_nm, size)


def _write_labels(output: Output, annotation: Volume, structure: Structure, radii: Triple) -> None:
    clean = cleaned(
        output,
        annotation,
        largest_hole_nm3=structure.largest_hole_nm3,
        smallest_nm3=structure.smallest_nm3,
        keep_cut=True,
    )
    width, voxel_size = structure.dilation_nm, annotation.voxel_size
    warn_of_lost_width(f"{structure.name}: dilation", width, voxel_size, radii)
    if max(radii) == 0:
        output.fill(clean, stage="labels", voxel_bytes=VOXEL_BYTES)
        return
    scratch = output.scratch_volume("cleaned", annotation.dtype)
    output.fill(clean, stage="labels", voxel_bytes=VOXEL_BYTES, target=scratch)
    write_grown(output, annotation.like(scratch), radii)
