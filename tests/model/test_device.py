import numpy as np
import pytest
import torch

from asem.model import device
from asem.model.device import (
    advise_out_of_memory,
    can_compile,
    describe_device,
    resolve_device,
    resolve_precision,
)


def test_names():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_precision("32", torch.device("cpu")) == "32"
    assert resolve_precision("auto", torch.device("cpu")) in ("32", "bf16")
    assert describe_device(torch.device("cpu")).endswith("threads")


def test_compiling_needs_a_gpu_and_a_compiler(monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda name: name == "triton")
    monkeypatch.setattr(device.shutil, "which", lambda name: name == "gcc")
    monkeypatch.setattr(device.Path, "exists", lambda path: path.name == "Python.h")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    gpu = torch.device("cuda:0")
    assert can_compile(gpu)
    assert not can_compile(torch.device("cpu"))
    for lacking in (device.shutil, "which"), (device, "find_spec"), (device.Path, "exists"):
        with monkeypatch.context() as patched:
            patched.setattr(*lacking, lambda _: None)
            assert not can_compile(gpu)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (6, 1))
    assert not can_compile(gpu)


def test_any_array_comes_to_the_device(rng):
    cpu, voxels = torch.device("cpu"), rng.integers(0, 255, (3, 4, 5), np.uint8)
    fixed = voxels.copy()
    fixed.flags.writeable = False
    for array in (voxels, voxels[::-1, :, ::-2], voxels[:, 1:3], fixed, fixed[:, :, 2:]):
        assert (device.to_host(device.to_device(array, cpu)) == array).all()


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:", ""])
def test_unknown_devices(name):
    with pytest.raises(ValueError, match=r"unknown device .* allowed: auto, cpu, cuda, cuda:N"):
        resolve_device(name)


def test_a_missing_device():
    with pytest.raises(ValueError, match=r"there is no device 'cuda:99'.* CUDA build"):
        resolve_device("cuda:99")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 100. TiB for an array"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_errors_contain_the_advice(error):
    raises = pytest.raises(ValueError, match=r"out of memory .*; take a smaller --tile")
    with raises, advise_out_of_memory("a smaller --tile"):
        raise error


def test_other_errors_are_not_converted():
    with pytest.raises(RuntimeError, match="shapes"), advise_out_of_memory("nothing"):
        raise RuntimeError("shapes do not match")
