"""Sample data: a synthetic cell."""

import numpy as np

from asem.phantom.cell import make_cell
from asem.plugin.place import place
from asem.plugin.reader import LayerData
from asem.volume.volume import Volume

SHAPE, VOXEL_SIZE, SEED = (64, 160, 200), (10.0, 10.0, 10.0), 7


def phantom() -> list[LayerData]:
    """Make a synthetic cell: grey values, and its mitochondria as labels."""
    raw, mitochondria = make_cell(SHAPE, VOXEL_SIZE, np.random.default_rng(SEED))
    where = place(Volume(raw, VOXEL_SIZE))
    grey = {"name": "raw", "contrast_limits": (0, 255), **where}
    return [
        (raw, grey, "image"),
        (mitochondria, {"name": "labels/mito", "opacity": 0.5, **where}, "labels"),
    ]
