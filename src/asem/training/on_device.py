"""Warps and tones on the device that trains: the same formulas as `warp` and `tone`, in torch.

A GPU's bandwidth makes the stored coordinates cheap; regions and patches never leave it.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from asem.training.augment import Tone, Warp
from asem.training.fields import STEP
from asem.training.tone import gaussian


def sources_on_device(warp: Warp, device: torch.device) -> Tensor:
    """Return where each voxel of a patch comes from, seen from the patch's centre.

    Returns
    -------
    Tensor
        float32, shape (3, *warp.shape), array voxels.
    """
    # The matrix times the place of a voxel is a sum of one term for each axis.
    lines = [
        shift.T + np.outer(warp.matrix[:, axis], np.arange(size) - (size - 1) / 2)
        for axis, (size, shift) in enumerate(zip(warp.shape, warp.shifts, strict=True))
    ]
    moved = torch.from_numpy(np.concatenate(lines, 1, dtype=np.float32)).to(device)
    source = _upsampled(warp.field, warp.shape, device)
    for axis, line in enumerate(torch.split(moved, list(warp.shape), 1)):
        shape = [3, 1, 1, 1]
        shape[1 + axis] = -1
        source += line.view(shape)
    return source


def warp_grey_on_device(
    voxels: Tensor, centre: npt.NDArray[np.float64], warp: Warp, source: Tensor
) -> Tensor:
    """Cut a patch of grey values, as `asem.training.warp.warp_grey`.

    Parameters
    ----------
    voxels
        uint8 (z, y, x), on any device.
    centre, warp
        As there.
    source
        From `sources_on_device`.

    Returns
    -------
    Tensor
        float32, shape ``warp.shape``, in [0, 1].
    """
    extent = warp.half_extent(warp.shape)
    shape = np.array(voxels.shape)
    first = np.clip(np.floor(centre - extent).astype(int) - 1, 0, shape - 1)
    stop = np.clip(np.ceil(centre + extent).astype(int) + 2, first + 1, shape)
    parts = tuple(slice(a, b) for a, b in zip(first, stop, strict=True))
    box = voxels[parts].to(torch.float32).mul_(1 / 255)
    # Within the box, from -1 to 1. Where the array ends, and reflects, the box ends with it.
    scale = np.array([2 / (size - 1) if size > 1 else 0.0 for size in box.shape])
    start = (centre - first) * scale - (scale > 0)
    both = torch.from_numpy(np.array([scale, start], np.float32)).to(voxels.device)
    scales, starts = both.view(2, 3, 1, 1, 1)
    grid = torch.addcmul(starts, source, scales)
    grid = grid.flip(0).permute(1, 2, 3, 0)[None]  # grid_sample wants (x, y, z)
    patch = functional.grid_sample(
        box[None, None], grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )
    return patch[0, 0]


def warp_codes_on_device(
    codes: Tensor, centre: npt.NDArray[np.float64], source: Tensor, *, edge: int, outside: int
) -> Tensor:
    """Cut the middle `edge` voxels of a patch of labels, as `asem.training.warp.warp_codes`."""
    parts = tuple(slice((n - edge) // 2, (n - edge) // 2 + edge) for n in source.shape[1:])
    nearest = torch.from_numpy(np.float32(centre + 0.5)).to(codes.device).view(3, 1, 1, 1)
    index = (source[(slice(None), *parts)] + nearest).floor_().long()
    last = torch.tensor(codes.shape, device=codes.device).view(3, 1, 1, 1) - 1
    z, y, x = inside = index.clamp(torch.zeros_like(last), last)
    return torch.where((index == inside).all(0), codes[z, y, x], outside).to(torch.uint8)


def tone_on_device(grey: Tensor, tone: Tone) -> Tensor:
    """Change grey values in [0, 1] and scale them to [-1, 1], as `asem.training.tone.toned`."""
    mean = grey.mean()
    for axis, sigma in enumerate(tone.blur):
        half = torch.from_numpy(gaussian(sigma)).to(grey.device)
        if len(half) == 1:
            continue
        weights = torch.cat([half[1:].flip(0), half])
        shape, pad = [1, 1, 1], [0] * 6
        shape[axis], pad[2 * (2 - axis)], pad[2 * (2 - axis) + 1] = -1, len(half) - 1, len(half) - 1
        padded = functional.pad(grey[None, None], pad, mode="replicate")
        grey = functional.conv3d(padded, weights.view(1, 1, *shape))[0, 0]
    out = (grey - mean) * tone.scale
    if tone.drift.any():
        gain, offset = _upsampled(tone.drift, tuple(grey.shape), grey.device)
        out = out * (1 + gain) + offset
    out = (out + (mean + tone.shift)).clamp_(0, 1)
    if tone.gamma != 1:
        out = out.pow_(tone.gamma)
    if tone.noise > 0:
        generator = torch.Generator(grey.device).manual_seed(tone.seed)
        noise = torch.randn(out.shape, generator=generator, device=out.device)
        out = out.add_(noise, alpha=tone.noise).clamp_(0, 1)
    return out.mul_(2).sub_(1)


def _upsampled(
    field: npt.NDArray[np.float32], shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Return a field at every voxel of a patch: (channels, z, y, x)."""
    nodes = torch.from_numpy(field).to(device)[None]
    size = [(n - 1) * STEP + 1 for n in field.shape[1:]]
    fine = functional.interpolate(nodes, size=size, mode="trilinear", align_corners=True)[0]
    z, y, x = shape
    return fine[:, :z, :y, :x].clone()
