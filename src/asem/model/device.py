"""Select device and precision, copy arrays to and from a device, convert out-of-memory errors."""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import torch
from torch import Tensor

OUT_OF_MEMORY_MESSAGES = ("out of memory", "not enough memory", "can't allocate memory")
MIN_BF16_CAPABILITY = 8
"""Compute capability of the first GPUs with bf16."""
MIN_TRITON_CAPABILITY = (7, 0)
"""Compute capability of the first GPUs that Triton compiles for."""
Precision = Literal["auto", "32", "bf16"]


def resolve_device(name: str) -> torch.device:
    """Return the device named auto, cpu, cuda or cuda:N; auto is a GPU if there is one.

    Raises
    ------
    ValueError
        The name is not one of these, or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()) or name == "cpu:":
        raise ValueError(f"unknown device '{name}'; allowed: auto, cpu, cuda, cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    index = int(number or 0)
    if index >= torch.cuda.device_count():
        raise ValueError(
            f"there is no device '{name}': PyTorch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices; take --device cpu or install its CUDA build"
        )
    return torch.device("cuda", index)


def resolve_devices(name: str) -> tuple[str, ...]:
    """Return the devices to use: every GPU for auto and cuda, else the one named."""
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name in ("auto", "cuda") and number > 1:
        return tuple(f"cuda:{index}" for index in range(number))
    return (str(resolve_device(name)),)


def resolve_precision(name: Precision, device: torch.device) -> Literal["32", "bf16"]:
    """Return the precision to compute in; auto is bf16 if the device has instructions for it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return (
            "bf16" if torch.cuda.get_device_capability(device)[0] >= MIN_BF16_CAPABILITY else "32"
        )
    # get_capabilities is newer than the oldest PyTorch allowed.
    features: dict[str, bool] = dict(getattr(torch.cpu, "get_capabilities", dict)())
    return "bf16" if features.get("avx512_bf16") or features.get("amx_bf16") else "32"


def can_compile(device: torch.device) -> bool:
    """Whether `torch.compile` works: on a GPU, with Triton, a C compiler and Python's headers."""
    compilers = os.environ.get("CC"), "gcc", "clang"
    return (
        device.type == "cuda"
        and torch.cuda.get_device_capability(device) >= MIN_TRITON_CAPABILITY
        and find_spec("triton") is not None
        and any(name and shutil.which(name) for name in compilers)
        and (Path(sysconfig.get_path("include")) / "Python.h").exists()
    )


def to_device(voxels: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; on the CPU return a view if possible.

    The copy to a GPU uses pinned memory, which PyTorch caches: zeroing new pages takes longer than
    the transfer.
    """
    convertible = voxels.flags.writeable and all(stride > 0 for stride in voxels.strides)
    tensor = torch.from_numpy(voxels if convertible else voxels.copy())
    if device.type != "cuda":
        return tensor
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor).to(device)


def to_host(tensor: Tensor) -> npt.NDArray[Any]:
    """Return a tensor as an array; copy it from a GPU to pinned memory."""
    if tensor.is_cuda:
        tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor)
    return tensor.numpy()


@contextmanager
def advise_out_of_memory(advice: str) -> Iterator[None]:
    """Convert an out-of-memory error into a ValueError of one line that contains `advice`.

    Raises
    ------
    ValueError
        Instead of a MemoryError or PyTorch's out-of-memory error.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).splitlines() or ["no memory"]
        raise ValueError(f"out of memory ({reason[0]}); take {advice}") from error


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error reports that the memory of the machine or of a device is exhausted."""
    if isinstance(error, RuntimeError):
        return any(message in str(error) for message in OUT_OF_MEMORY_MESSAGES)
    return isinstance(error, MemoryError)


def describe_device(device: torch.device) -> str:
    """Return the name of a GPU, or the number of CPU threads, for provenance and logs."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return f"cpu, {torch.get_num_threads()} threads"
