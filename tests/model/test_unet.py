import pytest
import torch
from torch import nn

from asem.model.config import ModelConfig
from asem.model.unet import (
    UNet,
    context,
    context_behind,
    initialize_weights,
    lattice,
    output_size,
    valid_input_size,
)

PAPER = ModelConfig()
SHAPES = [
    ModelConfig(features=2, levels=1),
    ModelConfig(features=2, levels=2, convolutions=1),
    ModelConfig(features=2, levels=2, norm="batch"),
    ModelConfig(features=2, levels=3, growth=3),
    ModelConfig(features=1, levels=2, convolutions=3),
]


def seeded(config):
    net = UNet(config)
    initialize_weights(net, torch.Generator().manual_seed(0))
    return net.eval()


def test_the_papers_network():
    assert sum(p.numel() for p in UNet(PAPER).parameters()) == 5_837_730
    assert (output_size(PAPER, 204), context(PAPER), lattice(PAPER)) == (110, 47, 8)
    valid = [size for size in range(1, 240) if output_size(PAPER, size)]
    assert valid == list(range(100, 240, 8))
    assert all(output_size(PAPER, 100 + 8 * k) == 6 + 8 * k for k in range(17))


def test_the_papers_network_computes_what_it_says():
    with torch.inference_mode():
        out = UNet(PAPER).eval()(torch.zeros(1, 1, 108, 100, 108))
    assert out.shape == (1, 2, 14, 6, 14)


@pytest.mark.parametrize("config", SHAPES)
def test_computed_sizes_are_real_sizes(config):
    net = seeded(config)
    for at_least in (1, 5, 6):
        size = valid_input_size(config, at_least)
        with torch.inference_mode():
            out = net(torch.zeros(1, 1, size, size, size))
        assert out.shape[2:] == (output_size(config, size),) * 3
        assert out.shape[2] >= at_least
        assert size - out.shape[2] == 2 * context(config)


@pytest.mark.parametrize("config", SHAPES)
def test_a_shift_by_the_lattice_shifts_the_output(config):
    net, step = seeded(config).double(), lattice(config)
    size = valid_input_size(config, step + 1)
    wide = torch.randn(1, 1, size + step, size, size + step, dtype=torch.float64)
    with torch.inference_mode():
        whole = net(wide)
        shifted = net(wide[:, :, step:, :, step:])
    assert torch.allclose(whole[:, :, step:, :, step:], shifted, atol=1e-12)


@pytest.mark.parametrize("config", SHAPES)
def test_nothing_beyond_context_and_reach_is_seen(config):
    net, before, behind = seeded(config).double(), context(config), context_behind(config)
    size = valid_input_size(config, 3 * lattice(config))
    raw = torch.randn(1, 1, size, size, size, dtype=torch.float64)
    with torch.inference_mode():
        out = net(raw)
        for voxel in (0, lattice(config)):
            changed = raw.clone()
            changed[:, :, : max(0, voxel)] += 9
            changed[:, :, voxel + before + behind + 1 :] += 9
            same = net(changed)[:, :, voxel]
            assert torch.equal(same, out[:, :, voxel])


def test_weights_are_drawn_from_the_generator_with_he_variance():
    one, two = seeded(ModelConfig(features=16)), seeded(ModelConfig(features=16))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    conv = next(m for m in one.up[1].modules() if isinstance(m, nn.Conv3d))
    fan_in = conv.in_channels * 27
    assert conv.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
