"""Generate the geometry of a synthetic cell."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from asem.config import Config, NmZYX
from asem.phantom.cell_geometry import CellGeometry
from asem.phantom.endoplasmic_reticulum import generate_er
from asem.phantom.free_space import FreeSpace
from asem.phantom.nuclear_envelope import estimate_area, generate_pores, generate_surface
from asem.phantom.organelles import generate_golgi, generate_mitochondria, generate_spheres
from asem.phantom.pits import generate_coated_vesicles, generate_pits, generate_secretory_pits

Preparation = Literal["cf", "hpfs"]
CELL_SHARE, NUCLEUS_SHARE = 0.54, 0.31
"""Semi-axes of cell and nucleus in units of the box, whose corners are outside of the cell."""
MAX_NUCLEUS_NM = 6000.0
FOLDS, MIN_FOLDED_NM = 3, 3000.0
"""Invaginations of a nucleus, and the smallest box whose nucleus has them."""
MITOCHONDRIA_SHARE = 0.1
"""Of the volume of the cytosol."""


class CellConfig(Config):
    """Contents of a synthetic cell."""

    preparation: Preparation = "hpfs"
    """Chemical fixation (``cf``) or high-pressure freezing (``hpfs``)."""
    pores: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Number of nuclear pores; None: 7 per square micrometre of the envelope."""
    pore_diameter_nm: Annotated[float, Field(ge=60, le=130)] = 92.0
    """Mean diameter of the pores."""
    pore_diameter_sd_nm: Annotated[float, Field(ge=0, le=100)] = 13.0
    """Standard deviation of their diameters; 0: all equal."""


def generate_cell(extent_nm: NmZYX, config: CellConfig, rng: np.random.Generator) -> CellGeometry:
    """Generate a cell whose nucleus is in the middle of a box, and fill its cytosol.

    Parameters
    ----------
    extent_nm
        Size of the box along (z, y, x).
    config
        Contents.
    rng
        Random generator.
    """
    extent = np.array(extent_nm)
    roughness = 1.0 if config.preparation == "cf" else 0.6
    centre = extent * (0.5 + rng.uniform(-0.03, 0.03, 3))
    axes = np.minimum(extent * NUCLEUS_SHARE * rng.uniform(0.92, 1.08, 3), MAX_NUCLEUS_NM)
    folds = FOLDS if extent.min() >= MIN_FOLDED_NM else 0
    nucleus = generate_surface(tuple(centre), tuple(axes), rng, roughness=roughness, folds=folds)
    cell = generate_surface(
        tuple(extent / 2), tuple(extent * CELL_SHARE), rng, roughness=1.5 * roughness
    )
    pores = generate_pores(
        nucleus,
        extent_nm,
        rng,
        count=config.pores,
        diameter_nm=config.pore_diameter_nm,
        diameter_sd_nm=config.pore_diameter_sd_nm,
    )
    space = FreeSpace.of_cytosol(extent_nm, cell, nucleus, float(max(25, extent.max() / 100)))
    um2 = estimate_area(cell, rng) / 1e6
    um3 = space.volume_um3
    pits = generate_pits(cell, extent_nm, (round(0.5 * um2), round(0.25 * um2)), space, rng)
    golgi, golgi_vesicles = generate_golgi(max(1, round(um3 / 10)), space, rng)
    endosomes = generate_spheres(round(0.25 * um3), (110, 190), space, rng, gap_nm=180)
    pits += generate_secretory_pits(endosomes, space, rng)
    tubules, sheets = generate_er(nucleus, pores, extent_nm, space, rng)
    mitochondria = generate_mitochondria(MITOCHONDRIA_SHARE * um3 * 1e9, space, rng)
    near = max(1, round(0.3 * um3))
    return CellGeometry(
        extent_nm,
        cell,
        nucleus,
        pores=pores,
        er_tubules=tubules,
        er_sheets=sheets,
        golgi=golgi,
        mitochondria=mitochondria,
        pits=pits,
        endosomes=endosomes,
        coated_vesicles=generate_coated_vesicles(cell, (near, near), space, rng),
        lysosomes=generate_spheres(round(0.3 * um3), (80, 170), space, rng),
        vesicles=golgi_vesicles
        + generate_spheres(round(2.5 * um3), (25, 45), space, rng, gap_nm=15),
    )
