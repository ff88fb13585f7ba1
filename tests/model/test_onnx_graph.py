import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from asem.model.config import ModelConfig
from asem.model.onnx_graph import IR_VERSION, OPSET, example_input, make_onnx_model, scale_uint8
from asem.model.unet import lattice, output_size, valid_input_size
from networks import seeded

SHAPES = [
    ModelConfig(features=2, levels=1),
    ModelConfig(features=2, levels=2, convolutions=1),
    ModelConfig(features=3, levels=2, norm="batch"),
    ModelConfig(features=2, levels=3, growth=3),
    ModelConfig(features=1, levels=2, convolutions=3),
    ModelConfig(features=2, levels=4),
]


def session(net):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    model = make_onnx_model(net, {"structure": "mito"}).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("config", SHAPES)
def test_it_computes_what_the_network_does_at_every_size(config, rng):
    net = seeded(config)
    run = session(net)
    smallest, step = valid_input_size(config), lattice(config)
    shapes = [
        (1, smallest, smallest + step, smallest),
        (2, smallest + 3 * step, smallest, smallest),
    ]
    for n, *sizes in shapes:
        raw = rng.uniform(-1, 1, (n, 1, *sizes)).astype(np.float32)
        with torch.inference_mode():
            expected = net(torch.from_numpy(raw)).softmax(1)[:, 1:].numpy()
        (given,) = run.run(["probability"], {"raw": raw})
        assert given.shape == expected.shape
        assert expected.std() > 0.01
        assert np.abs(given - expected).max() <= 1e-4


@pytest.mark.parametrize("config", SHAPES[1:4])
def test_sizes_between_the_steps_fail_instead_of_shifting_the_result(config):
    run, smallest = session(seeded(config)), valid_input_size(config)
    for size in range(smallest + 1, smallest + lattice(config)):
        assert output_size(config, size) is None
        raw = np.zeros((1, 1, smallest, size, smallest), np.float32)
        with pytest.raises(Exception, match=r"dimensions must match|mismatch"):
            run.run(None, {"raw": raw})


def test_versions_metadata_and_shapes(rng):
    model = make_onnx_model(seeded(SHAPES[0]), {"structure": "mito"})
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    assert {prop.key: prop.value for prop in model.metadata_props} == {"structure": "mito"}
    run = session(seeded(SHAPES[0]))
    (raw,), (probability,) = run.get_inputs(), run.get_outputs()
    assert (raw.name, raw.shape) == ("raw", ["n", 1, "z", "y", "x"])
    assert (probability.name, probability.shape) == (
        "probability",
        ["n", 1, "z_out", "y_out", "x_out"],
    )


def test_the_example_keeps_one_step_of_the_lattice():
    grey = example_input(ModelConfig())
    assert (grey.shape, grey.dtype) == ((1, 1, 108, 108, 108), np.uint8)
    assert (scale_uint8(grey).min(), scale_uint8(grey).max()) == (-1, 1)


def test_a_layer_without_translation():
    net = seeded(SHAPES[0])
    net.down[0].append(nn.Sigmoid())
    with pytest.raises(NotImplementedError, match=r"no ONNX for the layer down\.0\.4, Sigmoid"):
        make_onnx_model(net, {})
