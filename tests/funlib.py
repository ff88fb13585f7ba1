"""Checkpoints as the published pipeline writes them, and what its network computes from them."""

from collections import OrderedDict

import torch
from torch.nn import functional


def random_state(features=2, growth=2, levels=3, convolutions=2, *, inputs=1, classes=2, seed=0):
    """Return random weights by the names in the published pipeline."""
    generator = torch.Generator().manual_seed(seed)
    state = OrderedDict()

    def convolution(name, features_in, features_out):
        scale = (2 / (27 * features_in)) ** 0.5
        shape = (features_out, features_in, 3, 3, 3)
        state[f"{name}.weight"] = scale * torch.randn(shape, generator=generator)
        state[f"{name}.bias"] = 0.1 * torch.randn(features_out, generator=generator)

    def conv_pass(name, features_in, features_out):
        for number in range(convolutions):
            into = features_out if number else features_in
            convolution(f"{name}.conv_pass.{2 * number}", into, features_out)

    widths = [features * growth**level for level in range(levels)]
    for level, width in enumerate(widths):
        conv_pass(f"unet.l_conv.{level}", widths[level - 1] if level else inputs, width)
    for level in range(levels - 1):
        conv_pass(f"unet.r_conv.0.{level}", widths[level] + widths[level + 1], widths[level])
    convolution("final_conv_pass.conv_pass.0", features, classes)
    return state


def computed(state, raw):
    """Return the logits as funlib's U-Net computes them in evaluation mode, layer by layer.

    Valid convolutions with ReLU; poolings by 2; repeated voxels, cropped about their centre until
    what the convolutions will leave is a multiple of all the poolings from there on down; what
    comes from the left is cropped to the same size and goes first.
    """
    depth = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("unet.l_conv."))

    def convolved(x, name):
        return functional.conv3d(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def conv_pass(x, name):
        number = taken = 0
        while f"{name}.conv_pass.{number}.weight" in state:
            x = torch.relu(convolved(x, f"{name}.conv_pass.{number}"))
            number, taken = number + 2, taken + 2
        return x, taken

    def centre(x, sizes):
        for axis, size in zip((2, 3, 4), sizes, strict=True):
            x = x.narrow(axis, (x.shape[axis] - size) // 2, size)
        return x

    def from_level(level, x):
        left, taken = conv_pass(x, f"unet.l_conv.{level}")
        if level == depth - 1:
            return left
        assert all(size % 2 == 0 for size in left.shape[2:])
        below = from_level(level + 1, functional.max_pool3d(left, 2, 2))
        up = functional.interpolate(below, scale_factor=2, mode="nearest")
        factor = 2 ** (depth - 1 - level)
        sizes = [(size - taken) // factor * factor + taken for size in up.shape[2:]]
        both = torch.cat([centre(left, sizes), centre(up, sizes)], 1)
        return conv_pass(both, f"unet.r_conv.0.{level}")[0]

    with torch.inference_mode():
        return convolved(from_level(0, raw), "final_conv_pass.conv_pass.0")


def save(path, state, **more):
    """Write a checkpoint; returns its path."""
    torch.save({"model_state_dict": state, **more}, path)
    return path
