"""Threshold a probability into a segmentation (`asem segment`)."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from asem.blocks.destination import check_destination
from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.output_image import create_image
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.cleanup import check_min_size, remove_small_objects
from asem.image.common_roi import find_common_roi
from asem.image.components import LABELLING_VOXEL_BYTES
from asem.volume.address import AddressLike, local_paths
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.volume.volume import Volume
from asem.workflows.probability_check import check_probability, uint8_threshold


def segment_volume(
    probability: AddressLike,
    destination: Path,
    *,
    threshold: float = 0.5,
    mask: AddressLike | None = None,
    min_size: int = 0,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> Volume:
    """Write a segmentation: probability at or above a threshold (paper, Prediction: Pipeline).

    Parameters
    ----------
    probability
        Image written by `asem predict`, uint8.
    destination
        The label image to write: 0 and 1.
    threshold
        Above 0, at most 1; at 0.5, stored values of 128 and more are foreground.
    mask
        Sample mask, not 0 in the sample; voxels outside of it are background.
    min_size
        Remove connected objects (6 neighbours) of fewer voxels.
    overwrite
        Replace an image at `destination`.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    Volume
        The segmentation.
    """
    source = open_volume(probability)
    _check_settings(threshold, min_size)
    check_destination(destination, local_paths(probability, mask), overwrite=overwrite)
    minimum = uint8_threshold(threshold)
    check_probability(probability, source, source.roi, foreground_uint8=minimum, progress=progress)
    sample = open_volume(mask) if mask else None
    if sample is not None:
        find_common_roi(source, sample)  # raises if the mask does not overlap

    def foreground(block: Roi) -> npt.NDArray[np.uint8]:
        segmented = source.read(block) >= minimum
        if sample is not None:
            segmented &= source.read_aligned(sample, block) != 0
        return segmented.view(np.uint8)

    template = source.zeros(source.roi, kind="labels", window=None)
    request = {
        "probability": source.identity,
        "threshold": threshold,
        "mask": sample and sample.identity,
        "min_size": min_size,
    }
    with create_image(
        destination,
        template,
        command="segment",
        request=request,
        sources=local_paths(probability, mask),
        inputs=[source, sample],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        read_segmented = remove_small_objects(output, foreground, min_size=min_size)
        output.fill(read_segmented, stage="segment", voxel_bytes=LABELLING_VOXEL_BYTES)
    return open_volume(destination)


def _check_settings(threshold: float, min_size: int) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold {threshold} must be above 0 and at most 1")
    check_min_size(min_size)
