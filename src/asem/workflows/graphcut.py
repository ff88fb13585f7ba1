"""Segment a region by graph cut from strokes (`asem graphcut`)."""

from pathlib import Path

import numpy as np

from asem.annotate.gaussian_mixture import drop_intensity_outliers
from asem.annotate.graphcut import GraphCutConfig, cut_region
from asem.blocks.destination import check_destination
from asem.blocks.output_image import create_image
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.common_roi import find_common_roi
from asem.volume.address import AddressLike, local_paths
from asem.volume.contrast import contrast_window_of, scale_to_unit
from asem.volume.roi import parse_roi
from asem.volume.sources import check_is_image, open_labels, open_volume
from asem.volume.volume import Volume
from asem.workflows.annotation import check_free_memory, prepare_window
from asem.workflows.annotation_paths import session_folder


def graphcut_volume(
    raw: AddressLike,
    strokes: AddressLike,
    destination: Path,
    *,
    roi: str | None = None,
    config: GraphCutConfig = GraphCutConfig(),  # noqa: B008 (frozen)
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Volume:
    """Segment all voxels of a region from strokes by graph cut (`asem.annotate.graphcut`).

    The part that does not depend on strokes is cached next to raw, as by `asem annotate`: a cut
    with more strokes takes a fraction of the time.

    Parameters
    ----------
    raw
        The image, uint8 or with a contrast window.
    strokes
        A label image on the same voxels: 1 foreground, 2 background, 0 no stroke. The part of raw
        that it covers is cut, in memory.
    destination
        The label image to write: 1 foreground, 0 background, at the position of the region.
    roi
        Cut only this part of raw, ``z0:z1,y0:y1,x0:x1``.
    config
        Energy of the graph cut and its parameters.
    overwrite
        Replace an image at `destination`.
    progress
        Progress callback.

    Returns
    -------
    Volume
        The labels.

    Raises
    ------
    ValueError
        One kind of strokes is missing, all grey values are equal, or memory is too small.
    """
    volume, stroke_volume = open_volume(raw), open_labels(strokes)
    check_is_image(volume)
    window = contrast_window_of(volume)
    region = find_common_roi(volume, stroke_volume)
    if roi is not None:
        region = region.intersect(parse_roi(roi, volume.shape))
        if not region.size:
            raise ValueError(f"--roi {roi} and {stroke_volume.name} have no voxel in common")
    check_free_memory(region, volume, "take a part of it with --roi, or strokes that cover less")
    # Checked here, too, before the long computation.
    check_destination(destination, local_paths(raw, strokes), overwrite=overwrite)
    progress("supervoxels", 0, region.size)
    stroke_labels = volume.read_aligned(stroke_volume, region)
    prepared = prepare_window(volume, region, config, session_folder(raw))
    progress("supervoxels", region.size, region.size)
    cut = cut_region(prepared, stroke_labels)
    foreground = cut.foreground
    if config.mixture_components:
        intensity = scale_to_unit(volume.read(region), window)
        foreground = drop_intensity_outliers(
            foreground, intensity, stroke_labels, config.mixture_components
        )
    progress("cut", region.size, region.size)
    request = {
        "raw": volume.identity,
        "strokes": stroke_volume.identity,
        "roi": str(region),
        **config.model_dump(mode="json"),
    }
    with create_image(
        destination,
        volume.zeros(region, dtype=np.uint8, kind="labels", window=None),
        command="graphcut",
        request=request,
        sources=local_paths(raw, strokes),
        inputs=[volume, stroke_volume],
        overwrite=overwrite,
        progress=progress,
    ) as output:
        output.provenance["energy"] = cut.energy
        output.provenance["pieces"] = len(cut.node_margins)
        output.fill(
            lambda block: foreground[block.slices].view(np.uint8), stage="store", voxel_bytes=1
        )
    return open_volume(destination)
