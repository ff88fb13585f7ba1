"""Check that an image is a probability: 255 p as uint8, foreground from 128."""

import logging

import numpy as np

from asem.blocks.run_blocks import Progress, no_progress
from asem.volume.address import Address, AddressLike
from asem.volume.block_grid import split_into_blocks
from asem.volume.contrast import BIN_COUNT, count_values
from asem.volume.formats.detect import open_source_image
from asem.volume.roi import Roi
from asem.volume.sources import check_is_image
from asem.volume.value_checks import count_equal_neighbours
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import SHARD

LOG = logging.getLogger(__name__)
MAX_UINT8 = 255
MAX_EQUAL_NEIGHBOUR_FRACTION = 0.9
"""Of neighbouring voxels that are neither 0 nor 255; in images of ids, most are equal."""


def uint8_threshold(threshold: float) -> int:
    """Return the smallest stored value, 0 to 255, that is foreground at a threshold.

    Examples
    --------
    >>> uint8_threshold(0.5)
    128
    """
    return int(np.ceil(255 * threshold))


FOREGROUND_UINT8 = uint8_threshold(0.5)
"""Smallest stored value that is foreground at a probability of 0.5."""


def check_probability(
    address: AddressLike,
    volume: Volume,
    roi: Roi,
    *,
    foreground_uint8: int = FOREGROUND_UINT8,
    progress: Progress = no_progress,
) -> None:
    """Raise ValueError for an image that is no probability, such as an imported segmentation.

    Images written by `asem predict` are not read; of other images all of `roi` is read.

    Parameters
    ----------
    address, volume
        Address of the image, and the opened volume.
    roi
        Voxels to check.
    foreground_uint8
        Smallest stored value that is foreground.
    progress
        Called after each block that is read.

    Raises
    ------
    ValueError
        It is not uint8, no value is foreground, or neighbouring values are equal as ids are.
    """
    check_is_image(volume)
    advice = "if it holds labels, import it again with --kind labels"
    if volume.dtype != np.uint8:
        raise ValueError(f"{address} is {volume.dtype}; a probability is uint8; {advice}")
    made_by = open_source_image(Address.parse(address)).made_by or {}
    if made_by.get("command") == "predict":
        return
    counts, done, pairs, equal_pairs = np.zeros(BIN_COUNT, np.int64), 0, 0, 0
    for block in split_into_blocks(roi, SHARD):
        voxels = volume.read(block)
        counts += count_values(voxels)
        block_pairs, block_equal = count_equal_neighbours(voxels, MAX_UINT8)
        pairs, equal_pairs = pairs + block_pairs, equal_pairs + block_equal
        done += block.size
        progress("values", done, roi.size)
    values = np.flatnonzero(counts)
    if values[-1] < foreground_uint8:
        raise ValueError(
            f"{address} is an image with values up to {values[-1]} of 255, and a probability is "
            f"foreground from {foreground_uint8} on; {advice}"
        )
    below = values[(values > 0) & (values < foreground_uint8)]
    if below.size and equal_pairs > MAX_EQUAL_NEIGHBOUR_FRACTION * pairs:
        raise ValueError(
            f"{address} is an image in which neighbouring values are equal, as ids are and a "
            f"probability is not; {advice}"
        )
    if values[values > 0].size > 1:
        LOG.warning(
            "%s was not written by asem predict; it is read as a probability, foreground from %d "
            "of 255 on; %s",
            address,
            foreground_uint8,
            advice,
        )
