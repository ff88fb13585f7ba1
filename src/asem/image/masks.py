"""Where the cell is: a coarse mask from grey values (paper, Data preprocessing, step 5)."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from asem.blocks.output import Output
from asem.config import Config, Nm3
from asem.image.cleanup import cleaned
from asem.image.components import VOXEL_BYTES
from asem.image.halo import write_mapped
from asem.image.lookup import look_up
from asem.image.morphology import closed, opened, radii_of, warn_of_lost_width
from asem.volume.contrast import to_unit, window_of
from asem.volume.roi import Triple, add
from asem.volume.volume import Volume


class MaskConfig(Config):
    """What counts as the cell; the paper tunes the numbers for each data set by eye.

    The defaults are those of its published code, there in voxels of 5 nm: opening by a ball of 3,
    closing by a ball of 2, holes and objects of less than 100,000. Radii in voxels are rounded half
    up along each axis; along an axis whose voxels are more than twice as large as the radius,
    nothing is opened or closed, and a warning names it.
    """

    above: float = Field(2, ge=0, le=255)
    """Sample is brighter than this: 0-255, for other dtypes than uint8 in the contrast window."""
    below: float = Field(180, ge=0, le=256)
    """And darker than this."""
    opening_nm: float = Field(15, ge=0)
    """Radius of the ball that removes specks."""
    closing_nm: float = Field(10, ge=0)
    """Radius of the ball that closes gaps, afterwards."""
    largest_hole_nm3: float = Field(12.5e6, ge=0)
    """Holes of less are filled."""
    smallest_nm3: float = Field(12.5e6, ge=0)
    """Then objects of less are dropped."""

    @model_validator(mode="after")
    def _some_grey_value(self) -> Self:
        if self.above >= self.below:
            raise ValueError(f"above {self.above} and below {self.below} leave no grey value")
        return self


def coarse_mask(
    grey: npt.NDArray[Any], window: tuple[float, float], voxel_size: Nm3, config: MaskConfig
) -> npt.NDArray[np.bool_]:
    """Return where the grey value is the sample's, opened and closed by balls.

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
    sample = _within(grey, window, config)
    sample = opened(sample, radii_of(config.opening_nm, voxel_size))
    return closed(sample, radii_of(config.closing_nm, voxel_size))


def _within(
    grey: npt.NDArray[Any], window: tuple[float, float], config: MaskConfig
) -> npt.NDArray[np.bool_]:
    """Return where the grey value is the sample's; 8 and 16 bits are looked up."""
    if grey.dtype in (np.uint8, np.uint16):
        every = np.arange(np.iinfo(grey.dtype).max + 1).astype(np.float32)
        return look_up(_within(every, window, config), grey)
    level = to_unit(grey, window) * np.float32(255)
    return np.asarray((level > config.above) & (level < config.below))


def mask_halo(voxel_size: Nm3, config: MaskConfig) -> Triple:
    """Return how far around a block its coarse mask depends on grey values."""
    opening = radii_of(config.opening_nm, voxel_size)
    closing = radii_of(config.closing_nm, voxel_size)
    return add(add(opening, opening), add(closing, closing))


def write_mask(output: Output, raw: Volume, config: MaskConfig) -> None:
    """Write the mask of a volume: coarse, then holes filled and objects dropped, across blocks.

    Parameters
    ----------
    output
        Of the shape of `raw`.
    raw
        The image.
    config
        What counts as the cell.
    """
    window, voxel_size = window_of(raw), raw.voxel_size
    coarse = output.scratch_volume("coarse", np.uint8)
    for what, radius_nm in (("opening", config.opening_nm), ("closing", config.closing_nm)):
        lost = radii_of(radius_nm, voxel_size)
        warn_of_lost_width(f"mask: {what} by a ball", radius_nm, voxel_size, lost)

    def threshold(grey: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return coarse_mask(grey, window, voxel_size, config)

    halo = mask_halo(voxel_size, config)
    write_mapped(output, raw, threshold, halo, stage="coarse mask", target=coarse)
    clean = cleaned(
        output,
        output.volume.like(coarse),
        largest_hole_nm3=config.largest_hole_nm3,
        smallest_nm3=config.smallest_nm3,
    )
    output.fill(clean, stage="mask", voxel_bytes=VOXEL_BYTES)
