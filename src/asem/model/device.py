"""Where and in which precision the network runs."""

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

NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
AMPERE = 8
"""Compute capability of the first GPUs with bf16."""
VOLTA = (7, 0)
"""Of the first GPUs that Triton compiles for."""
Precision = Literal["auto", "32", "bf16"]


def resolve_device(name: str) -> torch.device:
    """Return the device called auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.

    Raises
    ------
    ValueError
        The name is unknown, or this machine has no such device.
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
    """Return the devices to share work among: every GPU for auto and cuda, else the one named."""
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name in ("auto", "cuda") and number > 1:
        return tuple(f"cuda:{index}" for index in range(number))
    return (str(resolve_device(name)),)


def resolve_precision(name: Precision, device: torch.device) -> Literal["32", "bf16"]:
    """Return what to compute in; auto is bf16 where the device has instructions for it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= AMPERE else "32"
    # Newer than the oldest PyTorch that is allowed.
    features: dict[str, bool] = dict(getattr(torch.cpu, "get_capabilities", dict)())
    return "bf16" if features.get("avx512_bf16") or features.get("amx_bf16") else "32"


def can_compile(device: torch.device) -> bool:
    """Whether `torch.compile` pays and works: on a GPU, with Triton and what Triton builds with."""
    compilers = os.environ.get("CC"), "gcc", "clang"
    return (
        device.type == "cuda"
        and torch.cuda.get_device_capability(device) >= VOLTA
        and find_spec("triton") is not None
        and any(name and shutil.which(name) for name in compilers)
        and (Path(sysconfig.get_path("include")) / "Python.h").exists()
    )


def on_device(voxels: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Bring an array to a device, or look at it where that is the processor.

    To a GPU it goes through pinned memory, which PyTorch keeps from one time to the next: clearing
    new pages takes longer than to move them.
    """
    plain = voxels.flags.writeable and all(stride > 0 for stride in voxels.strides)
    here = torch.from_numpy(voxels if plain else voxels.copy())  # what PyTorch takes as it is
    if device.type != "cuda":
        return here
    pinned = torch.empty(here.shape, dtype=here.dtype, pin_memory=True)
    return pinned.copy_(here).to(device)


def on_host(there: Tensor) -> npt.NDArray[Any]:
    """Return what lies on a device as an array, from a GPU in pinned memory."""
    if there.is_cuda:
        there = torch.empty(there.shape, dtype=there.dtype, pin_memory=True).copy_(there)
    return there.numpy()


@contextmanager
def memory_advice(advice: str) -> Iterator[None]:
    """Turn what happens when memory runs out into one line that says what to take instead.

    Raises
    ------
    ValueError
        In place of MemoryError and PyTorch's own error of that meaning.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).splitlines() or ["no memory"]
        raise ValueError(f"out of memory ({reason[0]}); take {advice}") from error


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory ran out, of the machine or of a device."""
    if isinstance(error, RuntimeError):
        return any(sign in str(error) for sign in NO_MEMORY)
    return isinstance(error, MemoryError)


def describe(device: torch.device) -> str:
    """Return the device's name with the number of threads, for provenance and logs."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return f"cpu, {torch.get_num_threads()} threads"
