"""From strokes of foreground and background to all voxels: the cut of least energy.

Two energies are there: that of `asem.annotate.membranes`, the default, and the paper's
(`asem.annotate.paper`). What of them does not depend on strokes is a region; it is made once.
"""

from math import prod
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from asem.annotate.energy import Cut
from asem.annotate.fragments import bins_of
from asem.annotate.membranes import MembraneConfig, MembraneRegion
from asem.annotate.paper import PaperConfig, PaperRegion
from asem.annotate.strokes import KINDS
from asem.config import Config, Nm3
from asem.volume.roi import Triple

VOXEL_BYTES, BIN_BYTES = 100, 120
"""Memory of a voxel, and of a bin of voxels besides, at most, while a region is prepared or cut."""


LEAST_WIDTH = 64
"""Voxels that a Gaussian may be wide in regions that are smaller."""


class GraphCutConfig(Config):
    """Which energy, and its weights."""

    energy: Literal["membranes", "paper"] = "membranes"
    """Fragments between membranes, or the paper's supervoxels."""
    mixture: int = Field(0, ge=0, le=10)
    """Components of the optional clean-up (`asem.annotate.mixture`); 0 leaves the cut as it is."""
    membranes: MembraneConfig = MembraneConfig()
    """Of the first."""
    paper: PaperConfig = PaperConfig()
    """Of the second."""

    @model_validator(mode="after")
    def _only_what_counts(self) -> Self:
        for name in ("membranes", "paper"):
            if name in self.model_fields_set and name != self.energy:
                raise ValueError(f'a table [{name}] says nothing where energy = "{self.energy}"')
        return self


class Region(Protocol):
    """What of a region does not depend on strokes."""

    @property
    def shape(self) -> Triple:
        """Voxels."""

    def cut(
        self, strokes: npt.NDArray[np.integer], guess: npt.NDArray[np.uint8] | None = None
    ) -> Cut:
        """Cut it by strokes, in its shape; of both kinds unless there is a guess."""


def memory_of(shape: Triple, voxel_size: Nm3) -> int:
    """Return the bytes that preparing and cutting a region takes at most."""
    return int(prod(shape) * (VOXEL_BYTES + BIN_BYTES / prod(bins_of(shape, voxel_size))))


def prepared(
    unit: npt.NDArray[np.float32], voxel_size: Nm3, config: GraphCutConfig | None = None
) -> Region:
    """Do what needs no strokes.

    Parameters
    ----------
    unit
        Grey values in [0, 1], shape (z, y, x).
    voxel_size
        nm.
    config
        The energy; None: the defaults.

    Raises
    ------
    ValueError
        All voxels are equal.
    """
    config = config or GraphCutConfig()
    low, high = float(unit.min()), float(unit.max())
    if not high > low:
        raise ValueError(
            f"all grey values of the region are {low:g} (of 0 to 1): there is nothing to cut by"
        )
    if config.energy == "paper":
        return PaperRegion.of(unit, voxel_size, config.paper)
    check_widths(unit.shape, voxel_size, config.membranes)
    return MembraneRegion.of(unit, voxel_size, config.membranes)


def check_widths(shape: tuple[int, ...], voxel_size: Nm3, config: MembraneConfig) -> None:
    """Raise ValueError where a Gaussian is wider than a region: it takes its width a voxel."""
    widths = {
        "fragments.membrane_nm": config.fragments.membrane_nm,
        "smoothing_nm": config.smoothing_nm,
    }
    widest = max(LEAST_WIDTH, *shape)
    for name, width_nm in widths.items():
        voxels = width_nm / min(voxel_size)
        if voxels > widest:
            raise ValueError(
                f"'membranes.{name}': {width_nm:g} nm are {voxels:.4g} voxels; at most {widest}, "
                "as many as the region has, are allowed: check that it is in nm, and the voxel size"
            )


def cut(
    region: Region,
    strokes: npt.NDArray[np.integer],
    guess: npt.NDArray[np.uint8] | None = None,
) -> Cut:
    """Cut a region by strokes.

    Parameters
    ----------
    region
        From `prepared`.
    strokes
        Shape (z, y, x): 1 foreground, 2 background, 0 nothing.
    guess
        What a network predicts, the same shape: 255 p. Strokes correct it; there need be none.

    Raises
    ------
    ValueError
        Strokes or a guess of another shape, strokes of other values, or, without a guess, not of
        both kinds; a guess where the energy is the paper's.
    """
    for name, array in (("strokes have", strokes), ("guess has", guess)):
        if array is not None and array.shape != region.shape:
            raise ValueError(f"the {name} shape {array.shape}, the region {region.shape}")
    there = np.unique(strokes[strokes != 0]).tolist()
    others = [value for value in there if value not in KINDS]
    if others:
        raise ValueError(f"strokes are 1 (foreground) and 2 (background), not {others[0]}")
    for kind, name in zip(KINDS, ("foreground (1)", "background (2)"), strict=True):
        if kind not in there and guess is None:
            raise ValueError(f"there is no stroke of the {name} in the region; draw both kinds")
    return region.cut(strokes, guess)
