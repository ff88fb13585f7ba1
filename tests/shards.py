"""Small shards, so that a small volume has many."""

import math

from asem.blocks import output, pyramid
from asem.image import clahe
from asem.volume import arrays, levels
from asem.workflows import importing


def small_shards(edge, patch=setattr):
    """Make shards of `edge` voxels, chunks of half of that; `patch` may undo it later.

    `edge` is one number, or three of which the first is the smallest.
    """
    shard = (edge,) * 3 if isinstance(edge, int) else edge
    edge, chunk = shard[0], tuple(length // 2 for length in shard)
    for module in (arrays, output, pyramid, importing):
        patch(module, "SHARD", shard)
    for module in (arrays, pyramid):
        patch(module, "CHUNK", chunk)
    patch(levels, "DEEPEST_AXIS", edge // 2)
    patch(clahe, "GROUP", edge)
    patch(importing, "BAND_BYTES", math.prod(shard))
