"""Specimens: the electron density of a synthetic cell, block by block, for two preparations."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import Config
from asem.phantom.frame import COARSE_NM, CoarseGrid, Float32, Frame, coarse_extent
from asem.phantom.membrane_layers import Layers
from asem.phantom.random_values import lattice_noise
from asem.phantom.stain_kernels import add_dots, add_grain, stain

GRAIN_NM3 = 125.0
"""Volume of a voxel for which `StainConfig.grain` is stated: noise of voxels varies with it."""


class StainConfig(Config):
    """Electron density of the parts of a cell: 0 in resin, 1 in the darkest membrane."""

    membrane: float
    plasma_membrane: float
    """Also that of its pits."""
    cytosol: float
    nucleoplasm: float
    heterochromatin: float
    """Added to that of the nucleoplasm."""
    pore: float
    """Added within a nuclear pore."""
    coat: float
    """Added at coated membranes."""
    er_lumen: float
    golgi_lumen: float
    matrix: float
    """Of mitochondria."""
    crista: float
    """Of the membranes of cristae."""
    vesicle_lumen: float
    lysosome_lumen: float
    endosome_lumen: float
    ribosome: float
    """Added by a ribosome."""
    ribosomes: tuple[float, float]
    """Probability per lattice cell of 27 nm: in the cytosol, at the membrane of the ER."""
    granule: float
    """Added by a granule of the nucleus."""
    granules: float
    """Their probability per lattice cell of 27 nm."""
    matrix_granule: float
    """Added by a granule of the matrix of mitochondria."""
    matrix_granules: float
    """Their probability per lattice cell of 27 nm."""
    grain: float
    """Standard deviation of the number of molecules in a voxel of 5 nm, relative to its root."""


STAINS = {
    "hpfs": StainConfig(
        membrane=0.72, plasma_membrane=0.95,
        cytosol=0.15, nucleoplasm=0.17, heterochromatin=0.1, pore=0.1, coat=0.42,
        er_lumen=0.26, golgi_lumen=0.26, matrix=0.22, crista=0.7, vesicle_lumen=0.2,
        lysosome_lumen=0.6, endosome_lumen=0.12, ribosome=0.56, ribosomes=(0.85, 0.9), granule=0.45,
        granules=0.8, matrix_granule=0.4, matrix_granules=0.8, grain=0.95,
    ),
    "cf": StainConfig(
        membrane=0.9, plasma_membrane=1.0,
        cytosol=0.23, nucleoplasm=0.28, heterochromatin=0.22, pore=0.12, coat=0.42,
        er_lumen=0.1, golgi_lumen=0.14, matrix=0.44, crista=0.6, vesicle_lumen=0.1,
        lysosome_lumen=0.7, endosome_lumen=0.07, ribosome=0.27, ribosomes=(0.8, 0.85), granule=0.3,
        granules=0.8, matrix_granule=0.1, matrix_granules=0.8, grain=0.35,
    ),
}  # fmt: skip
"""Presets of the two preparations: high-pressure freezing and chemical fixation."""


@njit(cache=True, nogil=True, parallel=True)
def _fill_noise(grid, first, steps, seed):  # type: ignore[no-untyped-def]
    """Fill a grid whose first index is `first` with octaves of smooth noise of these steps."""
    for i in prange(grid.shape[0]):
        for j in range(grid.shape[1]):
            for k in range(grid.shape[2]):
                total = 0.0
                for n in range(len(steps)):
                    total += lattice_noise(
                        seed + n,
                        (first[0] + i) * steps[n],
                        (first[1] + j) * steps[n],
                        (first[2] + k) * steps[n],
                    )
                grid[i, j, k] = total / len(steps) * 1.6


def sample_noise(frame: Frame, lengths_nm: tuple[float, ...], seed: int) -> CoarseGrid:
    """Return smooth noise in about [-1, 1] around a frame, with octaves of these lengths."""
    first, shape = coarse_extent(frame)
    grid = np.empty(shape, np.float32)
    index = np.rint(first / COARSE_NM).astype(np.int64)
    _fill_noise(grid, index, COARSE_NM / np.array(lengths_nm), np.uint64(seed))
    return CoarseGrid(grid, first)


def stain_block(
    layers: Layers,
    frame: Frame,
    first_voxel: npt.NDArray[np.int64],
    config: StainConfig,
    noises: tuple[CoarseGrid, CoarseGrid],
    seed: int,
) -> Float32:
    """Return the electron density of a block.

    Parameters
    ----------
    layers, frame
        The block.
    first_voxel
        Index of its first voxel in the volume.
    config
        Preparation.
    noises
        Chromatin and texture, on grids that cover the frame.
    seed
        Of ribosomes, granules and grain.

    Returns
    -------
    ndarray
        float32; 0 in resin, about 1 in the darkest membrane.
    """
    chromatin, texture = (noise.interpolate(frame) for noise in noises)
    density = np.empty(frame.shape, np.float32)
    inside = np.array(
        [0, 0, 0, config.endosome_lumen, config.er_lumen, config.golgi_lumen, config.matrix,
         config.vesicle_lumen, config.vesicle_lumen, config.lysosome_lumen, config.endosome_lumen],
        np.float32,
    )  # fmt: skip
    stains = np.array(
        [config.membrane, config.cytosol, config.nucleoplasm, config.heterochromatin, config.pore,
         config.coat, config.crista, config.plasma_membrane], np.float32,
    )  # fmt: skip
    stain(
        density, layers.distance, layers.kind, layers.number, layers.nucleus, layers.gap,
        chromatin, texture, inside, stains, first_voxel, *frame.geometry[1:],
    )  # fmt: skip
    amounts = np.array(
        [*config.ribosomes, config.ribosome, config.granules, config.granule,
         config.matrix_granules, config.matrix_granule], np.float32,
    )  # fmt: skip
    add_dots(
        density, layers.distance, layers.kind, layers.nucleus, texture, first_voxel, amounts,
        np.uint64(seed), *frame.geometry[1:],
    )  # fmt: skip
    grain = np.float32(config.grain * np.sqrt(GRAIN_NM3 / np.prod(frame.voxel_size)))
    add_grain(density, first_voxel, grain, np.uint64(seed + 1))
    return density
