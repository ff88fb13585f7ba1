"""Count the voxels of each id of labels, block by block (`asem info --count`)."""

from collections import Counter

import numpy as np

from asem.blocks.run_blocks import Progress, no_progress
from asem.volume.address import Address, AddressLike
from asem.volume.formats.detect import open_source_image
from asem.volume.formats.source_image import DEFAULT_SOURCE_OPTIONS, LabelValues, SourceOptions
from asem.volume.label_views import unlabelled_id, view_as_labels
from asem.volume.volume import Volume
from asem.workflows.label_checks import split_into_slabs

MAX_IDS = 1_000_000
"""Most ids that are counted: 100 MB of memory."""


def count_ids(
    address: AddressLike,
    *,
    options: SourceOptions = DEFAULT_SOURCE_OPTIONS,
    progress: Progress = no_progress,
) -> dict[str, dict[str, int]]:
    """Count the voxels of each id; reads all voxels.

    Parameters
    ----------
    address
        Labels in any format; a voxel size is not needed.
    options
        Channel.
    progress
        Called after each block.

    Returns
    -------
    dict
        ``voxels`` (numbers of foreground, background and unlabelled voxels) and ``ids`` (number of
        voxels by id, in the order of ids).

    Raises
    ------
    ValueError
        These are no labels, or they have more than a million ids.
    """
    address = Address.parse(address)
    image = open_source_image(address, options, "labels")
    if image.kind == "image":
        raise ValueError(f"{address} is an image; --count is for labels")
    array, stated = image.levels[0].array, image.label_values or LabelValues()
    view = view_as_labels(
        array, str(address), background=stated.background, unlabelled=stated.unlabelled
    )
    labels = Volume(view, (1.0, 1.0, 1.0))
    counts: Counter[int] = Counter()
    done = 0
    for block in split_into_slabs(labels.roi, labels):
        values, numbers = np.unique(labels.read(block), return_counts=True)
        if len(values) <= MAX_IDS:  # more would need much memory as integers of Python
            counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        if max(len(values), len(counts)) > MAX_IDS:
            raise ValueError(f"{address} has more than {MAX_IDS} ids, too many to be listed")
        done += block.size
        progress("ids", done, labels.roi.size)
    background, unlabelled = (counts.pop(value, 0) for value in (0, unlabelled_id(labels.dtype)))
    return {
        "voxels": {
            "foreground": counts.total(),
            "background": background,
            "unlabelled": unlabelled,
        },
        "ids": {str(value): counts[value] for value in sorted(counts)},
    }
