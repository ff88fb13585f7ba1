"""Small shards, so that a small volume has many."""

from asem.blocks import output, pyramid
from asem.image import clahe
from asem.volume import arrays, levels
from asem.workflows import importing


def small_shards(edge, patch=setattr):
    """Make shards of `edge` voxels, chunks of half of that; `patch` may undo it later."""
    shard, chunk = (edge,) * 3, (edge // 2,) * 3
    for module in (arrays, output, pyramid, importing):
        patch(module, "SHARD", shard)
    for module in (arrays, pyramid):
        patch(module, "CHUNK", chunk)
    patch(levels, "DEEPEST_AXIS", edge // 2)
    patch(clahe, "GROUP", edge)
    patch(importing, "BAND_BYTES", edge**3)
