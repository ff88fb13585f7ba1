"""Apply CLAHE to a volume (`asem clahe`)."""

from pathlib import Path

import numpy as np

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.output_image import create_image
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.clahe import ClaheConfig, clahe_voxel_bytes, compute_mappings, tile_group_bytes
from asem.image.clahe_apply import equalize_lazily
from asem.system.resources import check_free_memory, free_memory_bytes
from asem.volume.address import AddressLike, local_paths
from asem.volume.contrast import contrast_window_of
from asem.volume.sources import check_is_image, open_volume
from asem.volume.volume import Volume


def clahe_volume(
    raw: AddressLike,
    destination: Path,
    *,
    config: ClaheConfig = ClaheConfig(),  # noqa: B008 (frozen)
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> Volume:
    """Write a volume with its contrast equalized by CLAHE (`asem.image.clahe`), as uint8.

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
        Executor of the blocks; progress callback.

    Returns
    -------
    Volume
        The equalized image.
    """
    volume = open_volume(raw)
    check_is_image(volume)
    contrast_window_of(volume)  # raises for 16 bits without a window
    needed_bytes = tile_group_bytes(volume, config.kernel)
    check_free_memory(
        needed_bytes, f"a kernel of {max(config.kernel)} voxels", "take a smaller --kernel",
        free_bytes=max(executor.run_on_workers(free_memory_bytes)),
    )  # fmt: skip
    template = volume.zeros(volume.roi, dtype=np.uint8, kind="image", window=(0.0, 255.0))
    with create_image(
        destination,
        template,
        command="clahe",
        request={"raw": volume.identity, **config.model_dump(mode="json")},
        sources=local_paths(raw),
        inputs=[volume],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        mappings = compute_mappings(output, volume, config)
        equalized = equalize_lazily(volume, mappings)
        output.fill(equalized.read, stage="clahe", voxel_bytes=1 + clahe_voxel_bytes(volume))
    return open_volume(destination)
