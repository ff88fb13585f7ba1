"""The verbs that make a network and score it: demo, train, finetune, evaluate."""

import sys
from pathlib import Path
from typing import Literal

from asem.cli.common import PLAIN, Flag, Shown, progress, show
from asem.cli.streams import printable


def demo(directory: Path, /, *, overwrite: Flag = False, shown: Shown = PLAIN) -> None:
    """Make a small synthetic cell and take it through the whole method, in a few minutes.

    Parameters
    ----------
    directory
        A folder to make; report.html in it shows the result.
    overwrite
        Replace the demo that lies there.
    """
    from asem.workflows.demo import describe_demo, run_demo

    with progress() as told:
        result = run_demo(directory, overwrite=overwrite, progress=told)
    if shown.json:
        show(result, as_json=True)
    else:
        sys.stdout.write(printable(describe_demo(result)))


def train(
    config: Path,
    /,
    *,
    out: Path | None = None,
    overwrite: Flag = False,
    resume: Flag = False,
    resume_at: int | None = None,
    no_resample: Flag = False,
    mlflow: str | None = None,
    shown: Shown = PLAIN,
) -> None:
    """Train one network for one structure; the same command goes on after an interruption.

    Parameters
    ----------
    config
        The training file (TOML).
    out
        The run directory; by default runs/ and the name of CONFIG.
    overwrite
        Delete the run that lies there.
    resume
        Go on with the run that lies there, finished or not; CONFIG may have more iterations, other
        devices or another validate_every by now.
    resume_at
        Go on from the checkpoint of this iteration and forget what came after it.
    no_resample
        Refuse data of another voxel size than the model's.
    mlflow
        Tell an MLflow server or database, too: its address, or local for mlflow.db beside the run.
    """
    from asem.workflows.train import train_model

    with progress() as told:
        result = train_model(
            config,
            out=out,
            overwrite=overwrite,
            resume=resume,
            resume_at=resume_at,
            resample=not no_resample,
            mlflow=mlflow,
            progress=told,
        )
    show(result, as_json=shown.json)


def finetune(
    checkpoint: Path,
    config: Path,
    /,
    *,
    out: Path | None = None,
    overwrite: Flag = False,
    resume: Flag = False,
    no_resample: Flag = False,
    mlflow: str | None = None,
    shown: Shown = PLAIN,
) -> None:
    """Train a network on, on annotations of another cell.

    Parameters
    ----------
    checkpoint
        A run directory (the first checkpoint of its fit regime), a checkpoint, or a converted
        model.
    config
        A training file with the regions; the rest is as CHECKPOINT was trained, unless stated.
    out
        The run directory; by default runs/ and the name of CONFIG.
    overwrite
        Delete the run that lies there.
    resume
        Go on with the run that lies there, finished or not.
    no_resample
        Refuse data of another voxel size than the model's.
    mlflow
        Tell an MLflow server or database, too: its address, or local for mlflow.db beside the run.
    """
    from asem.workflows.train import finetune_model

    with progress() as told:
        result = finetune_model(
            checkpoint,
            config,
            out=out,
            overwrite=overwrite,
            resume=resume,
            resample=not no_resample,
            mlflow=mlflow,
            progress=told,
        )
    show(result, as_json=shown.json)


def evaluate(
    prediction: Path,
    labels: Path,
    /,
    *,
    structure: str | None = None,
    zone_out_nm: float | None = None,
    zone_in_nm: float | None = None,
    zone_shape: Literal["diamond", "ball"] = "diamond",
    mask: Path | None = None,
    roi: str | None = None,
    shown: Shown = PLAIN,
) -> None:
    """Score a prediction: precision, recall, F1 and IoU, outside of the exclusion zone and in all.

    Parameters
    ----------
    prediction
        A segmentation, or a probability (0.5 and more is foreground).
    labels
        The truth; only the part common with PREDICTION is scored.
    structure
        Take the exclusion zone of this structure: mito, golgi, er, npc, ccp, or a TOML file.
    zone_out_nm
        Width of the zone outside of the labels' borders, nm.
    zone_in_nm
        Width of the zone inside of them, nm.
    zone_shape
        diamond as in the paper, or ball, which is wider: say which with the score.
    mask
        Score only where this image is not 0.
    roi
        Score only these voxels of PREDICTION, z0:z1,y0:y1,x0:x1.
    """
    from asem.workflows.evaluate import evaluate_volume

    with progress() as told:
        result = evaluate_volume(
            prediction,
            labels,
            structure_name=structure,
            zone_out_nm=zone_out_nm,
            zone_in_nm=zone_in_nm,
            zone_shape=zone_shape,
            mask=mask,
            roi=roi,
            progress=told,
        )
    show(result, as_json=shown.json)
