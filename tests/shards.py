"""Small shards, so that a small volume has many."""

import math

from asem.blocks import block_output, output_image, pyramid
from asem.image import clahe
from asem.volume import pyramid_levels, zarr_arrays
from asem.workflows import import_copy


def small_shards(edge, patch=setattr):
    """Make shards of `edge` voxels, chunks of half of that; `patch` may undo it later.

    `edge` is one number, or three of which the first is the smallest.
    """
    shard = (edge,) * 3 if isinstance(edge, int) else edge
    edge, chunk = shard[0], tuple(length // 2 for length in shard)
    for module in (zarr_arrays, block_output, output_image, pyramid, import_copy):
        patch(module, "SHARD", shard)
    for module in (zarr_arrays, pyramid):
        patch(module, "CHUNK", chunk)
    patch(pyramid_levels, "MAX_COARSEST_EDGE", edge // 2)
    patch(clahe, "TILE_GROUP_EDGE", edge)
    patch(import_copy, "MAX_BAND_BYTES", math.prod(shard))
