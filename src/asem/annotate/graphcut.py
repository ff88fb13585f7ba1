"""Graph cut from strokes: prepare a region once, then cut it as often as strokes change.

`ENERGIES` lists the energies: that of `asem.annotate.membrane_energy`, the default, and the paper's
(`asem.annotate.paper_energy`). To add one between supervoxels, write a module with its settings and
its two terms (`asem.annotate.supervoxel_energy`), and add an entry; any other one needs a function
that prepares a region.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, create_model, field_validator, model_validator

from asem.annotate import membrane_energy, paper_energy
from asem.annotate.bins import bin_factors_of
from asem.annotate.edits import STROKE_LABELS
from asem.annotate.energy import Cut
from asem.annotate.membrane_cache import CACHE_FORMAT
from asem.annotate.prepared_region import CacheFormat, PreparedRegion
from asem.config import Config, NmZYX
from asem.volume.roi import IntZYX

VOXEL_BYTES, BIN_BYTES = 100, 120
"""Maximum memory per voxel, and additionally per bin, of preparing and cutting a region."""


@dataclass(frozen=True)
class EnergyEntry:
    """An energy that regions are cut by.

    Parameters
    ----------
    config
        Class of its settings, all with defaults.
    prepare
        Prepares a region: grey values in [0, 1] of shape (z, y, x), voxel size in nm, settings.
    cache
        How prepared regions are stored; None: they are prepared again each time.
    """

    config: type[Config]
    prepare: Callable[[npt.NDArray[np.float32], NmZYX, Any], PreparedRegion]
    cache: CacheFormat | None = None


ENERGIES = {
    "membranes": EnergyEntry(
        membrane_energy.MembraneConfig, membrane_energy.prepare, cache=CACHE_FORMAT
    ),
    "paper": EnergyEntry(paper_energy.PaperConfig, paper_energy.PAPER_TERMS.prepare),
}
"""Value of `GraphCutConfig.energy`, and name of its table of settings -> energy."""

_tables: dict[str, Any] = {name: (entry.config, entry.config()) for name, entry in ENERGIES.items()}
_EnergyTables: Any = create_model("_EnergyTables", __base__=Config, **_tables)


class GraphCutConfig(_EnergyTables, Config):
    """The energy, its settings, one table for each of `ENERGIES`, and the clean-up."""

    energy: str = "membranes"
    """A name in `ENERGIES`."""
    mixture_components: int = Field(0, ge=0, le=10)
    """Components of the optional clean-up (`asem.annotate.gaussian_mixture`); 0: no clean-up."""

    @property
    def energy_config(self) -> Any:
        """Settings of the selected energy."""
        return getattr(self, self.energy)

    @field_validator("energy")
    @classmethod
    def _check_energy(cls, energy: str) -> str:
        if energy not in ENERGIES:
            raise ValueError(f"give one of {', '.join(ENERGIES)}")
        return energy

    @model_validator(mode="after")
    def _check_unused_tables(self) -> Self:
        for name in ENERGIES:
            if name in self.model_fields_set and name != self.energy:
                raise ValueError(f'a table [{name}] has no effect where energy = "{self.energy}"')
        return self


def estimate_memory_bytes(shape: IntZYX, voxel_size: NmZYX) -> int:
    """Return the maximum memory of preparing and cutting a region, bytes."""
    return int(prod(shape) * (VOXEL_BYTES + BIN_BYTES / prod(bin_factors_of(shape, voxel_size))))


def prepare_region(
    intensity: npt.NDArray[np.float32], voxel_size: NmZYX, config: GraphCutConfig | None = None
) -> PreparedRegion:
    """Compute the part of a cut that does not depend on strokes.

    Parameters
    ----------
    intensity
        Grey values in [0, 1], shape (z, y, x).
    voxel_size
        nm.
    config
        The energy; None: the defaults.

    Raises
    ------
    ValueError
        All voxels are equal, or a setting does not fit the region.
    """
    config = config or GraphCutConfig()
    low, high = float(intensity.min()), float(intensity.max())
    if not high > low:
        raise ValueError(
            f"all grey values of the region are {low:g} (of 0 to 1): there is nothing to cut by"
        )
    return ENERGIES[config.energy].prepare(intensity, voxel_size, config.energy_config)


def cut_region(
    region: PreparedRegion,
    strokes: npt.NDArray[np.integer],
    prior: npt.NDArray[np.uint8] | None = None,
) -> Cut:
    """Cut a region by strokes.

    Parameters
    ----------
    region
        From `prepare_region`.
    strokes
        Shape (z, y, x): 1 foreground, 2 background, 0 nothing.
    prior
        Prediction of a network, the same shape: 255 times the probability of foreground. Strokes
        correct it; with it, they may be all 0.

    Raises
    ------
    ValueError
        The strokes or the prediction have another shape; strokes have other values, or, without a
        prediction, only one label; or the energy allows no prediction.
    """
    for name, array in (("strokes have", strokes), ("prediction has", prior)):
        if array is not None and array.shape != region.shape:
            raise ValueError(f"the {name} shape {array.shape}, the region {region.shape}")
    present = np.unique(strokes[strokes != 0]).tolist()
    invalid = [value for value in present if value not in STROKE_LABELS]
    if invalid:
        raise ValueError(f"strokes are 1 (foreground) and 2 (background), not {invalid[0]}")
    for label, name in zip(STROKE_LABELS, ("foreground (1)", "background (2)"), strict=True):
        if label not in present and prior is None:
            raise ValueError(f"there is no stroke of the {name} in the region; draw both kinds")
    return region.cut(strokes, prior)
