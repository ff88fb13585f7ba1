import numpy as np
import pytest
import torch

from asem.model import tiled_forward
from asem.model.config import ModelConfig
from asem.model.inference import NetworkRunner, predict_array
from asem.model.tiling import plan_tiles
from asem.model.unet import UNet, initialize_weights, lattice, valid_input_size
from asem.volume.roi import Roi

NETS = [
    ModelConfig(features=3, levels=2, norm="batch"),
    ModelConfig(features=2, levels=3),
]


def runner(config, precision="32"):
    net = UNet(config)
    initialize_weights(net, torch.Generator().manual_seed(1))
    return NetworkRunner(net.eval(), torch.device("cpu"), precision)


def predicted(net, padded, pad, roi, tile, *, mirror=False):
    tiling = plan_tiles(net.net.config, roi, tile)
    raw = padded[tiling.read_roi.shift((pad,) * 3).slices]
    return predict_array(net, raw, tiling, mirror=mirror)


@pytest.mark.parametrize(
    ("config", "precision", "mirror"),
    [(NETS[0], "32", False), (NETS[0], "bf16", False), (NETS[1], "bf16", False)]
    + [(net, "32", True) for net in NETS],
)
def test_neither_the_tile_nor_the_place_of_the_roi_shows(config, precision, mirror, rng):
    net, pad, step = runner(config, precision), 70, lattice(config)
    padded = rng.uniform(-1, 1, (190, 190, 190)).astype(np.float32)
    roi = Roi((0, 0, 0), (37, 33, 41))
    whole = predicted(net, padded, pad, roi, 48, mirror=mirror).astype(int)
    assert whole.std() > 5
    for tile, part in (
        (40, roi),
        (16, Roi((5, 11, 3), (20, 13, 30))),
        (3 * step, Roi((5, 11, 3), (14, 13, 10))),
        (step, Roi((7, 6, 5), (6, 5, 9))),
    ):
        other = predicted(net, padded, pad, part, tile, mirror=mirror)
        assert np.abs(whole[part.slices] - other).max() <= 1


def test_a_wrong_anchor_would_show(rng):
    net = runner(NETS[0])
    padded = rng.uniform(-1, 1, (120, 120, 120)).astype(np.float32)
    roi = Roi((0, 0, 0), (16, 16, 16))
    right = predicted(net, padded, 40, roi, 16).astype(int)
    wrong = predicted(net, np.roll(padded, 1, 0), 40, roi, 16)[1:]
    assert np.abs(right[:-1] - wrong).max() > 1


def test_probability_is_the_rounded_softmax(rng):
    net = runner(NETS[0])
    tiling = plan_tiles(net.net.config, Roi((0, 0, 0), (4, 4, 4)), 4)
    raw = rng.uniform(-1, 1, tiling.read_roi.shape).astype(np.float32)
    with torch.inference_mode():
        logits = net.net(torch.from_numpy(raw)[None, None])[0, :, :4, :4, :4]
    exact = torch.sigmoid((logits[1] - logits[0]).double()).numpy()
    assert np.abs(predict_array(net, raw, tiling) - 255 * exact).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("config", NETS)
def test_mirrors_are_the_mean_of_eight_predictions(config, rng):
    """Each by the plain network on the mirrored tile."""
    net, tile_shape = runner(config), (8, 16, 8)
    raw = rng.uniform(-1, 1, [valid_input_size(config, n) for n in tile_shape]).astype(np.float32)
    expected = np.zeros(tile_shape)
    for axes in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        with torch.inference_mode():
            flipped = torch.from_numpy(np.flip(raw, axes).copy())[None, None]
            mirrored = net.net(flipped)[0].softmax(0)[1].numpy()
        z, y, x = tile_shape
        expected += np.flip(mirrored, axes)[:z, :y, :x] / 8
    seen = []
    probability = net.probability(raw, tile_shape, mirror=True, report_progress=seen.append).numpy()
    assert np.abs(probability - expected).max() < 1e-5
    assert np.abs(probability - net.probability(raw, tile_shape).numpy()).max() > 1e-3
    assert seen == sorted(seen)
    assert seen[-1] == 1


@pytest.mark.gpu
@pytest.mark.parametrize("piece", [24, 256])
def test_the_gpu_agrees_with_the_cpu(rng, monkeypatch, piece):
    monkeypatch.setitem(tiled_forward.PIECE_EDGE, "cuda", piece)
    on_cpu = runner(ModelConfig())
    tiling = plan_tiles(ModelConfig(), Roi((0, 0, 0), (40, 40, 40)), 40)
    raw = rng.uniform(-1, 1, tiling.read_roi.shape).astype(np.float32)
    expected = predict_array(on_cpu, raw, tiling).astype(int)
    for precision, allowed in (("32", 2), ("bf16", 12)):
        on_gpu = NetworkRunner(on_cpu.net.to("cuda"), torch.device("cuda", 0), precision)
        assert np.abs(predict_array(on_gpu, raw, tiling) - expected).max() <= allowed
