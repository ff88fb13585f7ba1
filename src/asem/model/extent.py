"""What of each level of the network an output needs: boxes of voxels, memory, operations."""

from dataclasses import dataclass

from asem.model.config import ModelConfig
from asem.model.unet import CLASSES, KERNEL, crops
from asem.volume.roi import Roi, Triple, add

Cut = tuple[tuple[int, int], tuple[int, int]]
"""An item of `crops`."""


@dataclass(frozen=True)
class Needed:
    """What the output needs of each level, the finest first.

    Parameters
    ----------
    given
        Of what the level gives: on the way up, or at the lowest level.
    skip
        Of what its convolutions on the way down give, for the way up; not of the lowest level.
    source
        Of what goes into the level: raw, or the pooled map.
    """

    given: tuple[Roi, ...]
    skip: tuple[Roi, ...]
    source: tuple[Roi, ...]


def needed(config: ModelConfig, kept: Triple) -> Needed:
    """Work out backwards from the output what it needs."""
    given, skips = [grown(Roi.whole(kept), KERNEL - 1)], []
    for cut in crops(config):
        of_skip, of_coarser = inputs_of(config, given[-1], cut)
        skips.append(of_skip)
        given.append(of_coarser)
    sources = [read_of(config, given[-1])]
    for _ in skips:
        sources.append(read_of(config, twice(sources[-1])))
    return Needed(tuple(given), tuple(skips), tuple(sources[::-1]))


def memory_of(config: ModelConfig, kept: Triple, *, item: int, piece: int) -> int:
    """Estimate the bytes that `logits` takes at most at a time.

    Parameters
    ----------
    config
        The network.
    kept
        Shape of what a tile keeps.
    item
        Bytes of a number.
    piece
        Edge of what is computed at a time.
    """
    need = needed(config, kept)
    widths = [config.features * config.growth**level for level in range(config.levels)]
    skips = [w * roi.size for w, roi in zip(widths, need.skip, strict=False)]
    sources = [w * roi.size for w, roi in zip([1, *widths], need.source, strict=False)]
    given = [w * roi.size for w, roi in zip(widths, need.given, strict=True)]
    given[0] = CLASSES * 2 * Roi.whole(kept).size  # and the same in float32
    down = [sum(skips[: n + 1]) + sum(sources[n : n + 2]) for n in range(len(skips))]
    up = [sum(skips[: n + 1]) + sum(given[n : n + 2]) for n in range(len(skips))]
    lowest = sum(skips) + sources[-1] + given[-1]
    # A piece's copies of what it reads, its parities apart and interleaved, two convolutions.
    reads = [read_of(config, roi).shape for roi in need.given]
    edges = [
        (w, [min(piece + 8, n) for n in shape]) for w, shape in zip(widths, reads, strict=True)
    ]
    workspace = max(6 * w * z * y * x for w, (z, y, x) in edges)
    return int(item * (max([lowest, *down, *up]) + sources[0] + workspace))


def flops_of(config: ModelConfig, kept: Triple) -> int:
    """Return the operations that the convolutions of a tile take at least.

    A product and a sum are two; the pieces' halos, which are computed twice, do not count.

    Examples
    --------
    >>> round(flops_of(ModelConfig(), (256, 256, 256)) / 256**3)  # of a voxel; 204^3 blocks: 1.18e6
    567236
    """
    need, last = needed(config, kept), config.convolutions - 1
    widths = [config.features * config.growth**level for level in range(config.levels)]
    products: int = Roi.whole(kept).size * widths[0] * CLASSES * KERNEL**3
    for level, (width, source) in enumerate(zip(widths, need.source, strict=True)):
        wide = widths[level - 1] if level else 1
        for number in range(config.convolutions):
            out = grown(source, -(number + 1) * (KERNEL - 1))
            products += out.size * width * KERNEL**3 * (width if number else wide)
    for width, below, given in zip(widths, widths[1:], need.given, strict=False):
        for number in range(config.convolutions):
            out = grown(given, (last - number) * (KERNEL - 1))
            read = width * KERNEL**3 + (0 if number else below * 2**3)
            products += out.size * width * read
    return 2 * products


def inputs_of(config: ModelConfig, given: Roi, cut: Cut) -> tuple[Roi, Roi]:
    """Return what a level on the way up reads of the skipped and of the coarser map."""
    (skip, _), (doubled, _) = cut
    read = read_of(config, given)
    fine = read.shift((doubled, doubled, doubled))
    coarser = Roi.between([o // 2 for o in fine.offset], [-(-e // 2) for e in fine.end])
    return read.shift((skip, skip, skip)), coarser


def read_of(config: ModelConfig, given: Roi) -> Roi:
    """Return what the convolutions of a level read to give a box."""
    return grown(given, config.convolutions * (KERNEL - 1))


def grown(roi: Roi, by: int) -> Roi:
    """Return a box with more voxels behind it."""
    return Roi(roi.offset, add(roi.shape, (by, by, by)))


def twice(roi: Roi) -> Roi:
    """Return the voxels that a box of the coarser map is pooled from."""
    return Roi(add(roi.offset, roi.offset), add(roi.shape, roi.shape))
