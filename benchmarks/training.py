"""How fast patches are made and trained on, and what score comes of it after how long.

::

    python benchmarks/training.py patches --gunpowder PYTHON   patches/s, beside gunpowder's
    python benchmarks/training.py pictures PATCHES.png         what both make of one volume
    python benchmarks/training.py steps                        iterations/s, share of arithmetic
    python benchmarks/training.py score DATA RUNS fast         F1 after 10, 20 and 40 minutes
    python benchmarks/training.py few DATA RUNS 4 full         F1 on 1/4 of the training columns
    python benchmarks/training.py finetune RUNS                phantoms of two preparations

PYTHON is an interpreter with `pip install gunpowder` (1.4). DATA is a folder with `epfl.zarr`
(docs/training.md, "A measured example"). Runs are stored in RUNS: a finished one is not repeated,
an interrupted one is resumed. Minutes are iterations times the time of one, measured when the row
begins, so that neither other work on the machine nor validation counts.
"""

import argparse
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from matplotlib.figure import Figure

from asem.model.checkpoint import checkpoint_folder
from asem.model.config import ModelConfig
from asem.phantom.imaging_model import DEFAULT_IMAGING, LOW_CONTRAST_IMAGING
from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.system.malloc_settings import retain_freed_memory
from asem.training.augmentation import draw_intensity_transform, draw_spatial_transform
from asem.training.batches import BatchLoader
from asem.training.config import AugmentConfig, TrainConfig
from asem.training.distributed import make_fabric
from asem.training.intensity_cpu import apply_intensity
from asem.training.labelled_regions import LabelledRegion
from asem.training.patch_extraction import HostPatchExtractor, make_patch_extractor
from asem.training.patch_sampling import PatchSampler
from asem.training.recipes import RECIPES
from asem.training.spatial_cpu import warp_codes, warp_grey
from asem.training.training_loop import Trainer
from asem.volume.volume import Volume
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.importing import import_volume
from asem.workflows.predict import predict_volume
from asem.workflows.segment import segment_volume
from asem.workflows.train import finetune_model, train_model

HERE = Path(__file__).parent
VOXEL = (5.0, 5.0, 5.0)
PATCH, OUTPUT, MARGIN = 204, 110, 120
PAPER, FULL = AugmentConfig(), AugmentConfig(**RECIPES["fast"]["augment"])
EPFL = {
    "structure": "mito",
    "voxel_size": [10, 10, 10],
    "batch": 2,
    "patch": 92,
    "model": {"features": 16, "levels": 3, "norm": "batch"},
}
"""The small network of examples/epfl_mito.toml."""
TRAIN, VALIDATE, SCORE = (0, 640), (640, 720), ":,:,720:"
EVERY = 2.5
"""Minutes between validations."""
Row = dict[str, Any]


