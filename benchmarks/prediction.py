"""How fast a volume is predicted, beside the published network's way.

::

    python benchmarks/prediction.py cpu RUNS     `asem predict`, disk to disk, and eager PyTorch

Volume and model are made in RUNS and kept there.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import tifffile
import torch

from asem import __version__
from asem.model.checkpoint import save_model
from asem.model.config import CheckpointInfo, ModelConfig
from asem.model.device import describe
from asem.model.unet import UNet, initialize, output_size
from asem.phantom.cell import make_cell
from asem.workflows.describe import describe_volume
from asem.workflows.importing import import_volume
from asem.workflows.predict import predict_volume

VOXEL = (5.0, 5.0, 5.0)
PUBLISHED = 204
"""Edge of a block that the published pipeline puts through its network."""


def prepared(runs: Path, size: int) -> tuple[Path, Path]:
    """Return a phantom of `size`^3 voxels and the paper's network with random weights."""
    raw, model = runs / f"phantom_{size}.zarr/raw", runs / "random_network"
    runs.mkdir(parents=True, exist_ok=True)
    if not (raw / "zarr.json").exists():
        voxels, _ = make_cell((size,) * 3, VOXEL, np.random.default_rng(1))
        tifffile.imwrite(runs / "phantom.tif", voxels)
        import_volume(runs / "phantom.tif", raw, voxel_size=VOXEL)
    if not model.exists():
        net = UNet(ModelConfig())
        initialize(net, torch.Generator().manual_seed(0))
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
    return raw, model


def eager() -> float:
    """Return the voxels/s of the network as published: float32, one block after the other."""
    net = UNet(ModelConfig()).eval()
    block = torch.rand(1, 1, PUBLISHED, PUBLISHED, PUBLISHED)
    given = output_size(net.config, PUBLISHED)
    assert given is not None
    with torch.inference_mode():
        began = time.perf_counter()
        net(block)
        return given**3 / (time.perf_counter() - began)


def cpu(args: argparse.Namespace) -> None:
    """Print voxels/s of both, in turn; medians."""
    raw, model = prepared(args.runs, args.size)
    rates: dict[str, list[float]] = {"published, in memory": [], "asem predict, disk to disk": []}
    for number in range(args.rounds):
        rates["published, in memory"].append(eager())
        out = args.runs / f"out{number}"
        began = time.perf_counter()
        predict_volume(model, raw, out, overwrite=True)
        rates["asem predict, disk to disk"].append(args.size**3 / (time.perf_counter() - began))
    request = describe_volume(out)["made_by"]["request"]
    print(f"{describe(torch.device('cpu'))}, {request['precision']}, tile {request['tile']}")
    print("| what | M voxels/s | times published |\n|---|---|---|")
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"| {name} | {rate / 1e6:.3f} | {rate / medians['published, in memory']:.2f} |")


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    added = commands.add_parser("cpu")
    added.set_defaults(function=cpu)
    added.add_argument("runs", type=Path)
    added.add_argument("--size", type=int, default=256)
    added.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args(sys.argv[1:])
    args.function(args)


if __name__ == "__main__":
    main()
