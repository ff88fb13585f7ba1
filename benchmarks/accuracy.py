"""Accuracy on the EPFL hippocampus: recipes compared at equal iterations, with paired seeds.

::

    python benchmarks/accuracy.py run DATA RUNS base cosine --iterations 332 --seeds 3
    python benchmarks/accuracy.py table RUNS --against base
    python benchmarks/accuracy.py rules RUNS
    python benchmarks/accuracy.py pictures DATA RUNS base-332-0 PICTURE.png

DATA is a folder with `epfl.zarr` (docs/training.md, "A measured example"). Columns x < 640 are for
training, 640 to 720 for validation, x >= 720 for the score: IoU of all voxels beside F1 outside of
the exclusion zone. A row is a recipe of `RECIPES`, a number of iterations and a seed. Scored are
each checkpoint of its run and the average of the weights of the last three; with `--mirror` the
best checkpoint once more by the mean over eight mirror images. Finished rows are kept: a command
that was interrupted continues with the others.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from asem.model.checkpoint import (
    checkpoint_folder,
    read_checkpoint_info,
    read_weights,
    save_model,
)
from asem.training.batches import BatchLoader
from asem.training.config import training_config_of
from asem.training.distributed import make_fabric
from asem.training.recipes import merge_settings
from asem.training.training_loop import Trainer
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.predict import predict_volume
from asem.workflows.run_training import TrainingSpec
from asem.workflows.segment import segment_volume
from training import EPFL, SCORE, TRAIN, VALIDATE, finished, trained

VALIDATIONS = {332: 4}
"""Of a training, by its iterations: as many checkpoints are scored; otherwise 8."""
COSINE: dict[str, Any] = {"optimizer": {"schedule": "cosine"}}
RECIPES: dict[str, dict[str, Any]] = {
    "base": {},
    "cosine": COSINE,
    "half": {**COSINE, "sampling": {"reject": 0.5}},
    "unbiased": {**COSINE, "sampling": {"reject": 0}},
    "grey": {**COSINE, "augment": {"contrast": 0.4, "brightness": 0.3, "gamma": 0.6}},
    "batch4": {**COSINE, "batch": 4},
    "features24": {**COSINE, "model": {"features": 24, "levels": 3, "norm": "batch"}},
    "context": {**COSINE, "patch": 132, "model": {"features": 12, "levels": 4, "norm": "batch"}},
    "fine": {**COSINE, "voxel_size": [5, 5, 5]},
    "published": {
        "voxel_size": [5, 5, 5],
        "batch": 1,
        "patch": 204,
        "model": {"features": 32, "levels": 4, "norm": "none"},
    },
}
"""What each recipe changes in the settings of examples/epfl_mito.toml; `published` is the paper's
network."""
AVERAGE, AVERAGED = "average", 3
"""Key of a score, and the number of checkpoints whose weights are averaged."""
ALL, ZONE = "iou", "zone_f1"
SCORES = (ALL, ZONE)
CELLS = 3
"""Worst places in a picture."""


def run(args: argparse.Namespace) -> None:
    """Train, predict and score the rows that are not finished."""
    for name in args.recipes:
        for seed in range(args.seeds):
            score_row(args.data, args.runs, name, args.iterations, seed, mirror=args.mirror)


def score_row(
    data: Path, runs: Path, name: str, iterations: int, seed: int, *, mirror: bool
) -> None:
    """Train one row and score its checkpoints; write ``scores.json`` beside its run."""
    row = f"{name}-{iterations}-{seed}"
    file = runs / f"{row}.json"
    done = json.loads(file.read_text()) if file.exists() else {"scores": {}}
    cell = (data / "epfl.zarr").resolve()
    region = {"raw": str(cell / "raw"), "labels": str(cell / "labels/mito")}
    settings = merge_settings(EPFL, RECIPES[name]) | {
        "iterations": iterations,
        "validate_every": max(1, iterations // VALIDATIONS.get(iterations, 8)),
        "seed": seed,
        "train": [{**region, "roi": f":,:,{TRAIN[0]}:{TRAIN[1]}"}],
        "validation": [{**region, "roi": f":,:,{VALIDATE[0]}:{VALIDATE[1]}"}],
    }
    start, was_finished = time.monotonic(), finished(runs / row)
    folder = trained(runs, row, settings)
    if not was_finished:
        done["seconds"] = round(time.monotonic() - start)
        done["machine"] = f"{platform.machine()}, {time.strftime('%Y-%m-%d')}"
    state = json.loads((folder / "run.json").read_text())
    validated = {metrics["iteration"]: metrics["f1"] for metrics in state["metrics"]}
    best = state["best"]
    done |= {"recipe": name, "iterations": iterations, "seed": seed, "best": best}
    done["validation_f1"] = validated
    work = runs / "predicted" / row
    checkpoints = {str(n): checkpoint_folder(folder, n) for n in validated}
    checkpoints[AVERAGE] = average_checkpoints(folder, list(validated)[-AVERAGED:])
    checkpoints |= {"mirror": checkpoints[str(best)]} if mirror else {}
    for key, checkpoint in checkpoints.items():
        if key not in done["scores"]:
            done["scores"][key] = score_checkpoint(cell, checkpoint, work, mirror=key == "mirror")
            file.write_text(json.dumps(done, indent=1))
    print(row, done["scores"][str(best)], done["scores"].get("mirror", ""), flush=True)


def average_checkpoints(run: Path, iterations: list[int]) -> Path:
    """Write the average of the weights of checkpoints, with its own statistics of batch norm."""
    averaged, last = run.with_name("averaged") / run.name, iterations[-1]
    if averaged.exists():
        return averaged
    folders = [checkpoint_folder(run, iteration) for iteration in iterations]
    info = read_checkpoint_info(folders[-1])
    config = training_config_of(info, source=str(folders[-1]))
    loaded = TrainingSpec(config, run).load()
    fabric = make_fabric(config)
    trainer = Trainer(fabric, config, folders[-1])
    weights = [read_weights(folder, info.model) for folder in folders]
    for name, value in trainer.ema.net.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.stack([of_one[name] for of_one in weights]).mean(0))
    with BatchLoader(loaded.sampler, loaded.training, fabric) as batches:
        trainer.update_norm_statistics(batches, last)
    save_model(averaged, info, trainer.ema.net.state_dict())
    return averaged


def score_checkpoint(cell: Path, checkpoint: Path, work: Path, *, mirror: bool) -> dict[str, float]:
    """Predict the columns that are kept back with a checkpoint, and score them."""
    predict_volume(checkpoint, cell / "raw", work / "p", roi=SCORE, mirror=mirror, overwrite=True)
    segment_volume(work / "p", work / "s", overwrite=True)
    scores = evaluate_volume(work / "s", cell / "labels/mito", structure_name="mito")
    zone, everywhere = scores["exclusion_zone"], scores["all"]
    return {
        ALL: round(everywhere["iou"], 4),
        ZONE: round(zone["f1"], 4),
        "precision": round(zone["precision"], 4),
        "recall": round(zone["recall"], 4),
    }


def read_rows(runs: Path) -> list[dict[str, Any]]:
    """Return the rows in a folder, in the order of recipe, iterations and seed."""
    rows = [json.loads(file.read_text()) for file in runs.glob("*-*-*.json")]
    return sorted(rows, key=lambda row: (row["recipe"], row["iterations"], row["seed"]))


def table(args: argparse.Namespace) -> None:
    """Print median, spread and paired gain of each recipe at each number of iterations."""
    rows = pd.DataFrame(
        {
            **{key: row[key] for key in ("recipe", "iterations", "seed", "best")},
            **row["scores"][str(row["best"])],
            "mirror": row["scores"].get("mirror", {}).get(ALL),
            "minutes": row.get("seconds", np.nan) / 60,
        }
        for row in read_rows(args.runs)
    )
    print("| recipe | iterations | seeds | IoU: median | range | gain | zone F1 | mirror IoU |")
    print("|---|---|---|---|---|---|---|---|")
    for (name, iterations), group in rows.groupby(["recipe", "iterations"]):
        base = rows[(rows["recipe"] == args.against) & (rows["iterations"] == iterations)]
        both = group.merge(base, on="seed", suffixes=("", "_base"))
        gain = "" if name == args.against else format_gain(both[ALL] - both[f"{ALL}_base"])
        mirror = group["mirror"].median()
        print(
            f"| {name} | {iterations} | {len(group)} | {group[ALL].median():.3f} "
            f"| {group[ALL].min():.3f} to {group[ALL].max():.3f} | {gain} "
            f"| {group[ZONE].median():.3f} | {'' if np.isnan(mirror) else f'{mirror:.3f}'} |"
        )


def format_gain(differences: "pd.Series[float]") -> str:
    """Return the mean of paired differences, and its standard error."""
    error = differences.std() / np.sqrt(len(differences)) if len(differences) > 1 else np.nan
    return f"{differences.mean():+.3f} ± {error:.3f}"


def rules(args: argparse.Namespace) -> None:
    """Print the scores of the checkpoints that each rule chooses, mean over all rows."""
    chosen: dict[str, list[dict[str, float]]] = {}
    for row in (one for one in read_rows(args.runs) if AVERAGE in one["scores"]):
        validated = {key: value or 0.0 for key, value in row["validation_f1"].items()}
        iterations = {
            "best": str(row["best"]),
            "highest validation F1": max(validated, key=lambda key: validated[key]),
            "last": str(max(map(int, validated))),
            f"average of the last {AVERAGED}": AVERAGE,
        }
        oracle = max(row["scores"].values(), key=lambda scores: float(scores[ALL]))
        for rule, iteration in iterations.items():
            chosen.setdefault(rule, []).append(row["scores"][iteration])
        chosen.setdefault("highest score (not known)", []).append(oracle)
    print("| rule | rows | IoU | zone F1 |\n|---|---|---|---|")
    for rule, found in chosen.items():
        means = [np.mean([scores[key] for scores in found]) for key in SCORES]
        print(f"| {rule} | {len(found)} | {means[0]:.3f} | {means[1]:.3f} |")


def pictures(args: argparse.Namespace) -> None:
    """Draw the planes with most false voxels of the last prediction of a row."""
    labels = open_volume(args.data / "epfl.zarr/labels/mito")
    predicted = open_volume(args.runs / "predicted" / args.row / "s")
    raw = open_volume(args.data / "epfl.zarr/raw")
    first = round((predicted.offset_nm[2] - labels.offset_nm[2]) / labels.voxel_size[2])
    roi = Roi((0, 0, first), predicted.shape)
    found, true = predicted.read(predicted.roi) > 0, labels.read(roi) > 0
    false = np.count_nonzero(found != true, axis=(1, 2))
    figure = Figure(figsize=(12, 5 * CELLS), layout="constrained")
    for row, z in enumerate(find_apart(np.argsort(-false), distance=10)):
        axes = figure.add_subplot(CELLS, 1, row + 1)
        plane = raw.read(Roi((int(z), 0, first), (1, *predicted.shape[1:])))[0]
        axes.imshow(plane, cmap="gray")
        for mask, colour in ((found & ~true, "Reds_r"), (true & ~found, "Blues_r")):
            axes.imshow(np.ma.masked_equal(mask[z], 0), cmap=colour, alpha=0.6)
        axes.set_title(f"z = {z}: {false[z]:,} false voxels; red: false positive")
    figure.savefig(args.picture)


def find_apart(planes: Iterable[np.integer], distance: int) -> list[int]:
    """Return the first planes that are not near an earlier one."""
    chosen: list[int] = []
    for z in planes:
        if len(chosen) < CELLS and all(abs(int(z) - other) >= distance for other in chosen):
            chosen.append(int(z))
    return chosen


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    rows = commands.add_parser("run", help="train, predict and score")
    rows.add_argument("data", type=Path)
    rows.add_argument("runs", type=Path)
    rows.add_argument("recipes", nargs="+", choices=RECIPES)
    rows.add_argument("--iterations", type=int, default=332)
    rows.add_argument("--seeds", type=int, default=3)
    rows.add_argument("--mirror", action="store_true")
    rows.set_defaults(function=run)
    printed = commands.add_parser("table", help="compare recipes")
    printed.add_argument("runs", type=Path)
    printed.add_argument("--against", default="base", choices=RECIPES)
    printed.set_defaults(function=table)
    choice = commands.add_parser("rules", help="compare rules that choose a checkpoint")
    choice.add_argument("runs", type=Path)
    choice.set_defaults(function=rules)
    drawn = commands.add_parser("pictures", help="draw the worst planes")
    drawn.add_argument("data", type=Path)
    drawn.add_argument("runs", type=Path)
    drawn.add_argument("row")
    drawn.add_argument("picture", type=Path)
    drawn.set_defaults(function=pictures)
    args = parser.parse_args()
    args.function(args)


if __name__ == "__main__":
    main()
