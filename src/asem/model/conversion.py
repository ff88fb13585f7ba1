"""Read a checkpoint of the published pipeline: the weights of a funlib U-Net.

Its layers carry the same numbers as ours, the finest level first on both ways; the k-th convolution
of a level is number 2 k, for the activations between them are counted, too::

    unet.l_conv.LEVEL.conv_pass.I       down.LEVEL.I
    unet.r_conv.0.LEVEL.conv_pass.I     up.LEVEL.I
    final_conv_pass.conv_pass.0         head

Both concatenate what comes from the left first, then what comes from below, which was cropped so
that each level's output is a multiple of the poolings from there on down. What weights do not tell
is taken for granted, as the published pipeline has it: ReLU, poolings by 2, valid convolutions.
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
from asem.system.files import open_regular

STATE = "model_state_dict"
FIRST, LAST = "unet.l_conv.0.conv_pass.0", "final_conv_pass.conv_pass.0"
MOST_NAMES = 3
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
# What PyTorch's reader raises for damaged or hostile files; anything else would be a fault of ours.
_UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, AttributeError,
    LookupError, ArithmeticError, AssertionError, MemoryError, struct.error,
)  # fmt: skip


def read_published(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read a checkpoint of the published pipeline.

    Nothing but tensors, numbers and plain containers is unpickled, and no more memory taken than
    the file is large.

    Parameters
    ----------
    path
        A file of `torch.save` with the key ``model_state_dict``.

    Returns
    -------
    tuple
        The shape of the network, found from its weights, and the weights by their names in `UNet`,
        float32.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it holds no network that ours can be; one line.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    try:
        weights = _weights(path)
        config = network_of(weights)
    except ValueError as error:
        raise ValueError(f"{path} cannot be converted: {error}") from error
    return config, {ours: weights[theirs].float() for ours, theirs in _names(config).items()}


def _weights(path: Path) -> dict[str, Tensor]:
    """Load the weights by their names in the file, less what a wrapper put before them."""
    document = _load(path)
    state = document.get(STATE) if isinstance(document, dict) else None
    if not isinstance(state, dict):
        found = _some(document) if isinstance(document, dict) else type(document).__name__
        raise ValueError(f"it has no '{STATE}', the key of a checkpoint's weights; found: {found}")
    weights = {_WRAPPERS.sub("", str(name)): value for name, value in state.items()}
    for name, value in weights.items():
        if not _is_plain(value):
            raise ValueError(f"{name!r} is no array of floating-point numbers")
    # A view may claim any shape over a few bytes.
    if sum(value.nbytes for value in weights.values()) > path.stat().st_size:
        raise ValueError("its tensors are larger than the file")
    for name, value in weights.items():
        if not value.float().isfinite().all():
            raise ValueError(f"{name!r} holds values that are not finite; its training diverged")
    return weights


def _load(path: Path) -> object:
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, *_UNREADABLE) as error:
        raise ValueError(
            "it is no file of torch.save (PyTorch 1.6 or newer writes a zip archive)"
        ) from error
    if unpacked > path.stat().st_size:
        raise ValueError(
            f"it unpacks to {unpacked} bytes, more than it is large; torch.save does not compress"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unusual pickle; what matters is what comes out
            return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise ValueError(_told(error)) from error


def _told(error: BaseException) -> str:
    """Say in one line why PyTorch refused a file."""
    refused = _GLOBAL.search(str(error))
    if refused:
        return (
            f"it holds more than tensors ({refused[1]}), which is never loaded, for it could run "
            f"any code; where you trust it, save its '{STATE}' alone with torch.save"
        )
    lines = str(error).splitlines() or [""]
    return f"PyTorch cannot read it ({type(error).__name__}: {lines[0]})"


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and value.is_floating_point()
    )


def network_of(weights: dict[str, Tensor]) -> ModelConfig:
    """Find the shape of a network from its weights.

    Parameters
    ----------
    weights
        By their names in the published pipeline.

    Raises
    ------
    ValueError
        They are not those of a network that `UNet` can be.
    """
    _refuse_other_kinds(weights)
    levels = {name.split(".")[2] for name in weights if name.startswith("unet.l_conv.")}
    firsts = [f"unet.l_conv.{level}.conv_pass.0.weight" for level in range(len(levels))]
    if missing := set(firsts) - weights.keys():
        raise ValueError(f"it lacks {_some(missing)} of {len(levels)} levels")
    widths = [weights[name].shape[0] for name in firsts]
    growth = widths[1] // widths[0] if len(widths) > 1 else ModelConfig().growth
    if widths != [widths[0] * growth**level for level in range(len(widths))]:
        raise ValueError(
            f"the features of its levels are {', '.join(map(str, widths))}; they must grow by one "
            "whole factor"
        )
    number = re.compile(r"unet\.l_conv\.0\.conv_pass\.\d+\.weight")
    config = ModelConfig.checked(
        {
            "features": widths[0],
            "growth": growth,
            "levels": len(widths),
            "convolutions": sum(bool(number.fullmatch(name)) for name in weights),
        },
        source="the network",
    )
    _refuse_other_layers(weights, config)
    return config


def _refuse_other_kinds(weights: dict[str, Tensor]) -> None:
    """Refuse what is plainly another kind of network, by what it is."""
    for layer in (FIRST, LAST):
        if f"{layer}.weight" not in weights:
            raise ValueError(
                f"it has no layer '{layer}' as a U-Net of the published pipeline has; found: "
                f"{_some(weights)}"
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
    channels = weights[f"{FIRST}.weight"].shape[1]
    if channels != 1:
        raise ValueError(f"it takes {channels} channels; asem's network takes one, raw")
    classes = weights[f"{LAST}.weight"].shape[0]
    if classes != CLASSES:
        raise ValueError(
            f"it gives {classes} channels; asem's network gives {CLASSES}, background and "
            "foreground"
        )


def _refuse_other_layers(weights: dict[str, Tensor], config: ModelConfig) -> None:
    """Refuse a network that differs anywhere from ours of the shape `config`."""
    with torch.device("meta"):  # takes no memory
        ours = UNet(config).state_dict()
    expected = {theirs: tuple(ours[name].shape) for name, theirs in _names(config).items()}
    shape = f"a network of {config.levels} levels with {config.convolutions} convolutions each"
    if missing := expected.keys() - weights.keys():
        raise ValueError(f"it lacks {_some(missing)} of {shape}")
    if unknown := weights.keys() - expected.keys():
        raise ValueError(f"it has {_some(unknown)} besides {shape}")
    for name, wanted in expected.items():
        given = tuple(weights[name].shape)
        if given != wanted:
            raise ValueError(f"{name!r} has the shape {given}; {shape} has {wanted}")


def _names(config: ModelConfig) -> dict[str, str]:
    """Return for each weight of `UNet` its name in the published pipeline."""
    layers = {"head": LAST}
    for level in range(config.levels):
        for number in range(0, 2 * config.convolutions, 2):
            layers[f"down.{level}.{number}"] = f"unet.l_conv.{level}.conv_pass.{number}"
            if level < config.levels - 1:
                layers[f"up.{level}.{number}"] = f"unet.r_conv.0.{level}.conv_pass.{number}"
    parts = ("weight", "bias")
    return {f"{ours}.{part}": f"{layers[ours]}.{part}" for ours in layers for part in parts}


def _some(names: object) -> str:
    """Name the first few."""
    assert isinstance(names, dict | set)
    listed = sorted(repr(name) for name in names)
    more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
    return ", ".join(listed[:MOST_NAMES]) + more if listed else "nothing"
