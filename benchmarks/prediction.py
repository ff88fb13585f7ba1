"""How fast a volume is predicted, beside the published network's way.

::

    python benchmarks/prediction.py cpu RUNS        `asem predict`, disk to disk, and eager PyTorch
    python benchmarks/prediction.py backends RUNS --openvino PYTHON     of the network alone
    python benchmarks/prediction.py gpu RUNS        `asem predict` on a GPU, per stage
    python benchmarks/prediction.py workers RUNS    two Dask workers beside one, a thread each
    python benchmarks/prediction.py memory RUNS     peak of host memory, 512^3 and 1536^3 voxels

Volumes and models are made in RUNS and kept there. PYTHON is an interpreter with `pip install
openvino numpy`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import tifffile
import torch
from torch import Tensor

from asem import __version__
from asem.blocks.dask_workers import SINGLE_HEAP_ENVIRONMENT
from asem.model.checkpoint import load_checkpoint, save_model
from asem.model.checkpoint_info import CheckpointInfo
from asem.model.config import ModelConfig
from asem.model.device import Precision, describe_device, resolve_precision
from asem.model.inference import NetworkRunner
from asem.model.onnx_graph import make_onnx_model
from asem.model.receptive_field import count_flops
from asem.model.tiling import MAX_TILE
from asem.model.unet import UNet, initialize_weights, lattice, output_size, valid_input_size
from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.system.malloc_settings import retain_freed_memory
from asem.workflows.describe import describe_volume
from asem.workflows.importing import import_volume
from asem.workflows.predict import predict_volume

VOXEL = (5.0, 5.0, 5.0)
PUBLISHED = 204
"""Edge of a block that the published pipeline puts through its network."""


TINY = ModelConfig(features=2, levels=2)
"""For what does not depend on the network."""


def random_network(runs: Path, name: str, config: ModelConfig) -> Path:
    """Return a network with random weights."""
    model = runs / name
    if not model.exists():
        net = UNet(config)
        initialize_weights(net, torch.Generator().manual_seed(0))
        with torch.no_grad():  # probabilities from 0 to 1, as a trained network gives them
            block = 2 * torch.rand(1, 1, *[valid_input_size(config, 16)] * 3) - 1
            logits = net.eval()(block)[0]
            contrast = logits[1] - logits[0]
            net.head.weight.mul_(2 / contrast.std())
            assert net.head.bias is not None
            net.head.bias[1] -= 2 * contrast.mean() / contrast.std()
        info = CheckpointInfo(
            asem=__version__,
            iteration=0,
            structure="mito",
            voxel_size=VOXEL,
            model=net.config,
            inputs=(),
            device="cpu",
            precision="32",
        )
        save_model(model, info, net.state_dict())
    return model


def phantom(runs: Path, size: int) -> Path:
    """Return a phantom of `size`^3 voxels, repeated from one of 256^3."""
    raw = runs / f"phantom_{size}.zarr/raw"
    if not (raw / "zarr.json").exists():
        voxels, _ = make_synthetic_cell((min(256, size),) * 3, VOXEL, np.random.default_rng(1))
        (runs / "planes").mkdir(parents=True, exist_ok=True)
        for number in range(size):
            plane = voxels[number % len(voxels)]
            whole = np.pad(plane, ((0, size - plane.shape[0]),) * 2, mode="wrap")
            tifffile.imwrite(runs / f"planes/{number:05d}.tif", whole)
        import_volume(runs / "planes", raw, voxel_size=VOXEL)
        shutil.rmtree(runs / "planes")
    return raw


def prepared(runs: Path, size: int) -> tuple[Path, Path]:
    """Return a phantom and the paper's network with random weights."""
    return phantom(runs, size), random_network(runs, "random_network", ModelConfig())


