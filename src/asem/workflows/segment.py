"""Cut a probability into foreground: threshold, mask, smallest object."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from asem.blocks.destination import check_way
from asem.blocks.executors import SERIAL, Executor
from asem.blocks.output import new_image
from asem.blocks.run import Progress, silent
from asem.image.cleanup import check_smallest, drop_objects
from asem.image.components import VOXEL_BYTES
from asem.volume.formats import open_volume
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.probabilities import check_probability


def segment_volume(
    probability: Path,
    destination: Path,
    *,
    threshold: float = 0.5,
    mask: Path | None = None,
    min_size: int = 0,
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> Volume:
    """Write where the probability reaches the threshold (paper, Prediction: Pipeline).

    Parameters
    ----------
    probability
        The image that `asem predict` wrote, uint8.
    destination
        The label image to write: 0 and 1.
    threshold
        Between 0 and 1; 0.5 keeps stored values of 128 and more.
    mask
        A volume that is not 0 where the sample is; outside of it there is no foreground.
    min_size
        Drop connected objects (6 neighbours) of fewer voxels.
    overwrite
        Replace an image at `destination`.
    executor, progress
        Who computes the blocks, and who is told.

    Returns
    -------
    Volume
        The finished segmentation.
    """
    source = open_volume(probability)
    _check(threshold, min_size)
    check_way(destination, [probability], overwrite=overwrite)
    least = least_value(threshold)
    check_probability(probability, source, source.roi, least=least, progress=progress)
    sample = open_volume(mask) if mask else None
    if sample is not None:
        source.common(sample)  # refuses a mask that misses

    def foreground(block: Roi) -> npt.NDArray[np.uint8]:
        found = source.read(block) >= least
        if sample is not None:
            found &= source.read_placed(sample, block) != 0
        return found.view(np.uint8)

    template = source.blank(source.roi, kind="labels", window=None)
    request = {
        "probability": source.identity,
        "threshold": threshold,
        "mask": sample and sample.identity,
        "min_size": min_size,
    }
    with new_image(
        destination,
        template,
        command="segment",
        request=request,
        sources=[probability, *([mask] if mask else [])],
        inputs=[source, sample],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        found = drop_objects(output, foreground, smaller=min_size)
        output.fill(found, stage="segment", voxel_bytes=VOXEL_BYTES)
    return open_volume(destination)


def least_value(threshold: float) -> int:
    """Return the least stored value, of 255, that reaches a threshold."""
    return int(np.ceil(255 * threshold))


def _check(threshold: float, min_size: int) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold {threshold} must be above 0 and at most 1")
    check_smallest(min_size)
