"""Equalize the contrast of a volume."""

from pathlib import Path

import numpy as np

from asem.blocks.executors import SERIAL, Executor
from asem.blocks.output import new_image
from asem.blocks.run import Progress, silent
from asem.image.clahe import ClaheConfig, equalized, group_bytes, measure_mappings, voxel_bytes
from asem.system.resources import free_memory, refuse_without_memory
from asem.volume.contrast import window_of
from asem.volume.formats import open_volume, refuse_labels
from asem.volume.volume import Volume


def clahe_volume(
    raw: Path,
    destination: Path,
    *,
    config: ClaheConfig = ClaheConfig(),  # noqa: B008 (frozen)
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> Volume:
    """Write a volume with its contrast equalized (`asem.image.clahe`), as uint8.

    Parameters
    ----------
    raw
        The image, uint8 or with a contrast window.
    destination
        The image group to write, for instance ``cell.zarr/clahe``.
    config
        Kernel and clip limit.
    overwrite
        Replace an image at `destination`.
    executor, progress
        Who computes the blocks, and who is told.

    Returns
    -------
    Volume
        The finished image.
    """
    volume = open_volume(raw)
    refuse_labels(volume)
    window_of(volume)  # refuses 16 bits without a window
    needed = group_bytes(volume, config.kernel)
    refuse_without_memory(
        needed, f"a kernel of {max(config.kernel)} voxels", "take a smaller --kernel",
        free=max(executor.ask(free_memory)),
    )  # fmt: skip
    template = volume.blank(volume.roi, dtype=np.uint8, kind="image", window=(0.0, 255.0))
    with new_image(
        destination,
        template,
        command="clahe",
        request={"raw": volume.identity, **config.model_dump(mode="json")},
        sources=[raw],
        inputs=[volume],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        mappings = measure_mappings(output, volume, config)
        view = equalized(volume, mappings)
        output.fill(view.read, stage="clahe", voxel_bytes=1 + voxel_bytes(volume))
    return open_volume(destination)
