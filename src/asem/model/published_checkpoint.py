"""Read checkpoints of the published (funlib) pipeline and map their weights to `UNet`.

Layers have the same numbers in both, the finest level first in encoder and decoder; the k-th
convolution of a level is number 2 k, since the activations between them are counted, too::

    unet.l_conv.LEVEL.conv_pass.I       down.LEVEL.I
    unet.r_conv.0.LEVEL.conv_pass.I     up.LEVEL.I
    final_conv_pass.conv_pass.0         head

Both concatenate the skip connection first, then the upsampled map, cropped so that each level's
output is a multiple of the poolings from that level down. What cannot be inferred from the weights
is assumed to be as in the published pipeline: ReLU, poolings by 2, valid convolutions.
"""

import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from asem.model.config import ModelConfig
from asem.model.unet import CLASSES, KERNEL, UNet
from asem.system.files import open_regular_file

STATE_DICT_KEY = "model_state_dict"
FIRST_LAYER, LAST_LAYER = "unet.l_conv.0.conv_pass.0", "final_conv_pass.conv_pass.0"
MAX_LISTED_NAMES = 3
_WRAPPER_PREFIX = re.compile(r"^(?:module\.|_orig_mod\.)+")
_PICKLED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
# Raised by PyTorch's reader for damaged or malicious files; any other error is a bug of asem.
_READ_ERRORS = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, AttributeError,
    LookupError, ArithmeticError, AssertionError, MemoryError, struct.error,
)  # fmt: skip


