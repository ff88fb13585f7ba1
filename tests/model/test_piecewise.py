import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from asem.model import piecewise
from asem.model.config import ModelConfig
from asem.model.device import describe
from asem.model.extent import flops_of, memory_of, needed
from asem.model.folded import Weights
from asem.model.piecewise import logits
from asem.model.unet import lattice, valid_input
from networks import seeded

NETS = [
    ModelConfig(features=3, levels=1),
    ModelConfig(features=3, levels=2, norm="batch"),
    ModelConfig(features=2, levels=2, convolutions=1),
    ModelConfig(features=2, levels=2, convolutions=3, growth=3),
    ModelConfig(features=2, levels=3, norm="batch"),
    ModelConfig(features=2, levels=3, convolutions=1),
    ModelConfig(features=2, levels=4),
]


@pytest.mark.parametrize("config", NETS)
@pytest.mark.parametrize("piece", [13, 200])
def test_it_is_what_the_network_gives(config, piece, rng):
    net, step = seeded(config), lattice(config)
    kept = (step, 3 * step, 2 * step)
    raw = torch.from_numpy(
        rng.uniform(-1, 1, [valid_input(config, n) for n in kept]).astype(np.float32)
    )
    with torch.inference_mode():
        z, y, x = (slice(0, n) for n in kept)
        expected = net(raw[None, None])[0, :, z, y, x]
        found = logits(Weights.of(net, torch.float32), raw, kept, piece=piece)
    assert expected.std() > 0.01
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_card_without_the_fused_convolution_is_named_once(monkeypatch, caplog):
    """cuDNN then says that it finds no engine; any other fault is one."""
    x, layer = torch.zeros(1, 1, 4, 4, 4), (torch.zeros(1, 1, 3, 3, 3), torch.zeros(1))

    def refuse(*_):
        raise RuntimeError(f"{reason}\nmore")

    for name in ("cudnn_convolution_relu", "cudnn_convolution_add_relu"):
        monkeypatch.setattr(torch, name, refuse)
    piecewise._warn_of_fallback.cache_clear()
    reason = "FIND was unable to find an engine to execute this computation"
    assert piecewise._fused(x, layer, None) is None
    assert piecewise._fused(x, layer, x) is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert describe(x.device) in record.getMessage()
    assert "no fused convolution" in record.getMessage()
    reason = "an illegal memory access was encountered"
    with pytest.raises(RuntimeError, match="illegal"):
        piecewise._fused(x, layer, None)


@pytest.mark.parametrize("config", NETS)
def test_no_more_is_needed_than_a_tile_reads(config):
    step = lattice(config)
    for kept in (step, 4 * step):
        need = needed(config, (kept,) * 3)
        assert min(need.source[0].offset) >= 0
        assert max(need.source[0].end) <= valid_input(config, kept)


@pytest.mark.parametrize("config", [ModelConfig(features=8, levels=3), ModelConfig(features=8)])
def test_the_memory_that_is_taken_is_about_what_is_told(config):
    """By the tensors that are alive at a time, as PyTorch's profiler sees them."""
    kept, piece = 48, 24
    raw = torch.zeros((valid_input(config, kept),) * 3)
    weights = Weights.of(seeded(config), torch.float32)
    with torch.inference_mode(), torch.profiler.profile(profile_memory=True) as profile:
        logits(weights, raw, (kept,) * 3, piece=piece)
    events = profile.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = np.cumsum([change for _, change in sorted(changes)])
    told = memory_of(config, (kept,) * 3, item=4, piece=piece)
    assert 0.5 * told < held.max() < 1.3 * told


@pytest.mark.parametrize("config", NETS)
def test_the_operations_are_those_that_pytorch_counts(config):
    kept = (2 * lattice(config),) * 3
    raw = torch.zeros([valid_input(config, n) for n in kept])
    weights = Weights.of(seeded(config), torch.float32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits(weights, raw, kept, piece=1000)
    # A doubled voxel may be computed whose twin is wanted only: at most one at each face.
    assert flops_of(config, kept) <= counter.get_total_flops() < 1.3 * flops_of(config, kept)
