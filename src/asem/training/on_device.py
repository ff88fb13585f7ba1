"""Warps and tones on the device that trains: the same formulas as `warp` and `tone`, in torch.

A GPU's bandwidth makes the stored coordinates cheap; regions and patches never leave it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from asem.training.augment import Tone, Warp
from asem.training.fields import STEP
from asem.training.tone import gaussian


def warp_grey_on_device(voxels: Tensor, centre: npt.NDArray[np.float64], warp: Warp) -> Tensor:
    """Cut a patch of grey values, as `asem.training.warp.warp_grey`.

    Parameters
    ----------
    voxels
        uint8 (z, y, x), on any device.
    centre, warp
        As there.

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
    # Reflection happens at the border of the array, where the box ends with it.
    source = _sources(warp, centre - first, voxels.device)
    for axis, size in enumerate(box.shape):
        scale = 2 / (size - 1) if size > 1 else 0.0
        source[axis].mul_(scale).sub_(1 if size > 1 else 0)
    grid = source.flip(0).permute(1, 2, 3, 0)[None]  # grid_sample wants (x, y, z)
    patch = functional.grid_sample(
        box[None, None], grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )
    return patch[0, 0]


def warp_codes_on_device(
    codes: Tensor, centre: npt.NDArray[np.float64], warp: Warp, *, edge: int, outside: int
) -> Tensor:
    """Cut the middle `edge` voxels of a patch of labels, as `asem.training.warp.warp_codes`."""
    parts = tuple(slice((n - edge) // 2, (n - edge) // 2 + edge) for n in warp.shape)
    source = _sources(warp, centre, codes.device)[(slice(None), *parts)]
    index = source.add_(0.5).floor_().long()
    inside = torch.ones_like(index[0], dtype=torch.bool)
    for axis, size in enumerate(codes.shape):
        inside &= (index[axis] >= 0) & (index[axis] < size)
        index[axis].clamp_(0, size - 1)
    return torch.where(inside, codes[index[0], index[1], index[2]], outside).to(torch.uint8)


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


def _sources(warp: Warp, centre: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    """Return where each voxel of a patch comes from: float32 (3, z, y, x), array voxels."""

    def there(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)

    first = there(centre - warp.matrix @ ((np.array(warp.shape) - 1) / 2))
    source = _upsampled(warp.field, warp.shape, device)
    source += first.view(3, 1, 1, 1)
    for axis, (size, shift) in enumerate(zip(warp.shape, warp.shifts, strict=True)):
        along = torch.arange(size, device=device, dtype=torch.float32)
        line = there(shift).T + there(warp.matrix[:, axis])[:, None] * along
        shape = [3, 1, 1, 1]
        shape[1 + axis] = size
        source += line.view(shape)
    return source


def _upsampled(
    field: npt.NDArray[np.float32], shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Return a field at every voxel of a patch: (channels, z, y, x)."""
    nodes = torch.from_numpy(field).to(device)[None]
    size = [(n - 1) * STEP + 1 for n in field.shape[1:]]
    fine = functional.interpolate(nodes, size=size, mode="trilinear", align_corners=True)[0]
    z, y, x = shape
    return fine[:, :z, :y, :x].clone()
