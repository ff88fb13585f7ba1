"""Labels of a region from strokes on a few of its planes."""

from pathlib import Path

import numpy as np

from asem.annotate.graphcut import GraphCutConfig, cut
from asem.annotate.mixture import without_outliers
from asem.blocks.destination import check_way
from asem.blocks.output import new_image
from asem.blocks.run import Progress, silent
from asem.volume.contrast import to_unit, window_of
from asem.volume.formats import open_labels, open_volume, refuse_labels
from asem.volume.roi import parse_roi
from asem.volume.volume import Volume
from asem.workflows.annotation import check_memory, prepare_window, session_folder


def graphcut_volume(
    raw: Path,
    strokes: Path,
    destination: Path,
    *,
    roi: str | None = None,
    config: GraphCutConfig = GraphCutConfig(),  # noqa: B008 (frozen)
    overwrite: bool = False,
    progress: Progress = silent,
) -> Volume:
    """Write what strokes of foreground and background mean for all voxels (`annotate.graphcut`).

    What needs no strokes is kept beside raw, where `asem annotate` has it: more strokes are cut in
    a fraction of the time.

    Parameters
    ----------
    raw
        The image, uint8 or with a contrast window.
    strokes
        A label image on the same voxels: 1 foreground, 2 background, 0 nothing. What it covers of
        raw is cut, in memory.
    destination
        The label image to write: 1 foreground, 0 background, in the place of the region.
    roi
        Cut only this part of raw, ``z0:z1,y0:y1,x0:x1``.
    config
        The energy.
    overwrite
        Replace an image at `destination`.
    progress
        Who is told.

    Returns
    -------
    Volume
        The finished labels.

    Raises
    ------
    ValueError
        There are no strokes of one kind, nothing to cut by, or no memory for the region.
    """
    volume, drawn = open_volume(raw), open_labels(strokes)
    refuse_labels(volume)
    window = window_of(volume)
    region = volume.common(drawn)
    if roi is not None:
        region = region.intersect(parse_roi(roi, volume.shape))
        if not region.size:
            raise ValueError(f"--roi {roi} and {drawn.name} have no voxel in common")
    check_memory(region, volume, "take a part of it with --roi, or strokes that cover less")
    check_way(destination, [raw, strokes], overwrite=overwrite)  # before minutes of work
    progress("pieces", 0, region.size)
    marks = volume.read_placed(drawn, region)
    pieces = prepare_window(volume, region, config, session_folder(raw))
    progress("pieces", region.size, region.size)
    found = cut(pieces, marks)
    foreground = found.foreground
    if config.mixture:
        unit = to_unit(volume.read(region), window)
        foreground = without_outliers(foreground, unit, marks, config.mixture)
    progress("cut", region.size, region.size)
    request = {
        "raw": volume.identity,
        "strokes": drawn.identity,
        "roi": str(region),
        **config.model_dump(mode="json"),
    }
    with new_image(
        destination,
        volume.blank(region, dtype=np.uint8, kind="labels", window=None),
        command="graphcut",
        request=request,
        sources=[raw, strokes],
        inputs=[volume, drawn],
        overwrite=overwrite,
        progress=progress,
    ) as output:
        output.facts["energy"] = found.energy
        output.facts["pieces"] = len(found.margins)
        output.fill(
            lambda block: foreground[block.slices].view(np.uint8), stage="store", voxel_bytes=1
        )
    return open_volume(destination)
