"""Write the sample mask of a volume (`asem mask`)."""

from pathlib import Path

import numpy as np

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.output_image import create_image
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.map_overlap import check_halo_memory
from asem.image.sample_mask import MaskConfig, mask_halo, write_mask
from asem.system.resources import free_memory_bytes
from asem.volume.address import AddressLike, local_paths
from asem.volume.contrast import contrast_window_of
from asem.volume.sources import check_is_image, open_volume
from asem.volume.volume import Volume


def mask_volume(
    raw: AddressLike,
    destination: Path,
    *,
    config: MaskConfig = MaskConfig(),  # noqa: B008 (frozen)
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> Volume:
    """Write a coarse sample mask: 1 inside, 0 outside (`asem.image.sample_mask`).

    Parameters
    ----------
    raw
        The image, uint8 or with a contrast window.
    destination
        The label image to write, for instance ``cell.zarr/mask``.
    config
        Grey values, radii and sizes.
    overwrite
        Replace an image at `destination`.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    Volume
        The mask.
    """
    volume = open_volume(raw)
    check_is_image(volume)
    contrast_window_of(volume)  # raises for 16 bits without a window
    halo = mask_halo(volume.voxel_size, config)
    check_halo_memory(
        volume, halo, "opening_nm and closing_nm", max(executor.run_on_workers(free_memory_bytes))
    )
    with create_image(
        destination,
        volume.zeros(volume.roi, dtype=np.uint8, kind="labels", window=None),
        command="mask",
        request={"raw": volume.identity, **config.model_dump(mode="json")},
        sources=local_paths(raw),
        inputs=[volume],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        write_mask(output, volume, config)
    return open_volume(destination)
