"""napari sample data: a synthetic cell."""

import numpy as np

from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.plugin.layer_transform import layer_transform
from asem.plugin.reader import LayerData
from asem.volume.volume import Volume

SHAPE, VOXEL_SIZE, SEED = (64, 160, 200), (10.0, 10.0, 10.0), 7


def make_phantom() -> list[LayerData]:
    """Make a synthetic cell: an image layer, and a labels layer of its mitochondria."""
    raw, mitochondria = make_synthetic_cell(SHAPE, VOXEL_SIZE, np.random.default_rng(SEED))
    transform = layer_transform(Volume(raw, VOXEL_SIZE))
    image_settings = {"name": "raw", "contrast_limits": (0, 255), **transform}
    return [
        (raw, image_settings, "image"),
        (mitochondria, {"name": "labels/mito", "opacity": 0.5, **transform}, "labels"),
    ]
