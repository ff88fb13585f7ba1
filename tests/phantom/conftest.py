"""A small synthetic cell and its volume, shared by the tests of the phantom."""

import numpy as np
import pytest

from asem.phantom.generate_cell import CellConfig, generate_cell
from asem.phantom.synthetic_volume import SyntheticVolume

EXTENT_NM = (1500.0, 1600.0, 1700.0)


@pytest.fixture(scope="session")
def small_cell():
    """A cell of 1.5 micrometres."""
    return generate_cell(EXTENT_NM, CellConfig(), np.random.default_rng(5))


@pytest.fixture(scope="session")
def small_volume(small_cell):
    """The cell at 10 nm."""
    shape = tuple(round(extent / 10) for extent in EXTENT_NM)
    return SyntheticVolume.of_cell(small_cell, shape, (10.0,) * 3, preparation="hpfs", seed=5)
