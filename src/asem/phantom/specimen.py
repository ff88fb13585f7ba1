"""Specimens: the electron density of a synthetic cell, block by block, for two preparations."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import Config
from asem.phantom.frame import COARSE_NM, CoarseGrid, Float32, Frame, coarse_extent
from asem.phantom.membrane_layers import Layers
from asem.phantom.random_values import lattice_noise
from asem.phantom.stain_kernels import add_dots, add_grain, stain


class StainConfig(Config):
    """Electron density of the parts of a cell: 0 in resin, 1 in the darkest membrane."""

    membrane: float
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
    vesicle_lumen: float
    lysosome_lumen: float
    endosome_lumen: float
    ribosome: float
    """Added by a ribosome."""
    ribosomes: tuple[float, float]
    """Probability of a ribosome per 30 nm cube: in the cytosol, at the membrane of the ER."""
    granule: float
    """Added by a granule of the nucleus."""
    granules: float
    """Their probability per 30 nm cube."""
    grain: float
    """Of the fine texture."""


STAINS = {
    "hpfs": StainConfig(
        membrane=0.78, cytosol=0.18, nucleoplasm=0.2, heterochromatin=0.1, pore=0.1, coat=0.3,
        er_lumen=0.3, golgi_lumen=0.27, matrix=0.42, vesicle_lumen=0.2, lysosome_lumen=0.6,
        endosome_lumen=0.12, ribosome=0.75, ribosomes=(0.42, 0.6), granule=0.5, granules=0.4,
        grain=0.16,
    ),
    "cf": StainConfig(
        membrane=0.95, cytosol=0.2, nucleoplasm=0.22, heterochromatin=0.22, pore=0.12, coat=0.35,
        er_lumen=0.1, golgi_lumen=0.14, matrix=0.45, vesicle_lumen=0.1, lysosome_lumen=0.7,
        endosome_lumen=0.07, ribosome=0.7, ribosomes=(0.2, 0.7), granule=0.5, granules=0.35,
        grain=0.2,
    ),
}  # fmt: skip
"""Presets of the two preparations: high-pressure freezing and chemical fixation."""


@njit(cache=True, nogil=True, parallel=True)
def _fill_noise(grid, first, spacing, lengths, seed):  # type: ignore[no-untyped-def]
    """Fill a grid with smooth noise, the mean of one octave for each length."""
    for i in prange(grid.shape[0]):
        for j in range(grid.shape[1]):
            for k in range(grid.shape[2]):
                total = 0.0
                for n in range(len(lengths)):
                    step = spacing / lengths[n]
                    total += lattice_noise(
                        seed + n,
                        first[0] / lengths[n] + i * step,
                        first[1] / lengths[n] + j * step,
                        first[2] / lengths[n] + k * step,
                    )
                grid[i, j, k] = total / len(lengths) * 1.6


def sample_noise(frame: Frame, lengths_nm: tuple[float, ...], seed: int) -> CoarseGrid:
    """Return smooth noise in about [-1, 1] around a frame, with octaves of these lengths."""
    first, shape = coarse_extent(frame)
    grid = np.empty(shape, np.float32)
    _fill_noise(grid, first, COARSE_NM, np.array(lengths_nm), np.uint64(seed))
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
        [0, 0, 0, config.er_lumen, config.golgi_lumen, config.matrix, config.vesicle_lumen,
         config.vesicle_lumen, config.lysosome_lumen, config.endosome_lumen], np.float32,
    )  # fmt: skip
    stains = np.array(
        [config.membrane, config.cytosol, config.nucleoplasm, config.heterochromatin, config.pore,
         config.coat], np.float32,
    )  # fmt: skip
    stain(
        density, layers.distance, layers.kind, layers.along, layers.nucleus, layers.gap,
        chromatin, texture, inside, stains,
    )  # fmt: skip
    amounts = np.array(
        [*config.ribosomes, config.ribosome, config.granules, config.granule], np.float32
    )
    add_dots(
        density, layers.distance, layers.kind, layers.nucleus, first_voxel, amounts,
        np.uint64(seed), *frame.geometry,
    )  # fmt: skip
    add_grain(density, first_voxel, np.float32(config.grain), np.uint64(seed + 1))
    return density
