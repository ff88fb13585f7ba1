"""Find where the cell is."""

from pathlib import Path

import numpy as np

from asem.blocks.executors import SERIAL, Executor
from asem.blocks.output import new_image
from asem.blocks.run import Progress, silent
from asem.image.halo import check_halo
from asem.image.masks import MaskConfig, mask_halo, write_mask
from asem.system.resources import free_memory
from asem.volume.contrast import window_of
from asem.volume.formats import open_volume, refuse_labels
from asem.volume.volume import Volume


def mask_volume(
    raw: Path,
    destination: Path,
    *,
    config: MaskConfig = MaskConfig(),  # noqa: B008 (frozen)
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> Volume:
    """Write a coarse mask of the sample: 1 inside, 0 outside (`asem.image.masks`).

    Parameters
    ----------
    raw
        The image, uint8 or with a contrast window.
    destination
        The label image to write, for instance ``cell.zarr/mask``.
    config
        What counts as the cell.
    overwrite
        Replace an image at `destination`.
    executor, progress
        Who computes the blocks, and who is told.

    Returns
    -------
    Volume
        The finished mask.
    """
    volume = open_volume(raw)
    refuse_labels(volume)
    window_of(volume)  # refuses 16 bits without a window
    halo = mask_halo(volume.voxel_size, config)
    check_halo(volume, halo, "opening_nm and closing_nm", max(executor.ask(free_memory)))
    with new_image(
        destination,
        volume.blank(volume.roi, dtype=np.uint8, kind="labels", window=None),
        command="mask",
        request={"raw": volume.identity, **config.model_dump(mode="json")},
        sources=[raw],
        inputs=[volume],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        write_mask(output, volume, config)
    return open_volume(destination)
