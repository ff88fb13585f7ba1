"""Receptive field of a tile at each level of the U-Net; the memory and operations that it takes."""

from dataclasses import dataclass

from asem.model.config import ModelConfig
from asem.model.unet import CLASSES, KERNEL, level_crops
from asem.volume.roi import IntZYX, Roi, add

LevelCrop = tuple[tuple[int, int], tuple[int, int]]
"""Item of `level_crops`."""


@dataclass(frozen=True)
class RequiredInput:
    """Receptive field of a tile at each level, the finest first.

    Parameters
    ----------
    outputs
        Boxes of the level's output: of the decoder, or of the coarsest level.
    skips
        Boxes of the skip connections, from encoder to decoder; none at the coarsest level.
    inputs
        Boxes of the level's input: raw, or the pooled feature map.
    """

    outputs: tuple[Roi, ...]
    skips: tuple[Roi, ...]
    inputs: tuple[Roi, ...]


def find_required_input(config: ModelConfig, tile_shape: IntZYX) -> RequiredInput:
    """Return the receptive field of a tile, computed backwards from its output."""
    outputs, skips = [pad_end(Roi.of_shape(tile_shape), KERNEL - 1)], []
    for crop in level_crops(config):
        skip, coarser = upward_inputs_of(config, outputs[-1], crop)
        skips.append(skip)
        outputs.append(coarser)
    inputs = [convolution_input_of(config, outputs[-1])]
    for _ in skips:
        inputs.append(convolution_input_of(config, pooling_input_of(inputs[-1])))
    return RequiredInput(tuple(outputs), tuple(skips), tuple(inputs[::-1]))


def estimate_memory_bytes(
    config: ModelConfig, tile_shape: IntZYX, *, item_bytes: int, piece_edge: int
) -> int:
    """Estimate the peak memory of `tiled_logits`, bytes.

    Parameters
    ----------
    config
        The network.
    tile_shape
        Output shape of the tile.
    item_bytes
        Bytes per value.
    piece_edge
        Edge of the pieces in which a level is computed, voxels.
    """
    required, widths = find_required_input(config, tile_shape), config.features_per_level
    skips = [w * roi.size for w, roi in zip(widths, required.skips, strict=False)]
    inputs = [w * roi.size for w, roi in zip([1, *widths], required.inputs, strict=False)]
    outputs = [w * roi.size for w, roi in zip(widths, required.outputs, strict=True)]
    outputs[0] = CLASSES * 2 * Roi.of_shape(tile_shape).size  # and the same in float32
    down = [sum(skips[: n + 1]) + sum(inputs[n : n + 2]) for n in range(len(skips))]
    up = [sum(skips[: n + 1]) + sum(outputs[n : n + 2]) for n in range(len(skips))]
    coarsest = sum(skips) + inputs[-1] + outputs[-1]
    # Copies of a piece's input, its parities separate and interleaved, and two convolutions.
    reads = [convolution_input_of(config, roi).shape for roi in required.outputs]
    edges = [
        (w, [min(piece_edge + 8, n) for n in shape]) for w, shape in zip(widths, reads, strict=True)
    ]
    workspace = max(6 * w * z * y * x for w, (z, y, x) in edges)
    return int(item_bytes * (max([coarsest, *down, *up]) + inputs[0] + workspace))


def count_flops(config: ModelConfig, tile_shape: IntZYX) -> int:
    """Return a lower bound of the floating-point operations of a tile's convolutions.

    A product and a sum are two; halos of pieces, which are computed twice, do not count.

    Examples
    --------
    Per voxel; with `UNet.forward` on blocks of 204 voxels it is 1.18e6:

    >>> round(count_flops(ModelConfig(), (256, 256, 256)) / 256**3)
    567236
    """
    required, last = find_required_input(config, tile_shape), config.convolutions - 1
    widths = config.features_per_level
    products: int = Roi.of_shape(tile_shape).size * widths[0] * CLASSES * KERNEL**3
    for level, (width, level_input) in enumerate(zip(widths, required.inputs, strict=True)):
        features_in = widths[level - 1] if level else 1
        for number in range(config.convolutions):
            roi = pad_end(level_input, -(number + 1) * (KERNEL - 1))
            products += roi.size * width * KERNEL**3 * (width if number else features_in)
    for width, coarser, output in zip(widths, widths[1:], required.outputs, strict=False):
        for number in range(config.convolutions):
            roi = pad_end(output, (last - number) * (KERNEL - 1))
            read = width * KERNEL**3 + (0 if number else coarser * 2**3)
            products += roi.size * width * read
    return 2 * products


def upward_inputs_of(config: ModelConfig, output: Roi, crop: LevelCrop) -> tuple[Roi, Roi]:
    """Return the boxes of skip and coarser map that a box of a decoder level depends on."""
    (skip, _), (upsampled, _) = crop
    read = convolution_input_of(config, output)
    fine = read.shift((upsampled, upsampled, upsampled))
    coarser = Roi.from_bounds([o // 2 for o in fine.offset], [-(-e // 2) for e in fine.end])
    return read.shift((skip, skip, skip)), coarser


def convolution_input_of(config: ModelConfig, output: Roi) -> Roi:
    """Return the input box of a level's convolutions for an output box."""
    return pad_end(output, config.convolutions * (KERNEL - 1))


def pad_end(roi: Roi, voxels: int) -> Roi:
    """Return a box extended by `voxels` at the end of each axis."""
    return Roi(roi.offset, add(roi.shape, (voxels, voxels, voxels)))


def pooling_input_of(roi: Roi) -> Roi:
    """Return the box of the finer map that a box of the coarser map is pooled from."""
    return Roi(add(roi.offset, roi.offset), add(roi.shape, roi.shape))
