"""Coarse sample mask from grey values: threshold, opening, closing, clean-up.

Paper, Data preprocessing, step 5.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from asem.blocks.output_image import OutputImage
from asem.config import Config, NmZYX
from asem.image.cleanup import clean_labels
from asem.image.components import LABELLING_VOXEL_BYTES
from asem.image.lookup_table import apply_lookup_table
from asem.image.map_overlap import map_overlap
from asem.image.morphology import binary_closing, binary_opening, radii_in_voxels, warn_zero_radius
from asem.volume.contrast import contrast_window_of, scale_to_unit
from asem.volume.roi import IntZYX, add
from asem.volume.volume import Volume


class MaskConfig(Config):
    """Settings of the sample mask; the paper tunes the numbers for each data set by eye.

    The defaults are those of its published code, there in voxels of 5 nm: opening by a ball of 3,
    closing by a ball of 2, holes and objects of less than 100,000. Radii in voxels are rounded half
    up along each axis; along an axis whose voxels are more than twice as large as the radius,
    nothing is opened or closed, and a warning is logged.
    """

    above: float = Field(2, ge=0, le=255)
    """The sample is brighter: 0-255; for dtypes other than uint8, within the contrast window."""
    below: float = Field(180, ge=0, le=256)
    """The sample is darker."""
    opening_nm: float = Field(15, ge=0)
    """Radius of the ball of the opening, which removes specks."""
    closing_nm: float = Field(10, ge=0)
    """Radius of the ball of the closing, which follows."""
    largest_hole_nm3: float = Field(12.5e6, ge=0)
    """Smaller holes are filled."""
    smallest_nm3: float = Field(12.5e6, ge=0)
    """Smaller objects are removed afterwards."""

    @model_validator(mode="after")
    def _check_grey_range(self) -> Self:
        if self.above >= self.below:
            raise ValueError(f"above {self.above} and below {self.below} leave no grey value")
        return self


def coarse_mask(
    grey: npt.NDArray[Any], window: tuple[float, float], voxel_size: NmZYX, config: MaskConfig
) -> npt.NDArray[np.bool_]:
    """Return the voxels with a grey value of the sample, opened and closed by balls.

    Parameters
    ----------
    grey
        Shape (z, y, x), any real dtype.
    window
        Grey values of black and white.
    voxel_size
        nm.
    config
        Grey values and radii.
    """
    sample = _in_grey_range(grey, window, config)
    sample = binary_opening(sample, radii_in_voxels(config.opening_nm, voxel_size))
    return binary_closing(sample, radii_in_voxels(config.closing_nm, voxel_size))


def _in_grey_range(
    grey: npt.NDArray[Any], window: tuple[float, float], config: MaskConfig
) -> npt.NDArray[np.bool_]:
    """Return the voxels with a grey value of the sample; 8 and 16 bits by a lookup table."""
    if grey.dtype in (np.uint8, np.uint16):
        all_values = np.arange(np.iinfo(grey.dtype).max + 1).astype(np.float32)
        return apply_lookup_table(_in_grey_range(all_values, window, config), grey)
    scaled = scale_to_unit(grey, window) * np.float32(255)
    return np.asarray((scaled > config.above) & (scaled < config.below))


def mask_halo(voxel_size: NmZYX, config: MaskConfig) -> IntZYX:
    """Return the halo of a block, in voxels, on which its coarse mask depends."""
    opening = radii_in_voxels(config.opening_nm, voxel_size)
    closing = radii_in_voxels(config.closing_nm, voxel_size)
    return add(add(opening, opening), add(closing, closing))


def write_mask(output: OutputImage, raw: Volume, config: MaskConfig) -> None:
    """Write the sample mask of a volume: coarse mask, fill small holes, remove small objects.

    Parameters
    ----------
    output
        Runs the blocks; of the shape of `raw`.
    raw
        The image.
    config
        Grey values, radii and sizes.
    """
    window, voxel_size = contrast_window_of(raw), raw.voxel_size
    coarse = output.scratch_volume("coarse", np.uint8)
    for what, radius_nm in (("opening", config.opening_nm), ("closing", config.closing_nm)):
        radii = radii_in_voxels(radius_nm, voxel_size)
        warn_zero_radius(f"mask: {what} by a ball", radius_nm, voxel_size, radii)

    def compute_mask(grey: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return coarse_mask(grey, window, voxel_size, config)

    halo = mask_halo(voxel_size, config)
    map_overlap(output, raw, compute_mask, halo, stage="coarse mask", target=coarse)
    read_cleaned = clean_labels(
        output,
        output.volume.with_array(coarse),
        largest_hole_nm3=config.largest_hole_nm3,
        smallest_nm3=config.smallest_nm3,
    )
    output.fill(read_cleaned, stage="mask", voxel_bytes=LABELLING_VOXEL_BYTES)
