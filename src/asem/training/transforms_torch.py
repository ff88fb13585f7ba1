"""Spatial and intensity transforms in torch, on the training device.

The formulas are those of `spatial_cpu` and `intensity_cpu`. Coordinates are stored, which costs
little with a GPU's bandwidth; regions and patches stay in its memory.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from asem.training.augmentation import IntensityTransform, SpatialTransform
from asem.training.intensity_cpu import gaussian_half_kernel
from asem.training.random_fields import NODE_SPACING
from asem.volume.roi import per_axis


def source_coordinates_on_device(transform: SpatialTransform, device: torch.device) -> Tensor:
    """Return the source position of each voxel of a patch, relative to the patch's centre.

    Returns
    -------
    Tensor
        float32, shape (3, *transform.shape), array voxels.
    """
    # The matrix times the index of a voxel is a sum of one term per axis.
    terms = [
        shift.T + np.outer(transform.matrix[:, axis], np.arange(size) - (size - 1) / 2)
        for axis, (size, shift) in enumerate(
            zip(transform.shape, transform.slice_shifts, strict=True)
        )
    ]
    on_device = torch.from_numpy(np.concatenate(terms, 1, dtype=np.float32)).to(device)
    source = _upsample(transform.displacement, transform.shape, device)
    for axis, term in enumerate(torch.split(on_device, list(transform.shape), 1)):
        shape = [3, 1, 1, 1]
        shape[1 + axis] = -1
        source += term.view(shape)
    return source


def warp_grey_on_device(
    voxels: Tensor,
    centre: npt.NDArray[np.float64],
    transform: SpatialTransform,
    source_coordinates: Tensor,
) -> Tensor:
    """Extract a patch of grey values, like `asem.training.spatial_cpu.warp_grey`.

    Parameters
    ----------
    voxels
        uint8 (z, y, x), on any device.
    centre, transform
        As for `warp_grey`.
    source_coordinates
        From `source_coordinates_on_device`.

    Returns
    -------
    Tensor
        float32, shape ``transform.shape``, in [0, 1].
    """
    extent = transform.source_half_extent(transform.shape)
    shape = np.array(voxels.shape)
    first = np.clip(np.floor(centre - extent).astype(int) - 1, 0, shape - 1)
    stop = np.clip(np.ceil(centre + extent).astype(int) + 2, first + 1, shape)
    box = voxels[per_axis(slice, first, stop)].to(torch.float32).mul_(1 / 255)
    # grid_sample's coordinates: -1 to 1 within the box. It ends where the array ends and reflects.
    scale = np.array([2 / (size - 1) if size > 1 else 0.0 for size in box.shape])
    start = (centre - first) * scale - (scale > 0)
    affine = torch.from_numpy(np.array([scale, start], np.float32)).to(voxels.device)
    scales, starts = affine.view(2, 3, 1, 1, 1)
    grid = torch.addcmul(starts, source_coordinates, scales)
    grid = grid.flip(0).permute(1, 2, 3, 0)[None]  # grid_sample's order is (x, y, z)
    patch = functional.grid_sample(
        box[None, None], grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )
    return patch[0, 0]


def warp_codes_on_device(
    codes: Tensor,
    centre: npt.NDArray[np.float64],
    source_coordinates: Tensor,
    *,
    edge: int,
    outside: int,
) -> Tensor:
    """Extract the middle `edge` voxels of a patch of labels, like `spatial_cpu.warp_codes`."""
    middle = per_axis(
        lambda n: slice((n - edge) // 2, (n - edge) // 2 + edge), source_coordinates.shape[1:]
    )
    nearest = torch.from_numpy(np.float32(centre + 0.5)).to(codes.device).view(3, 1, 1, 1)
    index = (source_coordinates[(slice(None), *middle)] + nearest).floor_().long()
    last = torch.tensor(codes.shape, device=codes.device).view(3, 1, 1, 1) - 1
    z, y, x = inside = index.clamp(torch.zeros_like(last), last)
    return torch.where((index == inside).all(0), codes[z, y, x], outside).to(torch.uint8)


def apply_intensity_on_device(grey: Tensor, transform: IntensityTransform) -> Tensor:
    """Change grey values in [0, 1] and scale to [-1, 1], like `intensity_cpu.apply_intensity`."""
    mean = grey.mean()
    for axis, sigma in enumerate(transform.blur):
        half = torch.from_numpy(gaussian_half_kernel(sigma)).to(grey.device)
        if len(half) == 1:
            continue
        weights = torch.cat([half[1:].flip(0), half])
        shape, pad = [1, 1, 1], [0] * 6
        shape[axis], pad[2 * (2 - axis)], pad[2 * (2 - axis) + 1] = -1, len(half) - 1, len(half) - 1
        padded = functional.pad(grey[None, None], pad, mode="replicate")
        grey = functional.conv3d(padded, weights.view(1, 1, *shape))[0, 0]
    out = (grey - mean) * transform.scale
    if transform.drift.any():
        gain, offset = _upsample(transform.drift, tuple(grey.shape), grey.device)
        out = out * (1 + gain) + offset
    out = (out + (mean + transform.shift)).clamp_(0, 1)
    if transform.gamma != 1:
        out = out.pow_(transform.gamma)
    if transform.noise > 0:
        generator = torch.Generator(grey.device).manual_seed(transform.seed)
        noise = torch.randn(out.shape, generator=generator, device=out.device)
        out = out.add_(noise, alpha=transform.noise).clamp_(0, 1)
    return out.mul_(2).sub_(1)


def _upsample(
    field: npt.NDArray[np.float32], shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Interpolate a field to every voxel of a patch: (channels, z, y, x)."""
    nodes = torch.from_numpy(field).to(device)[None]
    size = [(n - 1) * NODE_SPACING + 1 for n in field.shape[1:]]
    fine = functional.interpolate(nodes, size=size, mode="trilinear", align_corners=True)[0]
    z, y, x = shape
    return fine[:, :z, :y, :x].clone()
