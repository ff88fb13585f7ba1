"""The network as an ONNX graph, written out layer by layer.

PyTorch's own exporter takes twenty seconds to prove which sizes the network takes. We know:
they differ by whole steps of the lattice, and what is cropped is the same for all of them, so that
every crop is a constant. Another size makes the runtime fail at a concatenation instead of shifting
the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from asem.model.config import ModelConfig
from asem.model.unet import UNet, crops, lattice, valid_input

OPSET, IR = 17, 8
"""Old enough for the runtimes of the last years."""
INPUT, OUTPUT = "raw", "probability"
SPATIAL = ("z", "y", "x")
GAIN, OFFSET = 1 / 127.5, -1.0
"""From 8-bit grey values to the network's [-1, 1]."""
_TO_THE_END = np.iinfo(np.int64).max


@dataclass
class _Graph:
    """Nodes and constants so far; each layer's output is called as its node is."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, kind: str, name: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node; returns the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Append a constant; returns its name."""
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def slice(self, name: str, x: str, axes: list[int], cut: tuple[int, int]) -> str:
        """Cut (before, behind) off some axes."""
        before, behind = cut
        if cut == (0, 0):
            return x
        ends = -behind if behind else _TO_THE_END
        bounds = {"starts": [before] * len(axes), "ends": [ends] * len(axes), "axes": axes}
        return self.add("Slice", name, [x, *self._bounds(name, bounds)])

    def _bounds(self, name: str, bounds: Mapping[str, list[int]]) -> list[str]:
        return [self.constant(f"{name}.{k}", np.array(v, np.int64)) for k, v in bounds.items()]


def onnx_model(net: UNet, facts: Mapping[str, str], *, margin: int = 0) -> onnx.ModelProto:
    """Return a network as a model that computes the probability of foreground.

    Input ``raw``: float32 (n, 1, z, y, x), grey values scaled to [-1, 1]; each spatial axis a size
    that the network takes. Output ``probability``: float32 (n, 1, z - 2c, y - 2c, x - 2c) with the
    context c, softmax's share of the foreground.

    Parameters
    ----------
    net
        In evaluation mode.
    facts
        What is written into the model's metadata.
    margin
        Voxels that are cut off each side of the output besides.
    """
    graph = _Graph()
    cut = crops(net.config)
    skips: list[str] = []
    x = INPUT
    for level, block in enumerate(net.down):
        if level:
            name = f"pool.{level}"
            x = graph.add("MaxPool", name, [x], kernel_shape=[2] * 3, strides=[2] * 3)
        x = _layers(graph, f"down.{level}", block, x)
        skips.append(x)
    for level in reversed(range(len(net.up))):
        x = _doubled(graph, f"upsample.{level}", x)
        skip, upsampled = cut[level]
        both = [
            graph.slice(f"skip.{level}", skips[level], [2, 3, 4], skip),
            graph.slice(f"crop.{level}", x, [2, 3, 4], upsampled),
        ]
        x = graph.add("Concat", f"concat.{level}", both, axis=1)
        x = _layers(graph, f"up.{level}", net.up[level], x)
    logits = _layer(graph, "head", net.head, x)
    shares = graph.add("Softmax", "softmax", [logits], axis=1)
    foreground = graph.slice(f"{OUTPUT}.margin", shares, [2, 3, 4], (margin, margin))
    graph.slice(OUTPUT, foreground, [1], (1, 0))
    return _model(graph, facts)


def _model(graph: _Graph, facts: Mapping[str, str]) -> onnx.ModelProto:
    def tensor(name: str, axes: tuple[str, ...]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, *axes])

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "unet",
            [tensor(INPUT, SPATIAL)],
            [tensor(OUTPUT, tuple(f"{axis}_out" for axis in SPATIAL))],
            initializer=graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="asem",
    )
    helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model)
    return model


def _doubled(graph: _Graph, name: str, x: str) -> str:
    """Repeat each voxel twice along every spatial axis."""
    scales = graph.constant(f"{name}.scales", np.array([1, 1, 2, 2, 2], np.float32))
    nearest = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    return graph.add("Resize", name, [x, "", scales], **nearest)


def _layers(graph: _Graph, name: str, block: nn.Module, x: str) -> str:
    for number, layer in block.named_children():
        x = _layer(graph, f"{name}.{number}", layer, x)
    return x


def _layer(graph: _Graph, name: str, layer: nn.Module, x: str) -> str:
    def weights(*names: str) -> list[str]:
        found = {key: getattr(layer, key) for key in names}
        return [
            graph.constant(f"{name}.{key}", _array(value))
            for key, value in found.items()
            if value is not None
        ]

    if isinstance(layer, nn.Conv3d):
        return graph.add("Conv", name, [x, *weights("weight", "bias")])
    if isinstance(layer, nn.BatchNorm3d):
        learnt = weights("weight", "bias", "running_mean", "running_var")
        return graph.add("BatchNormalization", name, [x, *learnt], epsilon=layer.eps)
    if isinstance(layer, nn.ReLU):
        return graph.add("Relu", name, [x])
    raise NotImplementedError(f"no ONNX for the layer {name}, {type(layer).__name__}")


def _array(value: Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(value.detach().cpu().float().numpy())


def example_input(config: ModelConfig) -> npt.NDArray[np.uint8]:
    """Return grey values to try a network with: noise, (1, 1, z, y, x), one lattice step kept."""
    edge = valid_input(config, lattice(config))
    return np.random.default_rng(0).integers(0, 256, (1, 1, edge, edge, edge), np.uint8)


def scaled(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Scale 8-bit grey values to [-1, 1].

    Examples
    --------
    >>> scaled(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    return grey.astype(np.float32) * np.float32(GAIN) + np.float32(OFFSET)