@cache
def textured(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a phantom's grey values, size^3 voxels at least."""
    raw, _ = make_synthetic_cell((size, size, size), (10.0, 10.0, 10.0), np.random.default_rng(1))
    return raw


def one_sample(raw: np.ndarray[Any, np.dtype[np.uint8]]) -> LabelledRegion:
    """Return a sample whose target is what is bright in `raw`, with some voxels around it."""
    target = (raw > 128).astype(np.uint8)
    around = np.pad(raw, MARGIN, mode="reflect")
    place = (MARGIN, MARGIN, MARGIN)
    raw_volume, foreground = Volume(around, VOXEL), int(target.sum())
    window = (0.0, 255.0)
    return LabelledRegion(
        raw_volume, target, window, place, (0, 0, 0), raw.size, (), foreground, "sample"
    )


def settings(augment: AugmentConfig, **changes: Any) -> TrainConfig:
    """Return the paper's training with another augmentation, every place accepted."""
    return TrainConfig.model_validate(
        {
            "recipe": "paper",
            "structure": "mito",
            "voxel_size": VOXEL,
            "train": [{"raw": "r", "labels": "l"}],
            "sampling": {"reject": 0, "max_outside": 0.99},
            "augment": augment,
            **changes,
        }
    )


def seconds_of(action: Callable[[], object], number: int) -> list[float]:
    """Return the seconds of `number` calls, after one that compiles."""
    action()
    spent = []
    for _ in range(number):
        began = time.perf_counter()
        action()
        spent.append(time.perf_counter() - began)
    return spent


def patches(args: argparse.Namespace) -> None:
    """Print seconds a patch: ours, gunpowder in one process and in two, in turn."""
    retain_freed_memory()  # as training does
    raw = textured(320)
    stored = args.runs / "textured.npy"
    args.runs.mkdir(parents=True, exist_ok=True)
    np.save(stored, raw)
    rng = np.random.default_rng(0)
    durations: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        for name, augment in (("asem, paper's", PAPER), ("asem, all of fast", FULL)):
            samples = [one_sample(raw)]
            sampler, cutter = PatchSampler(samples, settings(augment)), HostPatchExtractor(samples)
            spent = seconds_of(lambda s=sampler, c=cutter: c.cut(s.draw(rng), OUTPUT), 10)
            durations.setdefault(name, []).append(float(np.median(spent)))
        if torch.cuda.is_available():
            durations.setdefault("asem, all of fast, on the GPU", []).append(_on_gpu(raw, rng))
        for workers in (0, 2) if args.gunpowder else ():
            command = [args.gunpowder, str(HERE / "gunpowder_patches.py"), str(PATCH), str(OUTPUT)]
            words = [*command, "6", str(stored), str(workers)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            name = f"gunpowder, {workers or 'no'} workers"
            durations.setdefault(name, []).append(float(done.stdout.split()[-1]))
    best = (
        min(np.median(durations[name]) for name in durations if name.startswith("gunpowder"))
        if args.gunpowder
        else float("nan")
    )
    print(f"| {PATCH}^3 raw, {OUTPUT}^3 labels | s a patch | patches/s | times gunpowder |")
    print("|---|---|---|---|")
    for name, spent in durations.items():
        median = float(np.median(spent))
        print(f"| {name} | {median:.3f} | {1 / median:.2f} | {best / median:.1f} |")


def _on_gpu(raw: np.ndarray[Any, np.dtype[np.uint8]], rng: np.random.Generator) -> float:
    sample, device = one_sample(raw), torch.device("cuda:0")
    sampler, cutter = PatchSampler([sample], settings(FULL)), make_patch_extractor([sample], device)
    draws = [sampler.draw(rng) for _ in range(40)]

    def cut() -> None:
        cutter.extract(draws.pop(), OUTPUT)
        torch.cuda.synchronize()

    return float(np.median(seconds_of(cut, 30)))


def pictures(args: argparse.Namespace) -> None:
    """Draw the middle planes of a few patches, ours left of gunpowder's."""
    raw = textured(320)
    args.runs.mkdir(parents=True, exist_ok=True)
    np.save(args.runs / "textured.npy", raw)
    rows = []
    rng = np.random.default_rng(3)
    for augment in (PAPER, FULL):
        for _ in range(2):
            spatial_transform = draw_spatial_transform(
                augment, (PATCH,) * 3, voxel_size=VOXEL, rng=rng
            )
            intensity_transform = draw_intensity_transform(
                augment, (PATCH,) * 3, voxel_size=VOXEL, rng=rng
            )
            centre = np.full(3, 159.5)
            grey, mean = warp_grey(raw, centre, spatial_transform)
            labels = warp_codes(
                (raw > 128).astype(np.uint8),
                centre,
                spatial_transform,
                output_shape=(OUTPUT,) * 3,
                outside=254,
            )
            rows.append((apply_intensity(grey, mean, intensity_transform) / 2 + 0.5, labels))
    for number in range(2 if args.gunpowder else 0):
        saved = args.runs / f"gunpowder{number}.npz"
        words = [args.gunpowder, str(HERE / "gunpowder_patches.py"), str(PATCH), str(OUTPUT), "1"]
        words += [str(args.runs / "textured.npy"), "0", str(saved)]
        subprocess.run(words, capture_output=True, check=True)
        with np.load(saved) as found:
            rows.append((found["raw"], found["labels"]))
    figure = Figure(figsize=(3 * len(rows), 6), layout="constrained")
    for column, (grey, labels) in zip(figure.subplots(2, len(rows)).T, rows, strict=True):
        for axes, plane, cut in (
            (column[0], grey[PATCH // 2], labels[OUTPUT // 2]),
            (column[1], grey[:, PATCH // 2], labels[:, OUTPUT // 2]),
        ):
            axes.imshow(plane, cmap="gray", vmin=0, vmax=1)
            low = (PATCH - OUTPUT) // 2
            box = (low, low + OUTPUT, low, low + OUTPUT)
            axes.contour(cut == 1, [0.5], extent=box, colors="c", linewidths=0.5)
            axes.set_axis_off()
    figure.savefig(args.picture, dpi=60)
    print(args.picture)


def steps(args: argparse.Namespace) -> None:
    """Print iterations/s of whole steps, and the share of forward, backward and update."""
    small = {"model": EPFL["model"], "patch": 92, "batch": 2}
    shapes = [("small network, 2 x 92^3", small)]
    if torch.cuda.is_available():
        shapes += [("paper's network, 204^3", {}), ("the same, compiled", {"compile": True})]
    print("| network | iterations/s | making patches | TFLOP/s |\n|---|---|---|---|")
    for name, changes in shapes:
        config = settings(FULL, **changes, loss="cross_entropy+dice")
        whole, making = step_seconds(config, args.number)
        flops = 4.7 / whole if config.model == ModelConfig() else float("nan")
        print(f"| {name} | {1 / whole:.2f} | {making / whole:.1%} | {flops:.1f} |", flush=True)


def step_seconds(config: TrainConfig, number: int = 10) -> tuple[float, float]:
    """Return seconds of a step, and of making its patches alone.

    Steps are queued as in training: a GPU is waited for after the last one.
    """
    retain_freed_memory()
    fabric = make_fabric(config)
    trainer = Trainer(fabric, config)
    trainer.setup_fabric()
    samples = [one_sample(textured(max(160, config.patch + 40)))]

    def wait() -> None:
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(action: Callable[[int], object], iterations: range) -> float:
        wait()
        began = time.perf_counter()
        for iteration in iterations:
            action(iteration)
        wait()
        return (time.perf_counter() - began) / len(iterations)

    # As `train` has it.
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
    with flags, BatchLoader(PatchSampler(samples, config), samples, fabric) as batches:
        for iteration in range(3):
            trainer.step(batches.load(iteration), iteration)
        rest = range(3, 3 + number)
        whole = seconds(lambda n: trainer.step(batches.load(n), n), rest)
        return whole, seconds(batches.load, range(rest.stop, rest.stop + number))


def score(args: argparse.Namespace) -> None:
    """Train on EPFL by a recipe; print F1 of the columns kept back after 10, 20 and 40 minutes."""
    config = TrainConfig.model_validate(
        {"recipe": args.recipe, **EPFL, "train": [{"raw": "r", "labels": "l"}]}
    )
    name = f"score-{args.recipe}"
    a_step = calibrated(args.runs / f"{name}.seconds", config)
    every = round(EVERY * 60 / a_step)
    run = epfl_run(args, name, args.recipe, TRAIN, round(40 / EVERY) * every, every=every)
    for minutes in (10, 20, 40):
        row = scored(args, run, round(minutes / EVERY) * every, name)
        row = {"recipe": args.recipe, "minutes": minutes, "s_per_iteration": a_step, **row}
        save_row(args.runs, name, row)


def few(args: argparse.Namespace) -> None:
    """Train for 15 minutes on a share of the training columns, with little or all augmentation."""
    changes: Row = {} if args.augment == "full" else {"augment": LITTLE}
    name = f"few-{args.share}-{args.augment}"
    width = (TRAIN[1] - TRAIN[0]) // args.share
    base = {"recipe": "fast", **EPFL, "train": [{"raw": "r", "labels": "l"}], **changes}
    stored = args.runs / f"few-{args.augment}.seconds"
    a_step = calibrated(stored, TrainConfig.model_validate(base))
    every = round(EVERY * 60 / a_step)
    iterations = round(args.minutes / EVERY) * every
    columns = (TRAIN[1] - width, TRAIN[1])
    run = epfl_run(args, name, "fast", columns, iterations, every=every, **changes)
    row = scored(args, run, iterations, name)
    row = {"share": f"1/{args.share}", "augment": args.augment, "minutes": args.minutes, **row}
    save_row(args.runs, name, row)


LITTLE = {
    "rotate_p": 0,
    "elastic_p": 0,
    "scale": 0,
    "shift_p": 0,
    "drift": 0,
    "gamma": 0,
    "noise": 0,
    "blur_nm": 0,
    "contrast": 0.15,
}
"""Mirrors, transposes, contrast and brightness: the augmentation of the first version."""


def calibrated(stored: Path, config: TrainConfig) -> float:
    """Return seconds of an iteration, measured once for each row."""
    if not stored.exists():
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_text(str(step_seconds(config, 20)[0]))
    return float(stored.read_text())


def epfl_run(
    args: argparse.Namespace,
    name: str,
    recipe: str,
    columns: tuple[int, int],
    iterations: int,
    *,
    every: int,
    **changes: Any,
) -> Path:
    """Train on columns of EPFL, or find what is trained already; returns the run directory."""
    cell = (args.data / "epfl.zarr").resolve()
    region = {"raw": str(cell / "raw"), "labels": str(cell / "labels/mito")}
    low, high = VALIDATE
    table = {
        "recipe": recipe,
        **EPFL,
        "iterations": iterations,
        "validate_every": every,
        **changes,
        "train": [{**region, "roi": f":,:,{columns[0]}:{columns[1]}"}],
        "validation": [{**region, "roi": f":,:,{low}:{high}"}],
    }
    return trained(args.runs, name, table)


def trained(runs: Path, name: str, table: Row) -> Path:
    """Train as `table` says; a run that is finished stays, one that was interrupted is resumed."""
    runs.mkdir(parents=True, exist_ok=True)
    file, folder = runs / f"{name}.toml", runs / name
    file.write_text(toml(table))
    if not finished(folder):
        train_model(file, out=folder)
    return folder


def finished(run: Path) -> bool:
    """Whether a run is there and finished."""
    state = run / "run.json"
    return state.exists() and json.loads(state.read_text())["state"] == "finished"


def scored(args: argparse.Namespace, run: Path, iteration: int, name: str) -> Row:
    """Predict the columns that are kept back with one checkpoint, and score them."""
    work = args.runs / f"{name}-{iteration}"
    cell = args.data / "epfl.zarr"
    folder = checkpoint_folder(run, iteration)
    predict_volume(folder, cell / "raw", work / "p", roi=SCORE, overwrite=True)
    segment_volume(work / "p", work / "s", overwrite=True)
    scores = evaluate_volume(work / "s", cell / "labels/mito", structure_name="mito")
    zoned = scores["exclusion_zone"]
    return {
        "iteration": iteration,
        **{key: round(zoned[key], 4) for key in ("f1", "precision", "recall")},
        "f1_all": round(scores["all"]["f1"], 4),
    }


def finetune(args: argparse.Namespace) -> None:
    """Train on one preparation's phantom, fine-tune on one block of another's, and from scratch."""
    cells = {name: phantom(args.runs, name) for name in ("first", "second")}

    def region(name: str, roi: str) -> Row:
        cell = cells[name].resolve()
        return {"raw": str(cell / "raw"), "labels": str(cell / "labels/mito"), "roi": roi}

    network = {"structure": "mito", "voxel_size": [10, 10, 10], "batch": 2, "patch": 76}
    network["model"] = {"features": 12, "levels": 3, "norm": "batch"}
    first = trained(
        args.runs,
        "first-run",
        {
            **network,
            "iterations": 1000,
            "validate_every": 50,
            "train": [region("first", ":,:,:248")],
            "validation": [region("first", ":,:,248:288")],
        },
    )
    tuning = {"iterations": 400, "validate_every": 25}
    tuning["train"] = [region("second", ":,:96,:96")]
    tuning["validation"] = [region("second", ":,96:144,:96")]
    scratch = trained(args.runs, "scratch-run", {**network, **tuning})
    file = args.runs / "tuned-run.toml"
    file.write_text(toml(tuning))
    tuned = args.runs / "tuned-run"
    if not finished(tuned):
        finetune_model(first, file, out=tuned)
    for name, run, cell in (
        ("first, on its own cell", first, "first"),
        ("first, on the second cell", first, "second"),
        ("first, fine-tuned on one block", tuned, "second"),
        ("from scratch on that block", scratch, "second"),
    ):
        work = args.runs / f"on-{name.replace(' ', '-').replace(',', '')}"
        raw, labels = cells[cell] / "raw", cells[cell] / "labels/mito"
        predict_volume(run, raw, work / "p", roi=":,:,288:", overwrite=True)
        segment_volume(work / "p", work / "s", overwrite=True)
        zoned = evaluate_volume(work / "s", labels, structure_name="mito")["exclusion_zone"]
        save_row(
            args.runs,
            "finetune",
            {"model": name, **{k: zoned[k] for k in ("f1", "precision", "recall")}},
        )


def phantom(runs: Path, name: str) -> Path:
    """Import a phantom cell of one of two preparations."""
    cell = runs / f"{name}.zarr"
    if (cell / "labels/mito/zarr.json").exists():
        return cell
    runs.mkdir(parents=True, exist_ok=True)
    size = (10.0, 10.0, 10.0)
    imaging, seed = {"first": (DEFAULT_IMAGING, 7), "second": (LOW_CONTRAST_IMAGING, 8)}[name]
    raw, labels = make_synthetic_cell(
        (96, 224, 400), size, np.random.default_rng(seed), imaging=imaging
    )
    for voxels, kind, place in ((raw, "image", "raw"), (labels, "labels", "labels/mito")):
        stack = runs / f"{name}-{kind}.tif"
        tifffile.imwrite(stack, voxels)
        import_volume(stack, cell / place, voxel_size=size, kind=kind)
    return cell


def save_row(runs: Path, name: str, row: Row) -> None:
    """Append a row to those that are finished, and print it."""
    with (runs / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"row": name, **row}) + "\n")
    print("| " + " | ".join(f"{value}" for value in row.values()) + " |", flush=True)


def toml(table: Row) -> str:
    """Write settings of a training as TOML: values, tables, arrays of tables."""
    plain = {k: v for k, v in table.items() if not isinstance(v, dict) and k not in REGIONS}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += [f"[{key}]", *(f"{k} = {json.dumps(v)}" for k, v in value.items())]
    for key in REGIONS:
        for region in table.get(key, []):
            lines += [f"[[{key}]]", *(f"{k} = {json.dumps(v)}" for k, v in region.items())]
    text = "\n".join(lines) + "\n"
    assert tomllib.loads(text)
    return text


REGIONS = ("train", "validation")


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    def command(
        name: str, function: Callable[[argparse.Namespace], None]
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name)
        added.set_defaults(function=function)
        return added

    for name, function in (("patches", patches), ("pictures", pictures)):
        added = command(name, function)
        if name == "pictures":
            added.add_argument("picture", type=Path)
        added.add_argument("--gunpowder")
        added.add_argument("--runs", type=Path, default=Path("runs"))
        added.add_argument("--rounds", type=int, default=3)
    command("steps", steps).add_argument("--number", type=int, default=20)
    for name, function in (("score", score), ("few", few)):
        added = command(name, function)
        added.add_argument("data", type=Path)
        added.add_argument("runs", type=Path)
        if name == "score":
            added.add_argument("recipe", choices=["fast", "paper"])
        else:
            added.add_argument("share", type=int)
            added.add_argument("augment", choices=["full", "little"])
            added.add_argument("--minutes", type=float, default=15)
    command("finetune", finetune).add_argument("runs", type=Path)
    args = parser.parse_args(sys.argv[1:])
    args.function(args)


if __name__ == "__main__":
    main()
