"""Whether an image is a probability: 255 p in uint8, 128 and more foreground."""

import logging
from pathlib import Path

import numpy as np

from asem.blocks.run import Progress, silent
from asem.volume import ngff
from asem.volume.arrays import SHARD
from asem.volume.contrast import BINS, count_values
from asem.volume.formats import refuse_labels
from asem.volume.grid import tile
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.label_values import neighbours

LOG = logging.getLogger(__name__)
WHITE = 255
MOST_ALIKE = 0.9
"""Of neighbours that are neither 0 nor 255, as the voxels of an object are that has an id."""
HALF = 128
"""Least stored value that is foreground: 255 p of p = 0.5, rounded."""


def check_probability(
    path: Path, volume: Volume, part: Roi, *, least: int = HALF, progress: Progress = silent
) -> None:
    """Refuse what is no probability, such as a segmentation that was imported as an image.

    What `asem predict` wrote is taken as it is; of other images all of `part` is read.

    Parameters
    ----------
    path, volume
        The image, and what was opened of it.
    part
        What is used of it.
    least
        Stored value from which on a voxel is foreground.
    progress
        Called after each block that is read.

    Raises
    ------
    ValueError
        It is not uint8, none of its values is foreground, or they look like ids.
    """
    refuse_labels(volume)
    advice = "if it holds labels, import it again with --kind labels"
    if volume.dtype != np.uint8:
        raise ValueError(f"{path} is {volume.dtype}; a probability is uint8; {advice}")
    if (ngff.read_metadata(path).own.made_by or {}).get("command") == "predict":
        return
    counts, done, pairs, alike = np.zeros(BINS, np.int64), 0, 0, 0
    for block in tile(part, SHARD):
        voxels = volume.read(block)
        counts += count_values(voxels)
        more = neighbours(voxels, WHITE)
        pairs, alike = pairs + more[0], alike + more[1]
        done += block.size
        progress("values", done, part.size)
    values = np.flatnonzero(counts)
    if values[-1] < least:
        raise ValueError(
            f"{path} is an image with values up to {values[-1]} of 255, and a probability is "
            f"foreground from {least} on; {advice}"
        )
    lost = values[(values > 0) & (values < least)]
    if lost.size and alike > MOST_ALIKE * pairs:
        raise ValueError(
            f"{path} is an image in which neighbouring values are equal, as ids are and a "
            f"probability is not; {advice}"
        )
    if values[values > 0].size > 1:
        LOG.warning(
            "%s was not written by asem predict; it is taken as a probability, foreground from %d "
            "of 255 on; %s",
            path,
            least,
            advice,
        )