def read_published_checkpoint(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read a checkpoint of the published pipeline.

    Only tensors, numbers and plain containers are unpickled, and not more memory is allocated than
    the size of the file.

    Parameters
    ----------
    path
        A file of `torch.save` with the key ``model_state_dict``.

    Returns
    -------
    tuple
        The shape of the network, inferred from its weights, and the weights by their names in
        `UNet`, float32.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it contains no network that `UNet` can represent.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    try:
        weights = _read_weights(path)
        config = infer_model_config(weights)
    except ValueError as error:
        raise ValueError(f"{path} cannot be converted: {error}") from error
    names = _published_names(config)
    return config, {name: weights[published].float() for name, published in names.items()}


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Load the weights by their names in the file, without the prefixes of wrappers."""
    document = _load_torch_file(path)
    state = document.get(STATE_DICT_KEY) if isinstance(document, dict) else None
    if not isinstance(state, dict):
        content = _format_names(document) if isinstance(document, dict) else type(document).__name__
        raise ValueError(
            f"it has no '{STATE_DICT_KEY}', the key of a checkpoint's weights; found: {content}"
        )
    weights = {_WRAPPER_PREFIX.sub("", str(name)): value for name, value in state.items()}
    for name, value in weights.items():
        if not _is_dense_float(value):
            raise ValueError(f"{name!r} is no array of floating-point numbers")
    # A view can have any shape over a few bytes.
    if sum(value.nbytes for value in weights.values()) > path.stat().st_size:
        raise ValueError("its tensors are larger than the file")
    for name, value in weights.items():
        if not value.float().isfinite().all():
            raise ValueError(f"{name!r} holds values that are not finite; its training diverged")
    return weights


def _load_torch_file(path: Path) -> object:
    try:
        with open_regular_file(path) as file, zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, *_READ_ERRORS) as error:
        raise ValueError(
            "it is no file of torch.save (PyTorch 1.6 or newer writes a zip archive)"
        ) from error
    if unpacked > path.stat().st_size:
        raise ValueError(
            f"it unpacks to {unpacked} bytes, more than its size; torch.save does not compress"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickles; the result is checked
            return torch.load(path, map_location="cpu", weights_only=True)
    except _READ_ERRORS as error:
        raise ValueError(_load_error_text(error)) from error


def _load_error_text(error: BaseException) -> str:
    """Return one line with the reason why PyTorch cannot load a file."""
    match = _PICKLED_GLOBAL.search(str(error))
    if match:
        return (
            f"it contains more than tensors ({match[1]}), which is never loaded: it could run "
            f"any code; if you trust it, save its '{STATE_DICT_KEY}' alone with torch.save"
        )
    lines = str(error).splitlines() or [""]
    return f"PyTorch cannot read it ({type(error).__name__}: {lines[0]})"


def _is_dense_float(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and value.is_floating_point()
    )


def infer_model_config(weights: dict[str, Tensor]) -> ModelConfig:
    """Infer the shape of a network from its weights.

    Parameters
    ----------
    weights
        Tensors by their names in the published pipeline.

    Raises
    ------
    ValueError
        They are not those of a network that `UNet` can represent.
    """
    _check_architecture(weights)
    levels = {name.split(".")[2] for name in weights if name.startswith("unet.l_conv.")}
    firsts = [f"unet.l_conv.{level}.conv_pass.0.weight" for level in range(len(levels))]
    if missing := set(firsts) - weights.keys():
        raise ValueError(f"it lacks {_format_names(missing)} of {len(levels)} levels")
    widths = [weights[name].shape[0] for name in firsts]
    growth = widths[1] // widths[0] if len(widths) > 1 else ModelConfig().growth
    if widths != [widths[0] * growth**level for level in range(len(widths))]:
        raise ValueError(
            f"the features of its levels are {', '.join(map(str, widths))}; they must grow by one "
            "whole factor"
        )
    number = re.compile(r"unet\.l_conv\.0\.conv_pass\.\d+\.weight")
    config = ModelConfig.from_dict(
        {
            "features": widths[0],
            "growth": growth,
            "levels": len(widths),
            "convolutions": sum(bool(number.fullmatch(name)) for name in weights),
        },
        source="the network",
    )
    _check_layers(weights, config)
    return config


def _check_architecture(weights: dict[str, Tensor]) -> None:
    """Raise ValueError, naming the difference, if the weights are of another kind of network."""
    for layer in (FIRST_LAYER, LAST_LAYER):
        if f"{layer}.weight" not in weights:
            raise ValueError(
                f"it has no layer '{layer}' of the published pipeline's U-Net; found: "
                f"{_format_names(weights)}"
            )
    if any(name.startswith("unet.r_up.") for name in weights):
        raise ValueError("it upsamples by transposed convolutions; asem's network repeats voxels")
    heads = {name.split(".")[2] for name in weights if name.startswith("unet.r_conv.")}
    if len(heads) > 1:
        raise ValueError(f"it has {len(heads)} heads; asem's network has one")
    for name, weight in weights.items():
        if name.endswith(".weight") and tuple(weight.shape[2:]) != (KERNEL,) * 3:
            kernel = " x ".join(map(str, weight.shape[2:]))
            raise ValueError(
                f"{name!r} has a kernel of {kernel or 'no'} voxels; asem's network has "
                f"{KERNEL} x {KERNEL} x {KERNEL} everywhere"
            )
        if not weight.numel():
            raise ValueError(f"{name!r} is empty")
    channels = weights[f"{FIRST_LAYER}.weight"].shape[1]
    if channels != 1:
        raise ValueError(f"it has {channels} input channels; asem's network has one, raw")
    classes = weights[f"{LAST_LAYER}.weight"].shape[0]
    if classes != CLASSES:
        raise ValueError(
            f"it has {classes} output channels; asem's network has {CLASSES}, background and "
            "foreground"
        )


def _check_layers(weights: dict[str, Tensor], config: ModelConfig) -> None:
    """Raise ValueError if the layers differ from those of a `UNet` of shape `config`."""
    with torch.device("meta"):  # allocates no memory
        own = UNet(config).state_dict()
    expected = {
        published: tuple(own[name].shape) for name, published in _published_names(config).items()
    }
    shape = f"a network of {config.levels} levels with {config.convolutions} convolutions each"
    if missing := expected.keys() - weights.keys():
        raise ValueError(f"it lacks {_format_names(missing)} of {shape}")
    if unknown := weights.keys() - expected.keys():
        raise ValueError(f"it has {_format_names(unknown)} besides {shape}")
    for name, expected_shape in expected.items():
        actual_shape = tuple(weights[name].shape)
        if actual_shape != expected_shape:
            raise ValueError(f"{name!r} has the shape {actual_shape}; {shape} has {expected_shape}")


def _published_names(config: ModelConfig) -> dict[str, str]:
    """Return the name in the published pipeline of each weight of `UNet`."""
    layers = {"head": LAST_LAYER}
    for level in range(config.levels):
        for number in range(0, 2 * config.convolutions, 2):
            layers[f"down.{level}.{number}"] = f"unet.l_conv.{level}.conv_pass.{number}"
            if level < config.levels - 1:
                layers[f"up.{level}.{number}"] = f"unet.r_conv.0.{level}.conv_pass.{number}"
    parts = ("weight", "bias")
    return {
        f"{name}.{part}": f"{published}.{part}"
        for name, published in layers.items()
        for part in parts
    }


def _format_names(names: object) -> str:
    """Format the first few names for a message."""
    assert isinstance(names, dict | set)
    listed = sorted(repr(name) for name in names)
    more = f" and {len(listed) - MAX_LISTED_NAMES} more" if len(listed) > MAX_LISTED_NAMES else ""
    return ", ".join(listed[:MAX_LISTED_NAMES]) + more if listed else "nothing"
