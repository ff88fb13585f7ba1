"""Build the ONNX graph of the network, layer by layer.

PyTorch's own exporter takes twenty seconds to derive the valid input sizes. Here they are known:
valid sizes differ by multiples of the lattice and are cropped by the same number of voxels, so that
every crop is a constant. With another size the runtime fails at a concatenation instead of shifting
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
from asem.model.unet import UNet, lattice, level_crops, valid_input_size

OPSET, IR_VERSION = 17, 8
"""Supported by the runtimes of the last years."""
INPUT, OUTPUT = "raw", "probability"
SPATIAL_AXES = ("z", "y", "x")
INPUT_GAIN, INPUT_OFFSET = 1 / 127.5, -1.0
"""Scaling of 8-bit grey values to the network's [-1, 1]."""
_TO_THE_END = np.iinfo(np.int64).max


@dataclass
class _Graph:
    """Nodes and constants so far; the output of a node has the node's name."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, kind: str, name: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Append a constant and return its name."""
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def slice(self, name: str, x: str, axes: list[int], crop: tuple[int, int]) -> str:
        """Crop some axes by so many voxels at the (start, end)."""
        start, end = crop
        if crop == (0, 0):
            return x
        stop = -end if end else _TO_THE_END
        bounds = {"starts": [start] * len(axes), "ends": [stop] * len(axes), "axes": axes}
        return self.add("Slice", name, [x, *self._bounds(name, bounds)])

    def _bounds(self, name: str, bounds: Mapping[str, list[int]]) -> list[str]:
        return [self.constant(f"{name}.{k}", np.array(v, np.int64)) for k, v in bounds.items()]


def make_onnx_model(net: UNet, metadata: Mapping[str, str], *, margin: int = 0) -> onnx.ModelProto:
    """Return a network as an ONNX model that computes the probability of foreground.

    Input ``raw``: float32 (n, 1, z, y, x), grey values scaled to [-1, 1]; each spatial axis of a
    valid input size. Output ``probability``: float32 (n, 1, z - 2c, y - 2c, x - 2c) with the
    context c, the softmax of the foreground.

    Parameters
    ----------
    net
        In evaluation mode.
    metadata
        Metadata of the model.
    margin
        Voxels that are cropped from each side of the output in addition.
    """
    graph = _Graph()
    crops = level_crops(net.config)
    skips: list[str] = []
    x = INPUT
    for level, block in enumerate(net.down):
        if level:
            name = f"pool.{level}"
            x = graph.add("MaxPool", name, [x], kernel_shape=[2] * 3, strides=[2] * 3)
        x = _add_layers(graph, f"down.{level}", block, x)
        skips.append(x)
    for level in reversed(range(len(net.up))):
        x = _add_upsampling(graph, f"upsample.{level}", x)
        skip, upsampled = crops[level]
        branches = [
            graph.slice(f"skip.{level}", skips[level], [2, 3, 4], skip),
            graph.slice(f"crop.{level}", x, [2, 3, 4], upsampled),
        ]
        x = graph.add("Concat", f"concat.{level}", branches, axis=1)
        x = _add_layers(graph, f"up.{level}", net.up[level], x)
    logits = _add_layer(graph, "head", net.head, x)
    probabilities = graph.add("Softmax", "softmax", [logits], axis=1)
    cropped = graph.slice(f"{OUTPUT}.margin", probabilities, [2, 3, 4], (margin, margin))
    graph.slice(OUTPUT, cropped, [1], (1, 0))
    return _make_model(graph, metadata)


def _make_model(graph: _Graph, metadata: Mapping[str, str]) -> onnx.ModelProto:
    def tensor(name: str, axes: tuple[str, ...]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, *axes])

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "unet",
            [tensor(INPUT, SPATIAL_AXES)],
            [tensor(OUTPUT, tuple(f"{axis}_out" for axis in SPATIAL_AXES))],
            initializer=graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="asem",
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return model


def _add_upsampling(graph: _Graph, name: str, x: str) -> str:
    """Repeat each voxel twice along every spatial axis."""
    scales = graph.constant(f"{name}.scales", np.array([1, 1, 2, 2, 2], np.float32))
    nearest = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    return graph.add("Resize", name, [x, "", scales], **nearest)


def _add_layers(graph: _Graph, name: str, block: nn.Module, x: str) -> str:
    for number, layer in block.named_children():
        x = _add_layer(graph, f"{name}.{number}", layer, x)
    return x


def _add_layer(graph: _Graph, name: str, layer: nn.Module, x: str) -> str:
    def weights(*names: str) -> list[str]:
        tensors = {key: getattr(layer, key) for key in names}
        return [
            graph.constant(f"{name}.{key}", _to_array(value))
            for key, value in tensors.items()
            if value is not None
        ]

    if isinstance(layer, nn.Conv3d):
        return graph.add("Conv", name, [x, *weights("weight", "bias")])
    if isinstance(layer, nn.BatchNorm3d):
        statistics = weights("weight", "bias", "running_mean", "running_var")
        return graph.add("BatchNormalization", name, [x, *statistics], epsilon=layer.eps)
    if isinstance(layer, nn.ReLU):
        return graph.add("Relu", name, [x])
    raise NotImplementedError(f"no ONNX for the layer {name}, {type(layer).__name__}")


def _to_array(value: Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(value.detach().cpu().float().numpy())


def example_input(config: ModelConfig) -> npt.NDArray[np.uint8]:
    """Return noise as test input, (1, 1, z, y, x), for one lattice step of output."""
    edge = valid_input_size(config, lattice(config))
    return np.random.default_rng(0).integers(0, 256, (1, 1, edge, edge, edge), np.uint8)


def scale_uint8(raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Scale 8-bit grey values to [-1, 1].

    Examples
    --------
    >>> scale_uint8(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    return raw.astype(np.float32) * np.float32(INPUT_GAIN) + np.float32(INPUT_OFFSET)