def seconds_of(function: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Return the median of the seconds of a call, the first one not counted, and what it gives."""
    found, spent = function(), []
    for _ in range(rounds):
        began = time.perf_counter()
        found = function()
        spent.append(time.perf_counter() - began)
    return float(np.median(spent)), found


def eager(args: argparse.Namespace) -> None:
    """Print voxels/s of the network as published: float32, one block after the other."""
    net = UNet(ModelConfig()).eval()
    block = torch.rand(1, 1, PUBLISHED, PUBLISHED, PUBLISHED)
    with torch.inference_mode():
        spent, found = seconds_of(lambda: net(block), args.rounds)
    print(found[0, 0].numel() / spent)


def cpu(args: argparse.Namespace) -> None:
    """Print voxels/s of both, in turn; medians."""
    (raw, model), out = prepared(args.runs, args.size), args.runs / "out"
    rates: dict[str, list[float]] = {"published, in memory": [], "asem predict, disk to disk": []}
    for _ in range(args.rounds):
        # Each in a process of its own, as users start them.
        command = [sys.executable, __file__, "eager", str(args.runs), "--rounds", "3"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rates["published, in memory"].append(float(done.stdout))
        command = [sys.executable, "-m", "asem", "predict", *map(str, (model, raw, out))]
        began = time.perf_counter()
        subprocess.run([*command, "--overwrite"], capture_output=True, check=True)
        rates["asem predict, disk to disk"].append(args.size**3 / (time.perf_counter() - began))
    request = describe_volume(out)["made_by"]["request"]
    print(f"{describe_device(torch.device('cpu'))}, {request['precision']}, tile {request['tile']}")
    print("| what | M voxels/s | times published |\n|---|---|---|")
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"| {name} | {rate / 1e6:.3f} | {rate / medians['published, in memory']:.2f} |")


def backends(args: argparse.Namespace) -> None:
    """Print voxels/s of the network alone by several libraries, and how far they are from eager."""
    retain_freed_memory()  # as `asem predict` does
    config, rounds = ModelConfig(), args.rounds
    net, _ = load_checkpoint(random_network(args.runs, "random_network", config))
    tile_edge = (output_size(config, PUBLISHED) or 0) // lattice(config) * lattice(config)
    tiles = (tile_edge, MAX_TILE["cpu"])
    voxels = np.random.default_rng(0).uniform(-1, 1, [valid_input_size(config, tiles[1])] * 3)
    large = voxels.astype(np.float32)
    small = np.ascontiguousarray(large[(slice(PUBLISHED),) * 3])
    block = torch.from_numpy(small)[None, None]
    best = resolve_precision("auto", torch.device("cpu"))
    kinds: tuple[Precision, ...] = ("32",) if best == "32" else ("32", "bf16")
    compiled = torch.compile(net)
    rows: dict[str, tuple[float, npt.NDArray[np.float32]]] = {}

    def add(name: str, spent: float, found: npt.NDArray[np.float32]) -> None:
        rows[name] = (found.size / spent, found)
        least = tuple(map(min, found.shape, rows["eager, 32"][1].shape))
        inside = tuple(map(slice, least))
        far = float(np.abs(found[inside] - rows["eager, 32"][1][inside]).max())
        print(f"| {name} | {found.size / spent / 1e6:.3f} | {far:.1e} |", flush=True)

    def in_torch(function: Callable[[Tensor], Tensor], kind: Precision) -> Tensor:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bf16"),
        ):
            return function(block)[0].float().softmax(0)[1]

    print(f"{describe_device(torch.device('cpu'))}")
    print("| backend, precision | M voxels/s | largest difference |\n|---|---|---|")
    for kind in kinds:
        for name, function in (("eager", net), ("torch.compile", compiled)):
            spent, found = seconds_of(partial(in_torch, function, kind), rounds)
            add(f"{name}, {kind}", spent, found.numpy())
        if args.openvino:
            add(f"OpenVINO, {kind}", *in_openvino(args, net, block.numpy(), kind))
        runner = NetworkRunner(net, torch.device("cpu"), kind)
        for edge, grey in zip(tiles, (small, large), strict=True):
            tile = partial(runner.probability, grey, (edge,) * 3)
            spent, found = seconds_of(tile, rounds)
            add(f"asem, tile {edge}, {kind}", spent, found.numpy())


def in_openvino(
    args: argparse.Namespace, net: UNet, block: npt.NDArray[np.float32], kind: Precision
) -> tuple[float, npt.NDArray[np.float32]]:
    """Return the seconds of a block and its probability."""
    model, source, out = (args.runs / name for name in ("net.onnx", "block.npy", "openvino.npy"))
    onnx.save(make_onnx_model(net, {}), model)
    np.save(source, block)
    precision = {"32": "f32", "bf16": "bf16"}[kind]
    command = [args.openvino, str(Path(__file__).parent / "openvino_network.py"), str(model)]
    command += [str(source), precision, str(args.rounds), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout), np.load(out)[0, 0]


def gpu(args: argparse.Namespace) -> None:
    """Print voxels/s of each stage, end to end and of the network alone, and its share of peak."""
    raw, model = prepared(args.runs, args.size)
    predict_volume(model, raw, args.runs / "warm", roi="0:256,0:256,0:256", overwrite=True)
    out, card = args.runs / "out", torch.cuda.get_device_name()
    began = time.perf_counter()
    predict_volume(model, raw, out, device="cuda:0", overwrite=True)
    whole = time.perf_counter() - began
    made = describe_volume(out)["made_by"]
    request, stages = made["request"], made["facts"]["stages"]
    print(f"{card}, {request['precision']}, tile {request['tile']}, {args.size}^3 voxels")
    print("| stage | M voxels/s |\n|---|---|")
    for name, stage in stages.items():
        print(f"| {name} | {stage['voxels_per_second'] / 1e6:.1f} |")
    print(f"| end to end, with pyramid | {args.size**3 / whole / 1e6:.1f} |")
    edge = (request["tile"],) * 3
    rate = stages["network"]["voxels_per_second"] * count_flops(ModelConfig(), edge) / edge[0] ** 3
    print(
        f"\nnetwork: {rate / 1e12:.0f} TFLOP/s; the GPU is busy "
        f"{stages['network']['seconds'] / made['facts']['seconds']:.0%} of the time; "
        f"waited for: {made['facts']['bottleneck']}"
    )
    print(f"bf16 matrix product of 8192: {matrix_peak() / 1e12:.0f} TFLOP/s")


def matrix_peak() -> float:
    """Return the operations/s of a large matrix product, the most that a network may reach."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return float(20 * 2 * 8192**3 / (time.perf_counter() - began))


def workers(args: argparse.Namespace) -> None:
    """Print voxels/s of one and of two Dask workers, one thread each, in turn; medians."""
    raw = phantom(args.runs, args.size)
    model = random_network(args.runs, "small_network", ModelConfig(features=8, levels=3))
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(args.rounds):
        for number in rates:
            code = WORKER.format(number=number, model=model, raw=raw, out=args.runs / "shared")
            done = subprocess.run(
                [sys.executable, "-c", code],
                env=os.environ
                | SINGLE_HEAP_ENVIRONMENT
                | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=True,
            )
            rates[number].append(args.size**3 / float(done.stdout))
    one, two = (float(np.median(values)) for values in rates.values())
    print(f"one {one / 1e6:.3f}, two {two / 1e6:.3f} M voxels/s: {two / one:.2f} times")


WORKER = """
import time
from pathlib import Path
from distributed import Client, LocalCluster
from asem.blocks.dask_executor import DaskExecutor
from asem.workflows.predict import predict_volume

if __name__ == "__main__":
    with (
        LocalCluster(
            n_workers={number}, threads_per_worker=1, memory_limit=0, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        work = lambda roi: predict_volume(
            Path("{model}"), Path("{raw}"), Path("{out}"), roi=roi, tile=128, overwrite=True,
            executor=DaskExecutor(client, shared_memory_bytes=10**11),
        )
        work("0:64,:64,:64")
        began = time.perf_counter()
        work(None)
        print(time.perf_counter() - began)
"""


def memory(args: argparse.Namespace) -> None:
    """Print the peak of host memory of a prediction by a tiny network, at two sizes."""
    model = random_network(args.runs, "tiny_network", TINY)
    print("| voxels | peak, MiB |\n|---|---|")
    for size in (512, 1536):
        code = PEAK.format(model=model, raw=phantom(args.runs, size), out=args.runs / "peak")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        print(f"| {size}^3 | {int(done.stdout.split()[-1]) / 1024:.0f} |", flush=True)


PEAK = """
from pathlib import Path
from asem.cli import main

assert main(["predict", "{model}", "{raw}", "{out}", "--tile", "256", "--overwrite"]) == 0
# Not getrusage, whose peak a process inherits from the one that started it.
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


SIZES = {cpu: 512, gpu: 1024, workers: 512}


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for function in (eager, cpu, backends, gpu, workers, memory):
        added = commands.add_parser(function.__name__)
        added.set_defaults(function=function)
        added.add_argument("runs", type=Path)
        if function in SIZES:
            added.add_argument("--size", type=int, default=SIZES[function])
        if function is backends:
            added.add_argument("--openvino", metavar="PYTHON")
        added.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args(sys.argv[1:])
    args.function(args)


if __name__ == "__main__":
    main()
