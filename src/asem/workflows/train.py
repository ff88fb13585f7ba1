"""Train a network from a training file into a run directory."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from asem.blocks.journal import NAME, locked, refuse_if_locked
from asem.blocks.run import Progress, silent
from asem.model import checkpoint, train
from asem.model.config import TrainConfig
from asem.model.device import memory_advice, resolve_device
from asem.model.sampling import Sampler, load_sample, patch_output
from asem.report.figures import loss_curves


def train_model(
    config_file: Path,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train one network for one structure (paper, Training).

    Parameters
    ----------
    config_file
        The training file (TOML, `asem.model.config.TrainConfig`).
    out
        The run directory; None: ``runs/`` and the training file's stem. One that was interrupted
        is gone on with.
    overwrite
        Delete the run that lies there.
    progress
        Told of every iteration.

    Returns
    -------
    dict
        ``run`` (the directory), ``iteration``, ``best`` and the metrics of the best checkpoint.
    """
    config = TrainConfig.from_toml(config_file)
    folder = out or Path("runs") / config_file.stem
    resolve_device(config.device)
    edge = patch_output(config)
    with memory_advice("a smaller `batch`, `patch` or `model`, or smaller regions"):
        training = [load_sample(region, config, at_least=edge) for region in config.train]
        validation = [load_sample(region, config) for region in config.validation]
        # One draw tells whether the sampling rules leave anything to train on.
        Sampler(training, config).draw(np.random.default_rng(config.seed))
        run = train.begin(config, folder, [*training, *validation])
        _make_way(run, overwrite=overwrite)
        with locked(folder):
            train.train(run, training, validation=validation, progress=progress)
            loss_curves(run.rows).savefig(folder / "curves.png")
            run.save("finished")
            shutil.rmtree(folder / NAME)
    best = next(row for row in run.rows if row["iteration"] == run.best)
    return {"run": str(folder), "iteration": run.iteration, "best": run.best, "metrics": best}


def _make_way(run: train.Run, *, overwrite: bool) -> None:
    """Refuse a finished run, or one of other settings or data; with `overwrite` delete it.

    An interrupted run may go on with another device or number of threads.
    """
    folder = run.folder
    if not folder.exists() or (folder.is_dir() and {p.name for p in folder.iterdir()} <= {NAME}):
        return
    if not (folder / checkpoint.RUN).is_file():
        raise FileExistsError(f"{folder} exists and is no run directory; give another --out")
    found = checkpoint.read_run(folder)
    if overwrite:
        refuse_if_locked(folder)
        shutil.rmtree(folder)
        return
    if found.state == "finished":
        raise FileExistsError(f"{folder} is a finished run; give another --out, or --overwrite")
    mine, theirs = (
        json.loads(info.model_dump_json(exclude={"iteration", "device", "asem"}))
        for info in (run.info, found.checkpoint)
    )
    changed = [key for key in mine if mine[key] != theirs[key]]
    if changed:
        raise FileExistsError(
            f"{folder} is an unfinished run of another kind (it differs in {', '.join(changed)}); "
            "give another --out, or --overwrite"
        )
