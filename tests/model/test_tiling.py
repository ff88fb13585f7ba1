import pytest
import torch

from asem.model.config import ModelConfig
from asem.model.tiling import find_largest_tile, plan_tiles, tile_memory_bytes
from asem.volume.roi import Roi


def test_a_tile_off_the_lattice_is_refused():
    with pytest.raises(ValueError, match="--tile 12 must be a multiple of 8"):
        plan_tiles(ModelConfig(), Roi((0, 0, 0), (9, 9, 9)), 12)


@pytest.mark.parametrize("edge", [8, 48, 104])
def test_the_largest_tile_is_the_last_that_fits(edge):
    config, cpu = ModelConfig(), torch.device("cpu")
    required = tile_memory_bytes(config, "32", cpu, edge)
    assert find_largest_tile(config, "32", cpu, required, memory_fraction=1) == edge
    assert find_largest_tile(config, "32", cpu, required - 1, memory_fraction=1) == max(8, edge - 8)
