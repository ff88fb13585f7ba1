import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from asem.model import tiled_forward
from asem.model.config import ModelConfig
from asem.model.device import describe_device
from asem.model.fused_upsampling import FusedWeights
from asem.model.receptive_field import count_flops, estimate_memory_bytes, find_required_input
from asem.model.tiled_forward import tiled_logits
from asem.model.unet import lattice, valid_input_size
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
def test_equals_the_forward_pass_of_the_network(config, piece, rng):
    net, step = seeded(config), lattice(config)
    tile_shape = (step, 3 * step, 2 * step)
    raw = torch.from_numpy(
        rng.uniform(-1, 1, [valid_input_size(config, n) for n in tile_shape]).astype(np.float32)
    )
    with torch.inference_mode():
        z, y, x = (slice(0, n) for n in tile_shape)
        expected = net(raw[None, None])[0, :, z, y, x]
        logits = tiled_logits(
            FusedWeights.from_network(net, torch.float32), raw, tile_shape, piece_edge=piece
        )
    assert expected.std() > 0.01
    assert logits.shape == expected.shape
    assert (logits - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_gpu_without_the_fused_convolution_is_logged_once(monkeypatch, caplog):
    """cuDNN then reports that there is no engine; any other error is raised."""
    x, layer = torch.zeros(1, 1, 4, 4, 4), (torch.zeros(1, 1, 3, 3, 3), torch.zeros(1))

    def refuse(*_):
        raise RuntimeError(f"{reason}\nmore")

    for name in ("cudnn_convolution_relu", "cudnn_convolution_add_relu"):
        monkeypatch.setattr(torch, name, refuse)
    tiled_forward._warn_unfused.cache_clear()
    reason = "FIND was unable to find an engine to execute this computation"
    assert tiled_forward._convolve_relu_fused(x, layer, None) is None
    assert tiled_forward._convolve_relu_fused(x, layer, x) is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert describe_device(x.device) in record.getMessage()
    assert "no fused convolution" in record.getMessage()
    reason = "an illegal memory access was encountered"
    with pytest.raises(RuntimeError, match="illegal"):
        tiled_forward._convolve_relu_fused(x, layer, None)


@pytest.mark.parametrize("config", NETS)
def test_no_more_is_needed_than_a_tile_reads(config):
    step = lattice(config)
    for edge in (step, 4 * step):
        required = find_required_input(config, (edge,) * 3)
        assert min(required.inputs[0].offset) >= 0
        assert max(required.inputs[0].end) <= valid_input_size(config, edge)


@pytest.mark.parametrize("config", [ModelConfig(features=8, levels=3), ModelConfig(features=8)])
def test_memory_is_about_the_estimate(config):
    """Measured as the tensors alive at a time, by PyTorch's profiler."""
    edge, piece = 48, 24
    raw = torch.zeros((valid_input_size(config, edge),) * 3)
    weights = FusedWeights.from_network(seeded(config), torch.float32)
    with torch.inference_mode(), torch.profiler.profile(profile_memory=True) as profile:
        tiled_logits(weights, raw, (edge,) * 3, piece_edge=piece)
    events = profile.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    allocated = np.cumsum([change for _, change in sorted(changes)])
    estimate = estimate_memory_bytes(config, (edge,) * 3, item_bytes=4, piece_edge=piece)
    assert 0.5 * estimate < allocated.max() < 1.3 * estimate


@pytest.mark.parametrize("config", NETS)
def test_the_operations_are_those_that_pytorch_counts(config):
    tile_shape = (2 * lattice(config),) * 3
    raw = torch.zeros([valid_input_size(config, n) for n in tile_shape])
    weights = FusedWeights.from_network(seeded(config), torch.float32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        tiled_logits(weights, raw, tile_shape, piece_edge=1000)
    # Both upsampled voxels of a pair are computed even if one is needed: one more per face.
    assert (
        count_flops(config, tile_shape)
        <= counter.get_total_flops()
        < 1.3 * count_flops(config, tile_shape)
    )
