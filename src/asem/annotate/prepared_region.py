"""Prepared region: what a graph cut computes once, before any strokes; and how it is cached."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from asem.annotate.energy import Cut
from asem.config import NmZYX
from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX

Arrays = dict[str, npt.NDArray[Any]]


class PreparedRegion(Protocol):
    """The part of a cut that does not depend on strokes; each energy has its own."""

    @property
    def shape(self) -> IntZYX:
        """Voxels."""

    def cut(
        self, strokes: npt.NDArray[np.integer], prior: npt.NDArray[np.uint8] | None = None
    ) -> Cut:
        """Cut the region by strokes in its shape, of both labels unless there is a prior."""

    def with_boundary(self, *, smoothing_nm: float, threshold: float) -> Self:
        """Return a region whose cuts have another boundary, as far as its energy supports it.

        Parameters
        ----------
        smoothing_nm, threshold
            As in `asem.annotate.membrane_energy.MembraneConfig`.
        """


@dataclass(frozen=True)
class CacheFormat:
    """How the prepared regions of an energy are stored as arrays.

    Parameters
    ----------
    settings
        Returns the part of the energy's settings that prepared regions depend on, as JSON values.
    specs
        Returns what arrays to expect, for a shape in voxels and a voxel size in nm.
    to_arrays
        Returns the arrays of a region.
    from_arrays
        Returns the region of arrays, a shape, a voxel size and settings; None where the arrays are
        inconsistent.
    """

    settings: Callable[[Any], dict[str, Any]]
    specs: Callable[[IntZYX, NmZYX], dict[str, ArraySpec]]
    to_arrays: Callable[[Any], Arrays]
    from_arrays: Callable[[Arrays, IntZYX, NmZYX, Any], PreparedRegion | None]
